/** @file State that stays where a device computes, through the JavaScript API of whichever ONNX Runtime is given. */
import type { DType, HostTensor } from '../../host/tensor.ts'
import { trace } from '../../ir/program.ts'
import { serialize } from '../../onnx/serialize.ts'
import { expectFits } from '../limits.ts'
import type { DeviceState } from '../runtime.ts'
import { expectTensor, unknownName } from './inputs.ts'
import type { OrtDevice, OrtLibrary, OrtSession, OrtTensor } from './library.ts'
import type { Enqueue } from './queue.ts'
import { fromOrt, startSession, wrapFor } from './session.ts'

/**
 * State in a device's buffers. Uploads and downloads go through sessions of Identity nodes: reading a GPU tensor directly
 * aborts the process in onnxruntime-node 1.30.
 */
export class OrtState implements DeviceState {
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

/** Moves tensors to the device. */
export const placeTensors = async (
  on: OrtDevice,
  tensors: Readonly<Record<string, HostTensor>>,
  enqueue: Enqueue,
): Promise<OrtState> => {
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
  const state = new OrtState(on.ort, model.outputs, upload, download, enqueue)
  await state.fill(tensors).catch(async (cause: Error) => {
    await state.dispose()
    throw cause
  })
  return state
}
