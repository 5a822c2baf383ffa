/** @file Runs programs in Node: on the CPU, or on a GPU by WebGPU or CUDA. */
import { availableParallelism } from 'node:os'
import type { HostTensor } from '../../host/tensor.ts'
import type { Compute, EmissionTarget } from '../../ir/graph.ts'
import type { Program } from '../../ir/program.ts'
import { serialize } from '../../onnx/serialize.ts'
import { GpuExecutable, placeOnGpu } from '../ort/gpu.ts'
import type { OrtDevice } from '../ort/library.ts'
import { type Enqueue, serialQueue } from '../ort/queue.ts'
import { expectUpdates } from '../overwrite.ts'
import type { CompileOptions, Device, DeviceLimits, DeviceState, Executable, Runtime } from '../runtime.ts'
import { CpuExecutable, CpuState } from './cpu.ts'
import { nodeGpu } from './gpu.ts'
import { startProfiling } from './profiling.ts'

/** Settings of the Node runtime. */
export interface NodeRuntimeOptions {
  readonly device?: Device
  /** Threads of one operator; all cores when absent. */
  readonly threads?: number
  /** For whom programs are emitted: by default `cpu` on the CPU, else `any`. */
  readonly target?: EmissionTarget
  /**
   * How matrix products and convolutions are computed. `float16` halves what they read and write; parameters, moments,
   * everything between products and all losses stay float32. Not on the CPU, whose provider would convert back.
   */
  readonly compute?: Compute
}

/** The Node adapter of the runtime contract. */
export class NodeRuntime implements Runtime {
  readonly device: Device
  readonly threads: number
  readonly compute: Compute
  readonly #target: EmissionTarget
  /** Null on the CPU. */
  readonly #gpu: OrtDevice | null
  readonly #enqueue: Enqueue = serialQueue()

  /** @throws when this build of ONNX Runtime has no provider for the device, or the device no such arithmetic. */
  constructor({
    device = 'cpu',
    threads = availableParallelism(),
    target = device === 'cpu' ? 'cpu' : 'any',
    compute = 'float32',
  }: NodeRuntimeOptions = {}) {
    this.#gpu = device === 'cpu' ? null : nodeGpu(device)
    if (device === 'cpu' && compute === 'float16') {
      throw new Error(
        `compute float16: ONNX Runtime's CPU provider multiplies in float32 only; use --device webgpu or cuda`,
      )
    }
    this.device = device
    this.threads = threads
    this.compute = compute
    this.#target = target
  }

  get limits(): DeviceLimits | null {
    return this.#gpu?.limits ?? null
  }

  async compile(
    program: Program,
    { updates = {}, profile = false }: CompileOptions = {},
  ): Promise<Executable> {
    expectUpdates(program, updates)
    const model = serialize(program, { target: this.#target, compute: this.compute })
    const enqueue = this.#enqueue
    if (this.#gpu === null) {
      return new CpuExecutable(program, model, { threads: this.threads, updates, profile, enqueue })
    }
    const profiling = profile ? startProfiling() : null
    return GpuExecutable.compile(this.#gpu, program, model, { updates, profiling, enqueue })
  }

  async place(tensors: Readonly<Record<string, HostTensor>>): Promise<DeviceState> {
    return this.#gpu === null ? new CpuState(tensors) : placeOnGpu(this.#gpu, tensors, this.#enqueue)
  }
}
