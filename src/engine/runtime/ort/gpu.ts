/**
 * @file Programs and state on a GPU, through the JavaScript API of whichever ONNX Runtime is given: state stays in
 * device buffers, every other output comes back to the host.
 */
import type { DType, HostTensor } from '../../host/tensor.ts'
import { type Program, trace } from '../../ir/program.ts'
import { type OnnxModel, serialize } from '../../onnx/serialize.ts'
import { expectFits } from '../limits.ts'
import type { DeviceState, Executable, KernelTime, Traffic } from '../runtime.ts'
import { explainDeviceError, explainRunError } from './errors.ts'
import { expectHeld, expectTensor, gatherInputs, unknownName, usedFeeds } from './inputs.ts'
import type { OrtDevice, OrtLibrary, OrtSession, OrtTensor } from './library.ts'
import { type Profiling, readProfile } from './profiling.ts'
import type { Enqueue } from './queue.ts'

/** Starts a session. @param stays model outputs that stay on the device @throws what to install or use instead. */
const startSession = async (
  on: OrtDevice,
  model: OnnxModel,
  stays: (output: string) => boolean,
  profiling: Profiling | null = null,
): Promise<OrtSession> => {
  const location = Object.entries(model.outputs).map(
    ([name, own]) => [own, stays(name) ? on.location : 'cpu'] as const,
  )
  try {
    return await on.ort.InferenceSession.create(model.bytes, {
      executionProviders: [...on.providers],
      graphOptimizationLevel: 'all',
      enableMemPattern: false,
      logSeverityLevel: 3,
      preferredOutputLocation: Object.fromEntries(location),
      ...(profiling === null ? {} : { enableProfiling: true, profileFilePrefix: profiling.prefix }),
    })
  } catch (cause) {
    throw explainDeviceError(on, cause as Error)
  }
}

/** Host memory as the library's tensor, without copying. */
const wrapFor =
  ({ Tensor }: OrtLibrary) =>
  ({ dtype, data, shape }: HostTensor): OrtTensor =>
    new Tensor(dtype, data, [...shape])

/** A tensor in host memory as a host tensor, without copying. */
const fromOrt = (tensor: OrtTensor): HostTensor => ({
  dtype: tensor.type as HostTensor['dtype'],
  shape: tensor.dims,
  data: tensor.data as HostTensor['data'],
})

/**
 * State in GPU buffers. Uploads and downloads go through sessions of Identity nodes: reading a GPU tensor directly
 * aborts the process in onnxruntime-node 1.30.
 */
export class GpuState implements DeviceState {
  readonly #ort: OrtLibrary
  readonly #outputs: Readonly<Record<string, string>>
  readonly #upload: OrtSession
  readonly #download: OrtSession
  readonly #enqueue: Enqueue
  #current = new Map<string, OrtTensor>()

  constructor(
    ort: OrtLibrary,
    outputs: Readonly<Record<string, string>>,
    upload: OrtSession,
    download: OrtSession,
    enqueue: Enqueue,
  ) {
    this.#ort = ort
    this.#outputs = outputs
    this.#upload = upload
    this.#download = download
    this.#enqueue = enqueue
  }

  get names(): readonly string[] {
    return Object.keys(this.#outputs).map((output) => output.slice('out:'.length))
  }

  /** The current tensor; undefined when the state does not hold that name. */
  tensor(name: string): OrtTensor | undefined {
    return this.#current.get(name)
  }

  /** Makes the next value current after a successful run. */
  commit(name: string, result: OrtTensor): void {
    this.#current.get(name)?.dispose()
    this.#current.set(name, result)
  }

  async read(names: readonly string[] = this.names): Promise<Record<string, HostTensor>> {
    return this.#enqueue(() => this.#readNow(names))
  }

  async #readNow(names: readonly string[]): Promise<Record<string, HostTensor>> {
    for (const name of names) if (!this.#current.has(name)) throw unknownName(name, this.names)
    if (names.length === 0) return {}
    // Only what is asked for crosses: averages are read often, and are a quarter of a training state.
    const wanted = names.map((name) => this.#outputs[`out:${name}`])
    const results = await this.#download.run(Object.fromEntries(this.#current), wanted)
    return Object.fromEntries(names.map((name) => [name, fromOrt(results[this.#outputs[`out:${name}`]])]))
  }

  /** One job, so that no run comes between what is kept and what is written. */
  async write(tensors: Readonly<Record<string, HostTensor>>): Promise<void> {
    return this.#enqueue(async () => {
      for (const [name, t] of Object.entries(tensors)) {
        const current = this.#current.get(name)
        if (current === undefined) throw unknownName(name, this.names)
        expectTensor(t, { dtype: current.type as DType, shape: current.dims }, name, 'state')
      }
      const kept = this.names.filter((name) => tensors[name] === undefined)
      await this.#writeNow({ ...(kept.length === 0 ? {} : await this.#readNow(kept)), ...tensors })
    })
  }

  async change(
    names: readonly string[],
    work: (tensors: readonly HostTensor[]) => Promise<void>,
  ): Promise<void> {
    const tensors = await this.read(names)
    await work(names.map((name) => tensors[name]))
    await this.write(tensors)
  }

  /** Writes the first values: all tensors. */
  fill(tensors: Readonly<Record<string, HostTensor>>): Promise<void> {
    return this.#enqueue(() => this.#writeNow(tensors))
  }

  async #writeNow(tensors: Readonly<Record<string, HostTensor>>): Promise<void> {
    const wrap = wrapFor(this.#ort)
    const feeds = Object.entries(tensors).map(([name, t]) => [name, wrap(t)] as const)
    const results = await this.#upload.run(Object.fromEntries(feeds), Object.values(this.#outputs))
    for (const name of this.names) this.commit(name, results[this.#outputs[`out:${name}`]])
  }

  dispose(): Promise<void> {
    return this.#enqueue(async () => {
      for (const t of this.#current.values()) t.dispose()
      this.#current.clear()
      await this.#upload.release()
      await this.#download.release()
    })
  }
}

const bytesIn = (tensors: readonly HostTensor[]): number =>
  tensors.reduce((sum, { data }) => sum + data.byteLength, 0)

/** Moves tensors to the device. */
export const placeOnGpu = async (
  on: OrtDevice,
  tensors: Readonly<Record<string, HostTensor>>,
  enqueue: Enqueue,
): Promise<GpuState> => {
  const copy = trace('copy', tensors, (inputs) =>
    Object.fromEntries(Object.entries(inputs).map(([name, v]) => [`out:${name}`, v])),
  )
  expectFits(copy, on.limits)
  const model = serialize(copy)
  const upload = await startSession(on, model, () => true)
  const download = await startSession(on, model, () => false).catch(async (cause: Error) => {
    await upload.release()
    throw cause
  })
  const state = new GpuState(on.ort, model.outputs, upload, download, enqueue)
  await state.fill(tensors).catch(async (cause: Error) => {
    await state.dispose()
    throw cause
  })
  return state
}

/** A program and the session that runs it. */
interface CompiledProgram {
  readonly ort: OrtLibrary
  readonly program: Program
  readonly model: OnnxModel
  readonly updates: Readonly<Record<string, string>>
  readonly enqueue: Enqueue
  readonly session: OrtSession
  readonly profiling: Profiling | null
}

/** A program compiled for a GPU. */
export class GpuExecutable implements Executable {
  readonly #ort: OrtLibrary
  readonly #program: Program
  readonly #model: OnnxModel
  readonly #updates: Readonly<Record<string, string>>
  readonly #enqueue: Enqueue
  readonly #session: OrtSession
  readonly #profiling: Profiling | null
  #traffic: Traffic = { toDevice: 0, toHost: 0 }

  private constructor(compiled: CompiledProgram) {
    this.#ort = compiled.ort
    this.#program = compiled.program
    this.#model = compiled.model
    this.#updates = compiled.updates
    this.#enqueue = compiled.enqueue
    this.#session = compiled.session
    this.#profiling = compiled.profiling
  }

  /** Compiles. @throws what to install or use instead when the device does not start. */
  static async compile(
    on: OrtDevice,
    program: Program,
    model: OnnxModel,
    options: {
      readonly updates: Readonly<Record<string, string>>
      readonly profiling: Profiling | null
      readonly enqueue: Enqueue
    },
  ): Promise<GpuExecutable> {
    expectFits(program, on.limits)
    const { updates, profiling, enqueue } = options
    const stays = new Set(Object.values(updates))
    const session = await startSession(on, model, (output) => stays.has(output), profiling)
    return new GpuExecutable({ ort: on.ort, program, model, updates, enqueue, session, profiling })
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
    const held = (name: string): OrtTensor | undefined => state?.tensor(name)
    expectHeld(this.#program, this.#updates, held)
    const fed = usedFeeds(this.#program, this.#model, feeds, held)
    const wrap = wrapFor(this.#ort)
    const inputs = gatherInputs(this.#program, this.#model, (name) =>
      fed[name] === undefined ? held(name) : wrap(fed[name]),
    )
    const fetches = Object.values(this.#model.outputs)
    let results: Readonly<Record<string, OrtTensor>>
    try {
      results = await this.#session.run(Object.fromEntries(inputs), fetches)
    } catch (cause) {
      throw explainRunError(this.#program, this.#model, cause as Error)
    }
    const resultOf = (output: string): OrtTensor => results[this.#model.outputs[output]]
    for (const [name, output] of Object.entries(this.#updates)) state!.commit(name, resultOf(output))
    const updated = new Set(Object.values(this.#updates))
    const returned = Object.fromEntries(
      Object.keys(this.#model.outputs)
        .filter((output) => !updated.has(output))
        .map((output) => [output, fromOrt(resultOf(output))]),
    )
    this.#traffic = {
      toDevice: this.#traffic.toDevice + bytesIn(Object.values(fed)),
      toHost: this.#traffic.toHost + bytesIn(Object.values(returned)),
    }
    return returned
  }

  profile(): Promise<readonly KernelTime[]> {
    return this.#enqueue(async () =>
      readProfile(this.#program, this.#model, this.#profiling, () => this.#session.endProfiling()),
    )
  }

  dispose(): Promise<void> {
    return this.#enqueue(() => this.#session.release())
  }
}
