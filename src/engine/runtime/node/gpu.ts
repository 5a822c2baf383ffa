/**
 * @file Programs and state on a GPU, through onnxruntime-node: state stays in device buffers, every other output comes
 * back to the host.
 */
import * as ort from 'onnxruntime-node'
import type { HostTensor } from '../../host/tensor.ts'
import type { ValueType } from '../../ir/graph.ts'
import { type Program, trace } from '../../ir/program.ts'
import { type OnnxModel, serialize } from '../../onnx/serialize.ts'
import type { Device, DeviceState, Executable, KernelTime, Traffic } from '../runtime.ts'
import { explainDeviceError, explainRunError } from './errors.ts'
import { expectTensor, gatherInputs, unknownName } from './inputs.ts'
import { type Profiling, readProfile, startProfiling } from './profiling.ts'
import type { Enqueue } from './queue.ts'

/** A device other than the CPU. */
export type Gpu = Exclude<Device, 'cpu'>

/** Throws when this build of ONNX Runtime cannot have a provider for the device. */
export const expectProvider = (device: Gpu): void => {
  const bundled = ort.listSupportedBackends().filter((b) => b.bundled)
  // CUDA's provider is never bundled, only installed beside it; its absence shows when a session starts.
  if (device === 'cuda' || bundled.some((b) => b.name === device)) return
  const names = bundled.map((b) => b.name).join(', ')
  throw new Error(`device: this onnxruntime-node has no '${device}' provider; use one of ${names}`)
}

/** Starts a session. @param toDevice model outputs that stay on the device @throws what to install or use instead. */
const startSession = async (
  device: Gpu,
  model: OnnxModel,
  toDevice: (output: string) => boolean,
  profiling: Profiling | null = null,
): Promise<ort.InferenceSession> => {
  const location = Object.entries(model.outputs).map(([name, own]) => [
    own,
    toDevice(name) ? 'gpu-buffer' : 'cpu',
  ])
  try {
    return await ort.InferenceSession.create(model.bytes, {
      executionProviders: [device, 'cpu'],
      graphOptimizationLevel: 'all',
      enableMemPattern: false,
      logSeverityLevel: 3,
      preferredOutputLocation: Object.fromEntries(location) as Record<string, 'gpu-buffer' | 'cpu'>,
      ...(profiling === null ? {} : { enableProfiling: true, profileFilePrefix: profiling.prefix }),
    })
  } catch (cause) {
    throw explainDeviceError(device, cause as Error)
  }
}

/** Host memory as ONNX Runtime's tensor, without copying. */
const wrap = ({ dtype, data, shape }: HostTensor): ort.Tensor =>
  new ort.Tensor(dtype, data as ort.Tensor.DataType, shape as number[])

/** A tensor in host memory as a host tensor, without copying. */
const fromOrt = (tensor: ort.Tensor): HostTensor => ({
  dtype: tensor.type as HostTensor['dtype'],
  shape: tensor.dims,
  data: tensor.data as HostTensor['data'],
})

/**
 * State in GPU buffers. Uploads and downloads go through sessions of Identity nodes: reading a GPU tensor directly
 * aborts the process in onnxruntime-node 1.30.
 */
export class GpuState implements DeviceState {
  readonly #outputs: Readonly<Record<string, string>>
  readonly #upload: ort.InferenceSession
  readonly #download: ort.InferenceSession
  readonly #enqueue: Enqueue
  #current = new Map<string, ort.Tensor>()

  constructor(
    outputs: Readonly<Record<string, string>>,
    upload: ort.InferenceSession,
    download: ort.InferenceSession,
    enqueue: Enqueue,
  ) {
    this.#outputs = outputs
    this.#upload = upload
    this.#download = download
    this.#enqueue = enqueue
  }

  get names(): readonly string[] {
    return Object.keys(this.#outputs).map((output) => output.slice('out:'.length))
  }

  /** The current tensor; undefined when the state does not hold that name. */
  tensor(name: string): ort.Tensor | undefined {
    return this.#current.get(name)
  }

  /** Makes the next value current after a successful run. */
  commit(name: string, result: ort.Tensor): void {
    this.#current.get(name)?.dispose()
    this.#current.set(name, result)
  }

  async read(names: readonly string[] = this.names): Promise<Record<string, HostTensor>> {
    for (const name of names) if (!this.#current.has(name)) throw unknownName(name, this.names)
    const results = await this.#enqueue(() => this.#download.run(Object.fromEntries(this.#current)))
    return Object.fromEntries(
      names.map((name) => [name, fromOrt(results[this.#outputs[`out:${name}`]!] as ort.Tensor)]),
    )
  }

  async write(tensors: Readonly<Record<string, HostTensor>>): Promise<void> {
    const missing = this.names.filter((name) => tensors[name] === undefined)
    const all = { ...(missing.length === 0 ? {} : await this.read(missing)), ...tensors }
    const feeds: Record<string, ort.Tensor> = {}
    for (const [name, t] of Object.entries(all)) {
      const current = this.#current.get(name)
      if (this.#current.size > 0 && current === undefined) throw unknownName(name, this.names)
      const expected: ValueType = current === undefined ? t : { dtype: t.dtype, shape: current.dims }
      expectTensor(t, expected, name, 'state')
      feeds[name] = wrap(t)
    }
    const results = await this.#enqueue(() => this.#upload.run(feeds))
    for (const name of this.names) this.commit(name, results[this.#outputs[`out:${name}`]!] as ort.Tensor)
  }

  async dispose(): Promise<void> {
    for (const t of this.#current.values()) t.dispose()
    this.#current.clear()
    await this.#upload.release()
    await this.#download.release()
  }
}

const bytesIn = (tensors: readonly HostTensor[]): number =>
  tensors.reduce((sum, { data }) => sum + data.byteLength, 0)

/** Moves tensors to the device. */
export const placeOnGpu = async (
  device: Gpu,
  tensors: Readonly<Record<string, HostTensor>>,
  enqueue: Enqueue,
): Promise<GpuState> => {
  const copy = trace('copy', tensors, (inputs) =>
    Object.fromEntries(Object.entries(inputs).map(([name, v]) => [`out:${name}`, v])),
  )
  const model = serialize(copy)
  const upload = await startSession(device, model, () => true)
  const download = await startSession(device, model, () => false)
  const state = new GpuState(model.outputs, upload, download, enqueue)
  await state.write(tensors)
  return state
}

/** A program compiled for a GPU. */
export class GpuExecutable implements Executable {
  readonly #program: Program
  readonly #model: OnnxModel
  readonly #updates: Readonly<Record<string, string>>
  readonly #enqueue: Enqueue
  readonly #session: ort.InferenceSession
  readonly #profiling: Profiling | null
  #traffic: Traffic = { toDevice: 0, toHost: 0 }

  private constructor(
    program: Program,
    model: OnnxModel,
    updates: Readonly<Record<string, string>>,
    enqueue: Enqueue,
    session: ort.InferenceSession,
    profiling: Profiling | null,
  ) {
    this.#program = program
    this.#model = model
    this.#updates = updates
    this.#enqueue = enqueue
    this.#session = session
    this.#profiling = profiling
  }

  /** Compiles. @throws what to install or use instead when the device does not start. */
  static async compile(
    device: Gpu,
    program: Program,
    model: OnnxModel,
    options: {
      readonly updates: Readonly<Record<string, string>>
      readonly profile: boolean
      readonly enqueue: Enqueue
    },
  ): Promise<GpuExecutable> {
    const { updates, enqueue } = options
    const stays = new Set(Object.values(updates))
    const profiling = options.profile ? startProfiling() : null
    const session = await startSession(device, model, (output) => stays.has(output), profiling)
    return new GpuExecutable(program, model, updates, enqueue, session, profiling)
  }

  get traffic(): Traffic {
    return this.#traffic
  }

  run(feeds: Readonly<Record<string, HostTensor>>, state?: DeviceState): Promise<Record<string, HostTensor>> {
    return this.#enqueue(() => this.#runNow(feeds, state as GpuState | undefined))
  }

  async #runNow(
    feeds: Readonly<Record<string, HostTensor>>,
    state: GpuState | undefined,
  ): Promise<Record<string, HostTensor>> {
    const inputs = gatherInputs(this.#program, this.#model, feeds, (name) => state?.tensor(name), wrap)
    const fetches = Object.values(this.#model.outputs)
    let results: ort.InferenceSession.OnnxValueMapType
    try {
      results = await this.#session.run(Object.fromEntries(inputs), fetches)
    } catch (cause) {
      throw explainRunError(this.#program, this.#model, cause as Error)
    }
    const resultOf = (output: string): ort.Tensor => results[this.#model.outputs[output]!] as ort.Tensor
    for (const [name, output] of Object.entries(this.#updates)) state!.commit(name, resultOf(output))
    const updated = new Set(Object.values(this.#updates))
    const returned = Object.fromEntries(
      Object.keys(this.#model.outputs)
        .filter((output) => !updated.has(output))
        .map((output) => [output, fromOrt(resultOf(output))]),
    )
    const fed = Object.entries(feeds).filter(([name]) => inputs.has(name))
    this.#traffic = {
      toDevice: this.#traffic.toDevice + bytesIn(fed.map(([, tensor]) => tensor)),
      toHost: this.#traffic.toHost + bytesIn(Object.values(returned)),
    }
    return returned
  }

  profile(): Promise<readonly KernelTime[]> {
    return this.#enqueue(async () =>
      readProfile(this.#program, this.#model, this.#profiling, () => this.#session.endProfiling()),
    )
  }

  async dispose(): Promise<void> {
    await this.#session.release()
  }
}
