/**
 * @file What `ul export RUN --onnx MODEL` wrote, in use with ONNX Runtime alone: nothing of this package is imported. It runs in
 * Node with onnxruntime-node and in pages with onnxruntime-web, whichever is passed in.
 */
import type { InferenceSession, TensorConstructor } from 'onnxruntime-common'
import { normals } from './noise.ts'

/** Of onnxruntime-node or onnxruntime-web. */
export interface Ort {
  readonly Tensor: TensorConstructor
}

/** Numbers with their sizes, the examples first. */
export interface Batch {
  readonly dims: readonly number[]
  readonly data: Float32Array
}

interface Network {
  readonly file: string
  readonly inputs: readonly {
    readonly name: string
    readonly dtype: 'float32' | 'int32'
    readonly shape: readonly (number | string)[]
  }[]
  readonly outputs: readonly { readonly name: string }[]
}

interface Step {
  readonly logSnr: number
  readonly keep: number
  readonly clean: number
  readonly past: number
  readonly noise: number
  readonly guidance?: number
}

interface Chain extends Network {
  readonly start: 'noise' | 'zeros'
  readonly steps: readonly Step[]
}

interface Extent {
  readonly channels: number
  readonly frames?: number
  readonly height: number
  readonly width: number
}

interface Condition {
  readonly name: string
  readonly usual: number
  readonly untold: number
}

/** The part of model.json that is used here. */
export interface Recipe {
  readonly format: string
  readonly version: number
  readonly image: Extent
  readonly latent: Extent & { readonly alpha0: number; readonly sigma0: number }
  readonly classes: readonly string[]
  readonly noise: Readonly<Record<string, string>>
  readonly encoder: Network
  readonly decoder: Chain
  readonly base: (Chain & { readonly conditions: readonly Condition[] }) | null
}

/** @throws when a file is not what `ul export --onnx` writes */
export const parseRecipe = (text: string): Recipe => {
  const recipe = JSON.parse(text) as Recipe
  if (recipe.format === 'unified-latents onnx' && recipe.version === 1) return recipe
  throw new Error("model.json: this is no export of version 1; write it with 'ul export RUN --onnx MODEL'")
}

/** Sizes of n images, or latents. */
export const dimsOf = ({ channels, frames, height, width }: Extent, n: number): number[] =>
  frames === undefined ? [n, channels, height, width] : [n, channels, frames, height, width]

const filled = (n: number, value: number): Batch => ({ dims: [n], data: new Float32Array(n).fill(value) })
const sizeOf = (dims: readonly number[]): number => dims.reduce((product, size) => product * size, 1)
const zeros = (dims: readonly number[]): Batch => ({ dims, data: new Float32Array(sizeOf(dims)) })

/** Two batches of the same sizes as one. */
const joined = (a: Batch, b: Batch): Batch => {
  const data = new Float32Array(a.data.length + b.data.length)
  data.set(a.data)
  data.set(b.data, a.data.length)
  return { dims: [a.dims[0] + b.dims[0], ...a.dims.slice(1)], data }
}

/** A model with its three networks open. */
export class Model {
  readonly recipe: Recipe
  readonly #ort: Ort
  readonly #open: (file: string) => Promise<InferenceSession>
  readonly #sessions = new Map<string, Promise<InferenceSession>>()

  /** @param open opens a file of the export, when it is first needed */
  constructor(recipe: Recipe, ort: Ort, open: (file: string) => Promise<InferenceSession>) {
    this.recipe = recipe
    this.#ort = ort
    this.#open = open
  }

  /** Runs a network; inputs that are not fed are zeros: of clips, nothing is given. */
  async #ask({ file, inputs, outputs }: Network, feeds: Readonly<Record<string, Batch>>): Promise<Batch> {
    const opened = this.#sessions.get(file) ?? this.#open(file)
    this.#sessions.set(file, opened)
    const session = await opened
    const [
      {
        dims: [n],
      },
    ] = Object.values(feeds) as [Batch]
    const tensors = inputs.map(({ name, dtype, shape }) => {
      const { dims, data } = feeds[name] ?? zeros([n, ...shape.slice(1).map(Number)])
      return [
        name,
        new this.#ort.Tensor(dtype, dtype === 'int32' ? Int32Array.from(data) : data, dims),
      ] as const
    })
    const made = (await session.run(Object.fromEntries(tensors)))[outputs[0].name]
    return { dims: made.dims, data: made.data as Float32Array }
  }

  /** All steps of a sampler. `predict` gives x̂ from x and the step, `noise` normals by the name of their stream. */
  async #chain(
    name: 'base' | 'decoder',
    dims: readonly number[],
    noise: (stream: string) => Float32Array,
    predict: (x: Batch, step: Step) => Promise<Batch>,
  ): Promise<Batch> {
    const { noise: streams, [name]: chain } = this.recipe
    if (chain === null) throw new Error('the run had no model that generates; train one, and export it again')
    let x = chain.start === 'noise' ? { dims, data: noise(streams[`${name}Start`]) } : zeros(dims)
    let before = zeros(dims)
    for (const [i, step] of chain.steps.entries()) {
      const xHat = await predict(x, step)
      const eps = step.noise === 0 ? null : noise(streams[`${name}Step`].replace('<step>', String(i)))
      const { keep, clean, past } = step
      const data = x.data.map(
        (value, j) =>
          keep * value +
          clean * xHat.data[j] +
          past * before.data[j] +
          (eps === null ? 0 : step.noise * eps[j]),
      )
      x = { dims, data }
      before = xHat
    }
    return x
  }

  /** Noisy latents of classes by number; null for no class. */
  async generate(labels: readonly (number | null)[], seed: number, first = 0): Promise<Batch> {
    const { base, latent } = this.recipe
    if (base === null) throw new Error('the run had no model that generates; train one, and export it again')
    const n = labels.length
    const dims = dimsOf(latent, n)
    const told: Record<string, Batch> = {}
    const untold: Record<string, Batch> = {}
    for (const { name, usual, untold: nothing } of base.conditions) {
      const asked = labels.map((label) => (label === null || name !== 'labels' ? usual : label))
      told[name] = { dims: [n], data: Float32Array.from(asked) }
      untold[name] = filled(n, nothing)
    }
    const noise = (stream: string): Float32Array => normals(seed, stream, first, dims)
    return this.#chain('base', dims, noise, async (x, { logSnr, guidance = 1 }) => {
      const feeds: Record<string, Batch> = { xT: x, logSnr: filled(n, logSnr), ...told }
      if (guidance === 1) return this.#ask(base, feeds)
      const others: Record<string, Batch> = { ...feeds, ...untold }
      const both = Object.fromEntries(
        Object.keys(feeds).map((name) => [name, joined(feeds[name], others[name])]),
      )
      const { data } = await this.#ask(base, both)
      const half = data.length / 2
      const xHat = x.data.map((_, j) => data[half + j] + guidance * (data[j] - data[half + j]))
      return { dims, data: xHat }
    })
  }

  /** Noisy latents z0 of images [N, 3, H, W] in [−1, 1]. */
  async encode(images: Batch, seed: number, first = 0): Promise<Batch> {
    const { encoder, latent, noise } = this.recipe
    const dims = dimsOf(latent, images.dims[0])
    const drawn = encoder.inputs.some(({ name }) => name === 'zDraw')
    const zDraw = drawn && { zDraw: { dims, data: normals(seed, noise.encoderVariance, first, dims) } }
    const z = await this.#ask(encoder, { x: images, ...zDraw })
    const eps = normals(seed, noise.z0, first, dims)
    return { dims, data: z.data.map((value, j) => latent.alpha0 * value + latent.sigma0 * eps[j]) }
  }

  /** Images in [−1, 1] of noisy latents. */
  decode(z0: Batch, seed: number, first = 0): Promise<Batch> {
    const [n] = z0.dims as [number]
    const dims = dimsOf(this.recipe.image, n)
    const noise = (stream: string): Float32Array => normals(seed, stream, first, dims)
    return this.#chain('decoder', dims, noise, (x, { logSnr }) =>
      this.#ask(this.recipe.decoder, { z0, xT: x, logSnr: filled(n, logSnr) }),
    )
  }

  async sample(labels: readonly (number | null)[], seed: number): Promise<Batch> {
    return this.decode(await this.generate(labels, seed), seed)
  }

  async reconstruct(images: Batch, seed: number): Promise<Batch> {
    return this.decode(await this.encode(images, seed), seed)
  }
}
