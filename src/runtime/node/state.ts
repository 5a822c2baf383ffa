/** @file State that stays with the session: one copy on the CPU, device buffers on a GPU. */
import * as ort from 'onnxruntime-node'
import { type HostTensor, sameShape, showShape } from '../../host/tensor.ts'
import type { ValueType } from '../../ir/graph.ts'
import type { DeviceState } from '../runtime.ts'

/** Wraps host memory for ONNX Runtime without copying. @throws when the type differs from the program's input. */
export const toOrt = (tensor: HostTensor, expected: ValueType, name: string, program: string): ort.Tensor => {
  if (tensor.dtype !== expected.dtype || !sameShape(tensor.shape, expected.shape)) {
    throw new Error(
      `program ${program}: input '${name}' is ${tensor.dtype}${showShape(tensor.shape)}, ` +
        `expected ${expected.dtype}${showShape(expected.shape)}; feed that type`,
    )
  }
  return wrap(tensor)
}

const wrap = ({ dtype, data, shape }: HostTensor): ort.Tensor =>
  new ort.Tensor(dtype, data as ort.Tensor.DataType, shape as number[])

/** Views an ONNX Runtime tensor in host memory as a host tensor. */
export const fromOrt = (tensor: ort.Tensor): HostTensor => ({
  dtype: tensor.type as HostTensor['dtype'],
  shape: tensor.dims,
  data: tensor.data as HostTensor['data'],
})

/** What the executable needs of a state beyond the public contract. */
export interface OrtState extends DeviceState {
  /** The current tensor; undefined when the state does not hold that name. */
  tensor(name: string): ort.Tensor | undefined
  /** Where the next value goes: a preallocated tensor, or null to let the session allocate. */
  target(name: string, inPlace: boolean): ort.Tensor | null
  /** Makes the next value current after a successful run. */
  commit(name: string, result: ort.Tensor, inPlace: boolean): void
}

const unknownName = (name: string, names: readonly string[]): Error =>
  new Error(
    `state: no tensor is called '${name}'; it holds ${names.slice(0, 6).join(', ')}${names.length > 6 ? ', …' : ''}`,
  )

/** State in host memory. Tensors that cannot be updated in place get a second buffer on first use. */
export class CpuState implements OrtState {
  readonly #current = new Map<string, ort.Tensor>()
  readonly #spare = new Map<string, ort.Tensor>()

  /** Takes over the given arrays without copying them. */
  constructor(tensors: Readonly<Record<string, HostTensor>>) {
    for (const [name, t] of Object.entries(tensors)) this.#current.set(name, wrap(t))
  }

  get names(): readonly string[] {
    return [...this.#current.keys()]
  }

  tensor(name: string): ort.Tensor | undefined {
    return this.#current.get(name)
  }

  target(name: string, inPlace: boolean): ort.Tensor {
    const current = this.#require(name)
    if (inPlace) return current
    const spare = this.#spare.get(name) ?? wrap(copyOf(fromOrt(current)))
    this.#spare.set(name, spare)
    return spare
  }

  commit(name: string, _result: ort.Tensor, inPlace: boolean): void {
    if (inPlace) return
    const [current, spare] = [this.#current.get(name)!, this.#spare.get(name)!]
    this.#current.set(name, spare)
    this.#spare.set(name, current)
  }

  async read(names: readonly string[] = this.names): Promise<Record<string, HostTensor>> {
    return Object.fromEntries(names.map((name) => [name, copyOf(fromOrt(this.#require(name)))]))
  }

  async write(tensors: Readonly<Record<string, HostTensor>>): Promise<void> {
    for (const [name, t] of Object.entries(tensors)) {
      const current = this.#require(name)
      toOrt(t, { dtype: current.type as HostTensor['dtype'], shape: current.dims }, name, 'state')
      ;(current.data as Float32Array).set(t.data as Float32Array)
    }
  }

  dispose(): void {
    this.#current.clear()
    this.#spare.clear()
  }

  #require(name: string): ort.Tensor {
    const tensor = this.#current.get(name)
    if (tensor === undefined) throw unknownName(name, this.names)
    return tensor
  }
}

const copyOf = (t: HostTensor): HostTensor => ({ ...t, data: t.data.slice() })

/**
 * State in GPU buffers. Uploads and downloads go through sessions of Identity nodes: reading a GPU tensor directly
 * aborts the process in onnxruntime-node 1.30.
 */
export class GpuState implements OrtState {
  readonly #outputs: Readonly<Record<string, string>>
  readonly #upload: ort.InferenceSession
  readonly #download: ort.InferenceSession
  readonly #enqueue: <T>(job: () => Promise<T>) => Promise<T>
  #current = new Map<string, ort.Tensor>()

  constructor(
    outputs: Readonly<Record<string, string>>,
    upload: ort.InferenceSession,
    download: ort.InferenceSession,
    enqueue: <T>(job: () => Promise<T>) => Promise<T>,
  ) {
    this.#outputs = outputs
    this.#upload = upload
    this.#download = download
    this.#enqueue = enqueue
  }

  get names(): readonly string[] {
    return Object.keys(this.#outputs).map((output) => output.slice('out:'.length))
  }

  tensor(name: string): ort.Tensor | undefined {
    return this.#current.get(name)
  }

  target(): null {
    return null
  }

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
      feeds[name] = toOrt(t, expected, name, 'state')
    }
    const results = await this.#enqueue(() => this.#upload.run(feeds))
    for (const name of this.names) this.commit(name, results[this.#outputs[`out:${name}`]!] as ort.Tensor)
  }

  dispose(): void {
    for (const t of this.#current.values()) t.dispose()
    this.#current.clear()
  }
}
