/** @file Runs programs in Node through onnxruntime-node: on the CPU, or on a GPU by WebGPU or CUDA. */
import { availableParallelism } from 'node:os'
import * as ort from 'onnxruntime-node'
import type { HostTensor } from '../../host/tensor.ts'
import type { EmissionTarget } from '../../ir/graph.ts'
import { type Program, trace } from '../../ir/program.ts'
import { type OnnxModel, serialize } from '../../onnx/serialize.ts'
import {
  type CompileOptions,
  type Device,
  type DeviceState,
  type Executable,
  type KernelTime,
  mayOverwrite,
  type Runtime,
} from '../runtime.ts'
import { explainDeviceError, explainRunError } from './errors.ts'
import { type Profiling, startProfiling } from './profiling.ts'
import { CpuState, fromOrt, GpuState, type OrtState, toOrt } from './state.ts'

/** Settings of the Node runtime. */
export interface NodeRuntimeOptions {
  readonly device?: Device
  /** Threads of one operator; all cores when absent. */
  readonly threads?: number
  /** For whom programs are emitted: by default `cpu` on the CPU, else `any`. */
  readonly target?: EmissionTarget
}

/** Runs jobs one after the other; a job that fails does not disturb the next. */
const serialQueue = (): (<T>(job: () => Promise<T>) => Promise<T>) => {
  let tail: Promise<unknown> = Promise.resolve()
  return (job) => {
    const result = tail.then(job)
    tail = result.catch(() => undefined)
    return result
  }
}

const sessionOptions = (
  device: Device,
  threads: number,
  model: OnnxModel,
  updates: Readonly<Record<string, string>>,
  profiling: Profiling | null,
): ort.InferenceSession.SessionOptions => {
  const shared: ort.InferenceSession.SessionOptions = {
    executionProviders: device === 'cpu' ? ['cpu'] : [device, 'cpu'],
    graphOptimizationLevel: 'all',
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    // The pattern's one large block comes on top of what the arena holds from the first run: 3.9 instead of 2.4 GiB for
    // a 384-wide step, and no faster.
    enableMemPattern: false,
    // ORT warns about every initializer that no node reads after constant folding; only errors concern the user.
    logSeverityLevel: 3,
    // Denormals appear in Adam's second moments and slow element-wise passes tenfold.
    extra: { session: { set_denormal_as_zero: '1' } },
    ...(profiling === null ? {} : { enableProfiling: true, profileFilePrefix: profiling.prefix }),
  }
  if (device === 'cpu') return shared
  const updated = new Set(Object.values(updates))
  const location: Record<string, 'cpu' | 'gpu-buffer'> = {}
  for (const [name, own] of Object.entries(model.outputs))
    location[own] = updated.has(name) ? 'gpu-buffer' : 'cpu'
  return { ...shared, preferredOutputLocation: location }
}

class NodeExecutable implements Executable {
  readonly #program: Program
  readonly #model: OnnxModel
  readonly #session: ort.InferenceSession
  readonly #updates: Readonly<Record<string, string>>
  readonly #enqueue: <T>(job: () => Promise<T>) => Promise<T>
  /** State tensors whose next value may be written over the current one (see mayOverwrite). */
  readonly #inPlace: ReadonlySet<string>
  readonly #profiling: Profiling | null

  constructor(
    program: Program,
    model: OnnxModel,
    session: ort.InferenceSession,
    updates: Readonly<Record<string, string>>,
    profiling: Profiling | null,
    enqueue: <T>(job: () => Promise<T>) => Promise<T>,
  ) {
    this.#program = program
    this.#model = model
    this.#session = session
    this.#updates = updates
    this.#profiling = profiling
    this.#enqueue = enqueue
    const safe = Object.entries(updates).filter(([name, output]) =>
      mayOverwrite(program, program.inputs[name]!, program.outputs[output]!),
    )
    this.#inPlace = new Set(safe.map(([name]) => name))
  }

  run(feeds: Readonly<Record<string, HostTensor>>, state?: DeviceState): Promise<Record<string, HostTensor>> {
    return this.#enqueue(() => this.#runNow(feeds, state as OrtState | undefined))
  }

  async #runNow(
    feeds: Readonly<Record<string, HostTensor>>,
    state: OrtState | undefined,
  ): Promise<Record<string, HostTensor>> {
    const inputs: Record<string, ort.Tensor> = {}
    for (const [name, v] of Object.entries(this.#program.inputs)) {
      if (this.#model.unused.has(name)) continue
      const tensor =
        feeds[name] === undefined ? state?.tensor(name) : toOrt(feeds[name], v, name, this.#program.name)
      if (tensor === undefined) {
        throw new Error(
          `program ${this.#program.name}: input '${name}' is missing; feed it or hold it in the state`,
        )
      }
      inputs[name] = tensor
    }
    const fetches: Record<string, ort.Tensor | null> = {}
    for (const own of Object.values(this.#model.outputs)) fetches[own] = null
    for (const [name, output] of Object.entries(this.#updates)) {
      fetches[this.#model.outputs[output]!] = state!.target(name, this.#inPlace.has(name))
    }
    let results: ort.InferenceSession.OnnxValueMapType
    try {
      results = await this.#session.run(inputs, fetches)
    } catch (cause) {
      throw explainRunError(this.#program, this.#model, cause as Error)
    }
    const updated = new Set(Object.values(this.#updates))
    for (const [name, output] of Object.entries(this.#updates)) {
      state!.commit(name, results[this.#model.outputs[output]!] as ort.Tensor, this.#inPlace.has(name))
    }
    const returned: Record<string, HostTensor> = {}
    for (const [name, own] of Object.entries(this.#model.outputs)) {
      if (!updated.has(name)) returned[name] = fromOrt(results[own] as ort.Tensor)
    }
    return returned
  }

  async profile(): Promise<readonly KernelTime[]> {
    if (this.#profiling === null) {
      throw new Error(
        `program ${this.#program.name}: it was compiled without profiling; pass { profile: true }`,
      )
    }
    return this.#enqueue(async () => {
      this.#session.endProfiling()
      return this.#profiling!.read(this.#model)
    })
  }

  async dispose(): Promise<void> {
    await this.#session.release()
  }
}

/** The Node adapter of the runtime contract. */
export class NodeRuntime implements Runtime {
  readonly device: Device
  readonly threads: number
  readonly #target: EmissionTarget
  readonly #enqueue: <T>(job: () => Promise<T>) => Promise<T> = serialQueue()

  /** @throws when this build of ONNX Runtime has no provider for the device. */
  constructor({
    device = 'cpu',
    threads = availableParallelism(),
    target = device === 'cpu' ? 'cpu' : 'any',
  }: NodeRuntimeOptions = {}) {
    const backends = ort.listSupportedBackends()
    const backend = backends.find((b) => b.name === device)
    const bundled = backend?.bundled === true
    if (!bundled && device !== 'cuda') {
      const names = backends.filter((b) => b.bundled).map((b) => b.name)
      throw new Error(
        `device: this onnxruntime-node has no '${device}' provider; use one of ${names.join(', ')}`,
      )
    }
    this.device = device
    this.threads = threads
    this.#target = target
  }

  async compile(program: Program, options: CompileOptions = {}): Promise<Executable> {
    const model = serialize(program, this.#target)
    const updates = options.updates ?? {}
    const profiling = options.profile === true ? startProfiling() : null
    let session: ort.InferenceSession
    try {
      session = await ort.InferenceSession.create(
        model.bytes,
        sessionOptions(this.device, this.threads, model, updates, profiling),
      )
    } catch (cause) {
      throw this.device === 'cpu'
        ? explainRunError(program, model, cause as Error)
        : explainDeviceError(this.device, cause as Error)
    }
    return new NodeExecutable(program, model, session, updates, profiling, this.#enqueue)
  }

  async place(tensors: Readonly<Record<string, HostTensor>>): Promise<DeviceState> {
    if (this.device === 'cpu') return new CpuState(tensors)
    const specs = Object.fromEntries(Object.entries(tensors).map(([name, t]) => [name, t]))
    const copy = trace('copy', specs, (inputs) =>
      Object.fromEntries(Object.entries(inputs).map(([name, v]) => [`out:${name}`, v])),
    )
    const model = serialize(copy)
    const session = async (to: 'cpu' | 'gpu-buffer'): Promise<ort.InferenceSession> => {
      const location = Object.fromEntries(Object.values(model.outputs).map((own) => [own, to]))
      const base = sessionOptions(this.device, this.threads, model, {}, null)
      try {
        return await ort.InferenceSession.create(model.bytes, { ...base, preferredOutputLocation: location })
      } catch (cause) {
        throw explainDeviceError(this.device, cause as Error)
      }
    }
    const state = new GpuState(
      model.outputs,
      await session('gpu-buffer'),
      await session('cpu'),
      this.#enqueue,
    )
    await state.write(tensors)
    return state
  }
}
