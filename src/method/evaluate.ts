/** @file What a trained run is worth: bits and losses with their errors, reconstructions against the trivial codec. */
import { alone, type Collective, inRounds } from '../distributed/collective.ts'
import { type Part, wholeBatch } from '../engine/host/part.ts'
import { countOf, floats, type HostTensor, paddedExamples } from '../engine/host/tensor.ts'
import type { Runtime } from '../engine/runtime/runtime.ts'
import type { Evaluation, Measured } from '../metrics/figures.ts'
import { meanAndError } from '../metrics/mean.ts'
import { latentGridReference, psnr } from '../metrics/psnr.ts'
import { reconstructionMetrics } from '../metrics/reconstruction.ts'
import type { Weights } from '../train/frozen.ts'
import { measuredFeeds, tracedOwnNats, tracedTerms } from './autoencoder.ts'
import { measuredBaseFeeds, tracedBaseRate } from './baseModel.ts'
import type { Codec } from './codec.ts'
import type { Facts } from './conditions/condition.ts'
import { imageOf, latentOf, type ModelConfig } from './config.ts'
import type { Draw } from './diffusion/draws.ts'
import type { SamplerConfig } from './diffusion/sampler.ts'
import { bitsPerPosition, elementsOf } from './networks/shapes.ts'
import { compiledOnUse, type ImageSet, partsOf } from './programs.ts'

/** How often times and noises are drawn for each example, and from which seed. */
interface Draws {
  readonly draws: number
  readonly seed: number
}

/**
 * What is estimated of each example, averaged over draws of time and noise.
 * @param part which of all examples are at hand, from a multiple of the batch on: they draw as among all
 * @param estimate the outputs for the batch from `first` of the part on
 */
const meansOverDraws = async <O extends string>(
  { first: start, count, of }: Part,
  { draws, seed, batch }: Draws & { readonly batch: number },
  estimate: (first: number, draw: Draw) => Promise<Readonly<Record<O, HostTensor>>>,
): Promise<Readonly<Record<O, Float64Array>>> => {
  const means: Partial<Record<O, Float64Array>> = {}
  const part = wholeBatch(batch)
  for (let draw = 0; draw < draws; draw++) {
    for (let first = 0; first < count; first += batch) {
      const step = draw * Math.ceil(of / batch) + (start + first) / batch
      const outputs = await estimate(first, { seed, purpose: 'measuring', step, part })
      for (const [name, output] of Object.entries(outputs) as [O, HostTensor][]) {
        const values = floats(output)
        const each = values.length / batch
        const sums = means[name] ?? new Float64Array(count * each)
        const real = each * Math.min(batch, count - first)
        for (let i = 0; i < real; i++) sums[first * each + i] += values[i] / draws
        means[name] = sums
      }
    }
  }
  return means as Record<O, Float64Array>
}

/** Loss terms of images in nats [count], each averaged over the draws of time and noise. */
type Terms = Readonly<Record<'priorNats' | 'terminalNats' | 'decoderNats', Float64Array>> & {
  /** The latent's nats where they fall, [count, c, h, w]. */
  readonly rateElements: Float64Array
}

/** The stage-1 objective ready to be measured. */
export interface TermsEstimator {
  /** The terms for each of a part of the images, [count, 3, H, W]. */
  terms(images: HostTensor, part: Part, options: Draws): Promise<Terms>
  dispose(): Promise<void>
}

/** Estimates the terms of the stage-1 objective in batches of B, with the averaged weights and without dropout. */
export const createTermsEstimator = (
  runtime: Runtime,
  model: ModelConfig,
  weights: Weights,
  B: number,
): TermsEstimator => {
  const program = compiledOnUse(runtime, () => tracedTerms(model, weights, B))
  return {
    terms: (images, part, options) =>
      meansOverDraws(part, { ...options, batch: B }, (first, draw) =>
        program.run(measuredFeeds(model, paddedExamples(images, first, B), draw)),
      ),
    dispose: () => program.dispose(),
  }
}

/**
 * What an encoder's own variance takes off the rate of images, in nats each, 0 or less: the latents alone do not tell.
 * @param weights those of the encoder
 */
export const ownNatsOf = async (
  runtime: Runtime,
  model: ModelConfig,
  weights: Weights,
  { count, read }: ImageSet,
  batch: number,
): Promise<number[]> => {
  const program = compiledOnUse(runtime, () => tracedOwnNats(model, weights, batch))
  const nats: number[] = []
  for (const { first, n } of partsOf(count, batch)) {
    const images = await read(first, n)
    for (let from = 0; from < n; from += batch) {
      const own = await program.run({ x: paddedExamples(images, from, batch) })
      nats.push(...floats(own.nats).subarray(0, Math.min(batch, n - from)))
    }
  }
  await program.dispose()
  return nats
}

/**
 * What latents are charged for by the base model, in nats each: its unweighted ELBO from λ(0) on (Table 5). Of a learned
 * variance the latents are draws, and their rate is this and `ownNatsOf`.
 * @param facts what is known of each of all latents
 * @param encode gives those from a number on, clean [n, c, h, w]
 */
export const baseNatsOf = async (
  runtime: Runtime,
  model: ModelConfig,
  weights: Weights,
  examples: {
    readonly facts: readonly (Facts | null)[]
    readonly encode: (first: number, n: number) => Promise<HostTensor>
  },
  { together = alone, ...options }: Draws & { readonly batch: number; readonly together?: Collective },
): Promise<number[]> => {
  const { facts, encode } = examples
  const { batch } = options
  const program = compiledOnUse(runtime, () => tracedBaseRate(model, weights, batch))
  const nats: number[] = []
  const measure = async ({ first, n }: { readonly first: number; readonly n: number }) => {
    const z = await encode(first, n)
    const part = { first, count: n, of: facts.length }
    const means = await meansOverDraws(part, options, (from, draw) => {
      const own = Array.from({ length: batch }, (_, i) => facts[first + from + i] ?? null)
      return program.run(measuredBaseFeeds(model, paddedExamples(z, from, batch), own, draw))
    })
    return means.nats
  }
  for await (const [, own] of inRounds(together, partsOf(facts.length, batch), measure)) nats.push(...own)
  await program.dispose()
  return nats
}

/** Images from `first` on with what was made of them, while they are in memory. */
export interface MeasuredPart {
  readonly first: number
  /** [n, 3, H, W] */
  readonly images: HostTensor
  readonly reconstructions: HostTensor
  /** The latent's nats where they fall, [n, c, h, w]. */
  readonly rateElements: Float64Array
  /** Of each image: dB, and the rate of its latent. */
  readonly psnrs: readonly number[]
  readonly bitsPerPixel: readonly number[]
}

/** Metrics of stage 1, and the two that are told image by image. */
export interface MeasuredStage1 {
  readonly figures: Evaluation
  readonly psnrs: readonly number[]
  readonly bitsPerPixel: readonly number[]
}

/** What is measured of images, by name: a number for each; null where images do not allow a metric. */
type Values = Readonly<Record<string, ArrayLike<number> | null>>

/**
 * Lists of numbers by name, one for each image in the order of the images, and how a part's travel between processes: a row
 * for each name, not a number where images do not allow a metric.
 */
const collected = (names: readonly string[]) => {
  const lists = new Map(names.map((name) => [name, [] as number[]]))
  const isMissing = (own: readonly number[]): boolean => own.some(Number.isNaN)
  return {
    rowsOf: (values: Values, n: number): number[] =>
      names.flatMap((name) => Array.from(values[name] ?? new Array<number>(n).fill(Number.NaN))),
    add: (rows: Float64Array, n: number): void => {
      for (const [i, name] of names.entries()) lists.get(name)!.push(...rows.subarray(i * n, (i + 1) * n))
    },
    of: (name: string): readonly number[] => lists.get(name)!,
    summary: (name: string): Measured | null => {
      const own = lists.get(name)!
      return isMissing(own) ? null : meanAndError(own)
    },
  }
}

/** The squares of each image's latent [n, …], added up. */
const squaresOf = (z: HostTensor): number[] => {
  const [data, n] = [floats(z), countOf(z)]
  const each = data.length / n
  return Array.from({ length: n }, (_, i) =>
    data.subarray(i * each, (i + 1) * each).reduce((sum, v) => sum + v * v, 0),
  )
}

/** Frames of a latent. */
const latentFrames = (model: ModelConfig): number => latentOf(model).frames ?? 1

const frameRate = (t: number): string => `rate of latent frame ${t}`

/** The rate of each latent frame of clips, over the pixels of the frames that it stands for. @param nats [n, c, T, h, w] */
const ratesByFrame = (model: ModelConfig, nats: Float64Array): Readonly<Record<string, number[]>> => {
  const latent = latentOf(model)
  const T = latentFrames(model)
  const [each, plane] = [elementsOf(latent), latent.height * latent.width]
  const sums = Array.from({ length: T }, () => new Array<number>(nats.length / each).fill(0))
  for (const [i, value] of nats.entries()) sums[Math.floor(i / plane) % T][Math.floor(i / each)] += value
  const perFrame = imageOf({ ...model, frames: model.frames / T })
  return Object.fromEntries(
    sums.map((own, t) => [frameRate(t), own.map((sum) => bitsPerPosition(perFrame, sum))]),
  )
}

/** How stage 1 is measured. */
export interface MeasuringOptions extends Draws {
  /** Of the codec, too. */
  readonly batch: number
  readonly sampler: SamplerConfig
  /** Images in memory at a time; the metrics do not depend on it. */
  readonly atOnce?: number
  /** Processes that share the images; each has all figures. */
  readonly together?: Collective
}

/**
 * Measures stage 1 on images, of which a part is in memory at a time.
 * @param look sees every part that this process works on, as it passes
 */
export const evaluateStage1 = async (
  runtime: Runtime,
  {
    model,
    weights,
    codec,
  }: { readonly model: ModelConfig; readonly weights: Weights; readonly codec: Codec },
  set: ImageSet,
  options: MeasuringOptions,
  look: (part: MeasuredPart) => void = () => undefined,
): Promise<MeasuredStage1> => {
  const { count } = set
  const { batch, seed, sampler, together = alone } = options
  const image = imageOf(model)
  const reference = (images: HostTensor): HostTensor =>
    latentGridReference(images, model.latent.downsample, model.video?.downsample)
  const estimator = createTermsEstimator(runtime, model, weights, batch)
  const bitsOf = (nats: Readonly<Record<'priorNats' | 'terminalNats', ArrayLike<number>>>): number[] =>
    Array.from(nats.priorNats, (own, i) => bitsPerPosition(image, own + nats.terminalNats[i]))
  const measured = collected([
    ...['priorNats', 'terminalNats', 'decoderNats', 'gridPsnr', 'squares'],
    ...reconstructionMetrics.map(({ key }) => key),
    ...(model.video === undefined ? [] : Array.from({ length: latentFrames(model) }, (_, t) => frameRate(t))),
  ])
  const coded = async (images: HostTensor, first: number, steps: SamplerConfig) => {
    const z = await codec.encode(images, seed, first)
    return { z, reconstructions: await codec.decode(codec.addNoise(z, seed, first), seed, steps, first) }
  }
  // Compiles encoder and decoder, which is no part of the time that an image takes.
  await coded(await set.read(0, Math.min(batch, count)), 0, { ...sampler, steps: 1 })
  const measure = async ({ first, n }: { readonly first: number; readonly n: number }): Promise<number[]> => {
    const images = await set.read(first, n)
    const start = performance.now()
    const { z, reconstructions } = await coded(images, first, sampler)
    const seconds = (performance.now() - start) / 1000
    const { rateElements, ...terms } = await estimator.terms(images, { first, count: n, of: count }, options)
    const psnrs = psnr(images, reconstructions)
    look({ ...{ first, images, reconstructions, rateElements, psnrs }, bitsPerPixel: bitsOf(terms) })
    const values = {
      ...terms,
      ...(model.video && ratesByFrame(model, rateElements)),
      ...Object.fromEntries(reconstructionMetrics.map(({ key, of }) => [key, of(images, reconstructions)])),
      gridPsnr: psnr(images, reference(images)),
      squares: squaresOf(z),
    }
    return [seconds, ...measured.rowsOf(values, n)]
  }
  let seconds = 0
  for await (const [{ n }, numbers] of inRounds(together, partsOf(count, batch, options.atOnce), measure)) {
    seconds += numbers[0] / together.size
    measured.add(numbers.subarray(1), n)
  }
  await estimator.dispose()
  const [priorNats, terminalNats] = [measured.of('priorNats'), measured.of('terminalNats')]
  const latentNats = priorNats.map((nats, i) => nats + terminalNats[i])
  const bitsPerPixel = bitsOf({ priorNats, terminalNats })
  const elements = elementsOf(latentOf(model))
  const psnrs = measured.of('psnr')
  const figures: Evaluation = {
    count,
    psnr: meanAndError(psnrs),
    ...Object.fromEntries(reconstructionMetrics.map(({ key }) => [key, measured.summary(key)])),
    gridPsnr: meanAndError(measured.of('gridPsnr')),
    bitsPerPixel: meanAndError(bitsPerPixel),
    bitsPerDim: meanAndError(latentNats.map((nats) => nats / (elements * Math.LN2))),
    ...(model.video && {
      bitsPerPixelByFrame: Array.from({ length: latentFrames(model) }, (_, t) =>
        meanAndError(measured.of(frameRate(t))),
      ),
    }),
    priorNats: meanAndError(priorNats),
    terminalNats: meanAndError(terminalNats),
    decoderNats: meanAndError(measured.of('decoderNats')),
    latentRms: Math.sqrt(measured.of('squares').reduce((a, b) => a + b) / (count * elements)),
    imagesPerSecond: count / seconds,
  }
  return { figures, psnrs, bitsPerPixel }
}
