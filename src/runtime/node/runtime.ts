/** @file Runs programs in Node: on the CPU, or on a GPU by WebGPU or CUDA. */
import { availableParallelism } from 'node:os'
import type { HostTensor } from '../../host/tensor.ts'
import type { EmissionTarget } from '../../ir/graph.ts'
import type { Program } from '../../ir/program.ts'
import { serialize } from '../../onnx/serialize.ts'
import type { CompileOptions, Device, DeviceState, Executable, Runtime } from '../runtime.ts'
import { CpuExecutable, CpuState } from './cpu.ts'
import { expectProvider, GpuExecutable, placeOnGpu } from './gpu.ts'
import { type Enqueue, serialQueue } from './queue.ts'

/** Settings of the Node runtime. */
export interface NodeRuntimeOptions {
  readonly device?: Device
  /** Threads of one operator; all cores when absent. */
  readonly threads?: number
  /** For whom programs are emitted: by default `cpu` on the CPU, else `any`. */
  readonly target?: EmissionTarget
}

/** The Node adapter of the runtime contract. */
export class NodeRuntime implements Runtime {
  readonly device: Device
  readonly threads: number
  readonly #target: EmissionTarget
  readonly #enqueue: Enqueue = serialQueue()

  /** @throws when this build of ONNX Runtime has no provider for the device. */
  constructor({
    device = 'cpu',
    threads = availableParallelism(),
    target = device === 'cpu' ? 'cpu' : 'any',
  }: NodeRuntimeOptions = {}) {
    if (device !== 'cpu') expectProvider(device)
    this.device = device
    this.threads = threads
    this.#target = target
  }

  async compile(
    program: Program,
    { updates = {}, profile = false }: CompileOptions = {},
  ): Promise<Executable> {
    const model = serialize(program, this.#target)
    const options = { threads: this.threads, updates, profile, enqueue: this.#enqueue }
    return this.device === 'cpu'
      ? new CpuExecutable(program, model, options)
      : GpuExecutable.compile(this.device, program, model, options)
  }

  async place(tensors: Readonly<Record<string, HostTensor>>): Promise<DeviceState> {
    return this.device === 'cpu' ? new CpuState(tensors) : placeOnGpu(this.device, tensors, this.#enqueue)
  }
}
