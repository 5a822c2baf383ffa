/** @file What a trained run is worth: bits and losses with their errors, reconstructions against the trivial codec. */
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
 * @param z clean latents [N, c, h, w]
 * @param facts what is known of each
 */
export const baseNatsOf = async (
  runtime: Runtime,
  model: ModelConfig,
  weights: Weights,
  examples: { readonly z: HostTensor; readonly facts: readonly (Facts | null)[] },
  options: Draws & { readonly batch: number },
): Promise<number[]> => {
  const { z, facts } = examples
  const { batch } = options
  const program = compiledOnUse(runtime, () => tracedBaseRate(model, weights, batch))
  const means = await meansOverDraws(wholeBatch(countOf(z)), options, (first, draw) => {
    const own = Array.from({ length: batch }, (_, i) => facts[first + i] ?? null)
    return program.run(measuredBaseFeeds(model, paddedExamples(z, first, batch), own, draw))
  })
  await program.dispose()
  return [...means.nats]
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

/** Lists of numbers by name, one for each image in the order of the images; null where images do not allow a metric. */
const collected = () => {
  const lists = new Map<string, number[] | null>()
  return {
    add: (values: Readonly<Record<string, Iterable<number> | null>>): void => {
      for (const [name, own] of Object.entries(values)) {
        lists.set(name, own === null ? null : [...(lists.get(name) ?? []), ...own])
      }
    },
    of: (name: string): readonly number[] => lists.get(name) ?? [],
    summary: (name: string): Measured | null => {
      const own = lists.get(name) ?? null
      return own && meanAndError(own)
    },
  }
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
}

/**
 * Measures stage 1 on images, of which a part is in memory at a time.
 * @param look sees every part as it passes
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
  const { batch, seed, sampler } = options
  const image = imageOf(model)
  const reference = (images: HostTensor): HostTensor =>
    latentGridReference(images, model.latent.downsample, model.video?.downsample)
  const estimator = createTermsEstimator(runtime, model, weights, batch)
  const bitsOf = (nats: Readonly<Record<'priorNats' | 'terminalNats', ArrayLike<number>>>): number[] =>
    Array.from(nats.priorNats, (own, i) => bitsPerPosition(image, own + nats.terminalNats[i]))
  const measured = collected()
  const coded = async (images: HostTensor, first: number, steps: SamplerConfig) => {
    const z = await codec.encode(images, seed, first)
    return { z, reconstructions: await codec.decode(codec.addNoise(z, seed, first), seed, steps, first) }
  }
  // Compiles encoder and decoder, which is no part of the time that an image takes.
  await coded(await set.read(0, Math.min(batch, count)), 0, { ...sampler, steps: 1 })
  let [squares, seconds] = [0, 0]
  for (const { first, n } of partsOf(count, batch, options.atOnce)) {
    const images = await set.read(first, n)
    const start = performance.now()
    const { z, reconstructions } = await coded(images, first, sampler)
    seconds += (performance.now() - start) / 1000
    squares = floats(z).reduce((sum, v) => sum + v * v, squares)
    const { rateElements, ...terms } = await estimator.terms(images, { first, count: n, of: count }, options)
    if (model.video !== undefined) measured.add(ratesByFrame(model, rateElements))
    measured.add({ ...terms, gridPsnr: psnr(images, reference(images)) })
    for (const { key, of } of reconstructionMetrics) measured.add({ [key]: of(images, reconstructions) })
    look({
      ...{ first, images, reconstructions, rateElements },
      psnrs: measured.of('psnr').slice(first),
      bitsPerPixel: bitsOf(terms),
    })
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
    latentRms: Math.sqrt(squares / (count * elements)),
    imagesPerSecond: count / seconds,
  }
  return { figures, psnrs, bitsPerPixel }
}
