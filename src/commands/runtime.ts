/** @file The runtime that a command's flags ask for. Apart from other options: who imports this loads the native library. */
import { ConfigError } from '../config/load.ts'
import { showDevice } from '../engine/runtime/limits.ts'
import { type Precision, precisionRefusal } from '../engine/runtime/node/precision.ts'
import { NodeRuntime } from '../engine/runtime/node/runtime.ts'
import type { Device, Runtime } from '../engine/runtime/runtime.ts'
import { ownCard, ownThreads } from './processes.ts'

/** What `--device`, `--compute` and `--threads` say. */
export interface DeviceFlags {
  readonly device: Device
  readonly compute: Precision
  readonly threads?: number
}

/** What runs programs there. @throws ConfigError when the device has no such arithmetic. */
export const runtimeOf = ({ device, compute, threads = ownThreads() }: DeviceFlags): Runtime => {
  const refusal = precisionRefusal(device, compute)
  if (refusal !== null)
    throw new ConfigError(`--compute ${compute}: ${refusal.reason}; add ${refusal.instead}`)
  const runtime = new NodeRuntime({
    device,
    compute,
    threads,
    ...(device === 'cuda' && { cuda: { card: ownCard() } }),
  })
  if (compute === 'float16' && runtime.limits?.float16 === false) {
    throw new ConfigError(
      `--compute float16: ${showDevice(runtime.limits)} has no half precision arithmetic (shader-f16); leave --compute at float32`,
    )
  }
  return runtime
}
