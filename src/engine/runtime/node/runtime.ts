/** @file Runs programs in Node: on the CPU, or on a GPU by WebGPU or CUDA. */
import { availableParallelism } from 'node:os'
import type { HostTensor } from '../../host/tensor.ts'
import type { EmissionTarget } from '../../ir/graph.ts'
import type { Program } from '../../ir/program.ts'
import { serialize } from '../../onnx/serialize.ts'
import { type Enqueue, serialQueue } from '../ort/queue.ts'
import { OrtRuntime } from '../ort/runtime.ts'
import { expectUpdates } from '../overwrite.ts'
import type { CompileOptions, Device, DeviceLimits, DeviceState, Executable, Runtime } from '../runtime.ts'
import { deviceMemory } from './deviceMemory.ts'
import { type CudaOptions, cpuDevice, cudaDevice, type NativeDevice, programProvider } from './devices.ts'
import { NativeExecutable } from './executable.ts'
import { hostMemory } from './hostMemory.ts'
import type { Memory } from './memory.ts'
import { emittedCompute, type Precision, precisionRefusal } from './precision.ts'
import { NativeState } from './state.ts'
import { nodeWebGpu } from './webgpu.ts'

/** Settings of the Node runtime. */
export interface NodeRuntimeOptions {
  readonly device?: Device
  /** Threads of one operator; all cores when absent. */
  readonly threads?: number
  /** For whom programs are emitted: by default `cpu` on the CPU, else `any`. */
  readonly target?: EmissionTarget
  /** How matrix products and convolutions are computed; float32 when absent. */
  readonly compute?: Precision
  readonly cuda?: CudaOptions
  /**
   * Whether the CPU keeps state as CUDA does, in memory of ONNX Runtime's own, so that what serves CUDA is tested where
   * there is no card.
   */
  readonly ownMemory?: boolean
}

/** The C API's sessions, for the CPU and CUDA. */
interface Native {
  readonly device: NativeDevice
  readonly memory: Memory
}

/** The Node adapter of the runtime contract. */
export class NodeRuntime implements Runtime {
  readonly device: Device
  readonly threads: number
  readonly compute: Precision
  readonly isHalfPrecision: boolean
  readonly #target: EmissionTarget
  readonly #by: Native | OrtRuntime
  readonly #enqueue: Enqueue = serialQueue()

  /** @throws when this build of ONNX Runtime has no provider for the device, or the device no such arithmetic. */
  constructor({
    device = 'cpu',
    threads = availableParallelism(),
    target = device === 'cpu' ? 'cpu' : 'any',
    compute = 'float32',
    cuda,
    ownMemory = false,
  }: NodeRuntimeOptions = {}) {
    const refusal = precisionRefusal(device, compute)
    if (refusal !== null) throw new Error(`compute ${compute}: ${refusal.reason}; use ${refusal.instead}`)
    this.device = device
    this.threads = threads
    this.compute = compute
    this.isHalfPrecision = compute === 'float16'
    this.#target = target
    if (device === 'webgpu') this.#by = new OrtRuntime(nodeWebGpu(), target, emittedCompute(compute))
    else {
      const native = device === 'cpu' ? cpuDevice(cuda) : cudaDevice(compute === 'tf32', cuda)
      const own = device === 'cuda' || ownMemory
      this.#by = { device: native, memory: own ? deviceMemory(native) : hostMemory }
    }
  }

  get limits(): DeviceLimits | null {
    return 'memory' in this.#by ? null : this.#by.limits
  }

  async compile(program: Program, options: CompileOptions = {}): Promise<Executable> {
    if (!('memory' in this.#by)) return this.#by.compile(program, options)
    const { updates = {}, profile = false } = options
    expectUpdates(program, updates)
    const model = serialize(program, { target: this.#target, compute: emittedCompute(this.compute) })
    const { device, memory } = this.#by
    const own = { memory, cuda: programProvider(device), graph: device.graph }
    return new NativeExecutable(program, model, {
      ...{ ...own, threads: this.threads, updates, profile, enqueue: this.#enqueue },
    })
  }

  async place(tensors: Readonly<Record<string, HostTensor>>): Promise<DeviceState> {
    return 'memory' in this.#by
      ? new NativeState(this.#by.memory, tensors, this.#enqueue)
      : this.#by.place(tensors)
  }
}
