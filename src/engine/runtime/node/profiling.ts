/** @file ONNX Runtime's profile, read back and joined to the nodes of the program. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { OnnxModel } from '../../onnx/serialize.ts'
import type { Profiling } from '../ort/profiling.ts'
import type { KernelTime } from '../runtime.ts'

/** One line of ONNX Runtime's trace; only kernels have an operator and sizes. */
interface TraceEvent {
  readonly cat: string
  readonly name: string
  /** Microseconds. */
  readonly dur: number
  readonly args?: Readonly<Record<string, string>>
}

const kernelSuffix = '_kernel_time'

const kernelTime = ({ name, dur, args = {} }: TraceEvent, model: OnnxModel): KernelTime => {
  const bytes = ['activation_size', 'parameter_size', 'output_size'].map((key) => Number(args[key] ?? 0))
  return {
    operator: args.op_name ?? 'unknown',
    provider: args.provider ?? 'unknown',
    node: model.origin.get(name.slice(0, -kernelSuffix.length)) ?? null,
    seconds: dur / 1e6,
    bytes: bytes.reduce((a, b) => a + b),
  }
}

/** Makes the folder that a session's profile goes to. */
export const startProfiling = (): Profiling => {
  const folder = mkdtempSync(join(tmpdir(), 'unified-latents-profile-'))
  const discard = (): void => rmSync(folder, { recursive: true, force: true })
  return {
    prefix: join(folder, 'ort'),
    read: (model) => {
      const [file] = readdirSync(folder)
      const events = JSON.parse(readFileSync(join(folder, file), 'utf8')) as readonly TraceEvent[]
      discard()
      return events
        .filter(({ cat, name }) => cat === 'Node' && name.endsWith(kernelSuffix))
        .map((event) => kernelTime(event, model))
    },
    discard,
  }
}
