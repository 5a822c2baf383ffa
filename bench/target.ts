/** @file What is measured: a device, and how products are computed on it. */
import type { Precision } from '../src/engine/runtime/node/precision.ts'
import { NodeRuntime } from '../src/engine/runtime/node/runtime.ts'
import type { Device } from '../src/engine/runtime/runtime.ts'

/** Where a case runs. */
export interface Target {
  readonly device: Device
  /** PyTorch takes bfloat16 where we take float16, as its scripts do. */
  readonly precision: Precision
}

export const devices: readonly Device[] = ['cpu', 'webgpu', 'cuda']

/** What is measured on a device unless something else is asked for. */
export const usualPrecisions: Readonly<Record<Device, readonly Precision[]>> = {
  cpu: ['float32'],
  webgpu: ['float32'],
  cuda: ['float32', 'tf32', 'float16'],
}

/** Largest relative difference of values between a peer and us: of a few roundings of each arithmetic. */
export const tolerances: Readonly<Record<Precision, number>> = { float32: 1e-3, tf32: 5e-3, float16: 5e-2 }

/** Our runtime there. @throws one sentence when there is no such device or arithmetic */
export const runtimeOn = ({ device, precision }: Target): NodeRuntime =>
  new NodeRuntime({ device, compute: precision })

/** Whether the device is the CPU under another name, so that its times say nothing of a card. */
export const isSoftware = ({ limits }: NodeRuntime): boolean => limits?.isSoftware === true

/** What our side runs on, in words. */
export const describeRuntime = (runtime: NodeRuntime, { device, precision }: Target): string => {
  if (device === 'cpu') return `ONNX Runtime, ${runtime.threads} threads`
  const adapter = runtime.limits?.adapter
  const named = adapter == null ? '' : ` on ${adapter}${isSoftware(runtime) ? ', a software adapter' : ''}`
  return `ONNX Runtime, ${device}${named}, ${precision}`
}
