/** @file The contract between programs and whatever runs them. Adapters live beside this file, one folder each. */
import type { HostTensor } from '../host/tensor.ts'
import type { Node } from '../ir/graph.ts'
import type { Program } from '../ir/program.ts'

/** Where a program runs. */
export type Device = 'cpu' | 'webgpu' | 'cuda'

/** Named tensors that stay on the device between runs: parameters, optimiser moments, averages. */
export interface DeviceState {
  /** Names of the tensors held. */
  readonly names: readonly string[]
  /** Copies tensors (all by default) to the host. */
  read(names?: readonly string[]): Promise<Record<string, HostTensor>>
  /** Replaces tensors of the same names and shapes. @throws when a name is unknown or a shape differs. */
  write(tensors: Readonly<Record<string, HostTensor>>): Promise<void>
  /** Changes tensors in place. @param work gets them in host memory, on the CPU where they lie; no run may be under way */
  change(names: readonly string[], work: (tensors: readonly HostTensor[]) => Promise<void>): Promise<void>
  /** Frees the device memory. */
  dispose(): Promise<void>
}

/** A compiled program. */
export interface Executable {
  /**
   * Runs once. Program inputs come from `feeds`, else from `state`; outputs listed in `updates` replace the state's
   * tensors and every other output is returned. Runs on one runtime are executed one after the other; a failed run
   * does not disturb later ones.
   * @throws one sentence naming the op, the shapes and the model path when the run fails, or the missing input.
   */
  run(feeds: Readonly<Record<string, HostTensor>>, state?: DeviceState): Promise<Record<string, HostTensor>>
  /** What has crossed between host and device in all runs so far. */
  readonly traffic: Traffic
  /** Ends profiling and returns what every kernel launch took. @throws when not compiled with `profile`. */
  profile(): Promise<readonly KernelTime[]>
  /** Frees the session. */
  dispose(): Promise<void>
}

/** Bytes that crossed between host memory and a device's; none on the CPU. */
export interface Traffic {
  readonly toDevice: number
  readonly toHost: number
}

/** How to compile a program. */
export interface CompileOptions {
  /** State tensor name → name of the program output that becomes its next value: of the same type, one for each. */
  readonly updates?: Readonly<Record<string, string>>
  /** Whether to time every kernel, see `Executable.profile`. */
  readonly profile?: boolean
}

/** One launch of a provider's kernel. */
export interface KernelTime {
  /** ONNX operator, or the provider's fusion of several. */
  readonly operator: string
  /** ONNX Runtime's name of the provider that ran it, such as CPUExecutionProvider. */
  readonly provider: string
  /** The program's node that it was emitted for; null for what the provider added (casts, layout changes). */
  readonly node: Node | null
  readonly seconds: number
  /** Bytes read and written: inputs that are not constants, constants and outputs. */
  readonly bytes: number
}

/** What a device can neither hold nor compute. */
export interface DeviceLimits {
  /** What the device calls itself; null where it cannot be asked, and the least that it must have is assumed. */
  readonly adapter: string | null
  /** Of the largest tensor that every kernel takes. */
  readonly tensorBytes: number
  /** Whether it is the CPU under another name; null where that is not known. */
  readonly isSoftware: boolean | null
  /** Whether it computes in half precision; null where that is not known. */
  readonly float16: boolean | null
}

/** Runs programs on one device. */
export interface Runtime {
  readonly device: Device
  /** Whether products are computed in float16, of whose range a gradient may run out; not so when absent. */
  readonly isHalfPrecision?: boolean
  /** Null on a device whose only limit is its memory. */
  readonly limits: DeviceLimits | null
  /** @throws one sentence when the device refuses the program, or an update does not fit. */
  compile(program: Program, options?: CompileOptions): Promise<Executable>
  /**
   * Moves tensors to the device. On the CPU the state takes over the given arrays, and a run that updates a tensor writes over
   * them: copy what is needed afterwards.
   */
  place(tensors: Readonly<Record<string, HostTensor>>): Promise<DeviceState>
}
