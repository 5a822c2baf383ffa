/** @file What a trained stage 1 is worth: bits and losses with their errors, PSNR against the trivial codec. */

import { floats, type HostTensor } from '../engine/host/tensor.ts'
import { add } from '../engine/ops/core.ts'
import type { Runtime } from '../engine/runtime/runtime.ts'
import type { Evaluation } from '../metrics/figures.ts'
import { meanAndError } from '../metrics/mean.ts'
import { boxDownBilinearUp, psnr } from '../metrics/psnr.ts'
import { ssim } from '../metrics/ssim.ts'
import { traceFrozen, type Weights } from '../train/step.ts'
import type { Codec } from './codec.ts'
import { normalKlElements, sumPerExample } from './diffusion/process.ts'
import type { SamplerConfig } from './diffusion/sampler.ts'
import { elboWeight } from './diffusion/weighting.ts'
import type { ModelConfig } from './networks/config.ts'
import { batchOf, compiledOnUse, type ImageSet, partsOf } from './programs.ts'
import { imageShape, latentShape, rateLevels, stage1Feeds, stage1InputSpecs } from './stage1.ts'
import { stage2Feeds, stage2Objective } from './stage2.ts'
import { type Stage1Inputs, type Stage2Inputs, stage1Terms, stage2Nats } from './unifiedLatents.ts'

/** Loss terms per image in nats, each averaged over the draws of time and noise. */
export interface TermsPerImage {
  readonly priorNats: readonly number[]
  readonly terminalNats: readonly number[]
  readonly decoderNats: readonly number[]
  /** The latent's nats where they fall, [N, c, h, w]. */
  readonly rateElements: Float64Array
}

/** How often times and noises are drawn for each example, and from which seed. */
interface Draws {
  readonly draws: number
  readonly seed: number
}

/** Which of `of` examples are at hand: `count` from `first` on, a multiple of the batch. They draw as among all. */
interface Part {
  readonly first: number
  readonly count: number
  readonly of: number
}

/**
 * What is estimated of each example, averaged over draws of time and noise.
 * @param estimate the outputs for the batch from `first` of the part on, with the times and noises of a step
 */
const meansOverDraws = async (
  { first: start, count, of }: Part,
  draws: number,
  batch: number,
  estimate: (first: number, step: number) => Promise<Readonly<Record<string, HostTensor>>>,
): Promise<Readonly<Record<string, Float64Array>>> => {
  const means: Record<string, Float64Array> = {}
  for (let draw = 0; draw < draws; draw++) {
    for (let first = 0; first < count; first += batch) {
      const step = draw * Math.ceil(of / batch) + (start + first) / batch
      for (const [name, output] of Object.entries(await estimate(first, step))) {
        const values = floats(output)
        const each = values.length / batch
        means[name] ??= new Float64Array(count * each)
        const real = each * Math.min(batch, count - first)
        for (let i = 0; i < real; i++) means[name][first * each + i]! += values[i]! / draws
      }
    }
  }
  return means
}

/** The stage-1 objective ready to be measured. */
export interface TermsEstimator {
  /** The terms for each of a part of the images, [count, 3, H, W]. */
  terms(images: Float32Array, part: Part, options: Draws): Promise<TermsPerImage>
  dispose(): Promise<void>
}

/** Estimates the terms of the stage-1 objective in batches of B, with the averaged weights and without dropout. */
export const createTermsEstimator = (
  runtime: Runtime,
  config: ModelConfig,
  weights: Weights,
  B: number,
): TermsEstimator => {
  const { seed: _, ...specs } = stage1InputSpecs(config, B)
  const program = compiledOnUse(runtime, () =>
    traceFrozen('evaluate', weights, specs, (lookUp, inputs) => {
      const { priorNats, terminalNats, decoderNats, rateElements } = stage1Terms(
        config,
        lookUp,
        inputs as unknown as Stage1Inputs,
      )
      return { priorNats, terminalNats, decoderNats, rateElements }
    }),
  )
  const shape = imageShape(config, B)
  return {
    terms: async (images, part, { draws, seed }) => {
      const means = await meansOverDraws(part, draws, B, (first, step) => {
        const own = floats(batchOf(images, shape, first))
        const { seed: __, ...feeds } = stage1Feeds(config, own, seed, step, 1, rateLevels)
        return program.run(feeds)
      })
      return {
        priorNats: [...means.priorNats!],
        terminalNats: [...means.terminalNats!],
        decoderNats: [...means.decoderNats!],
        rateElements: means.rateElements!,
      }
    },
    dispose: () => program.dispose(),
  }
}

/**
 * The rate of latents by the base model, in nats each: its unweighted ELBO from λ(0) on (Table 5). Not of a learned
 * variance, whose entropy the latents alone do not tell.
 * @param z clean latents [N, c, h, w]
 * @param labels class per latent, −1 for none
 */
export const baseNatsOf = async (
  runtime: Runtime,
  config: ModelConfig,
  weights: Weights,
  z: Float32Array,
  labels: Int32Array,
  { draws, batch, seed }: Draws & { readonly batch: number },
): Promise<number[]> => {
  const all = { first: 0, count: labels.length, of: labels.length }
  const { seed: _, ...specs } = stage2Objective(config, batch).inputs
  const program = traceFrozen('evaluateBase', weights, specs, (lookUp, inputs) => {
    const given = inputs as unknown as Stage2Inputs
    const terminal = sumPerExample(normalKlElements(given.z, config.latent.logSnr1))
    return { nats: add(stage2Nats(config, lookUp, given), terminal) }
  })
  const executable = await runtime.compile(program)
  const shape = latentShape(config, batch)
  const means = await meansOverDraws(all, draws, batch, (first, step) => {
    const own = Int32Array.from({ length: batch }, (_, i) => labels[first + i] ?? -1)
    const feeds = stage2Feeds(config, floats(batchOf(z, shape, first)), own, seed, step, {
      weighting: elboWeight,
      labelDropout: 0,
    })
    return executable.run(feeds)
  })
  await executable.dispose()
  return [...means.nats!]
}

/** Images from `first` on with what was made of them, while they are in memory. */
export interface MeasuredPart {
  readonly first: number
  /** [n, 3, H, W] */
  readonly images: Float32Array
  readonly reconstructions: Float32Array
  /** The latent's nats where they fall, [n, c, h, w]. */
  readonly rateElements: Float64Array
}

/** Figures of stage 1, and the two that are told image by image. */
export interface MeasuredStage1 {
  readonly figures: Evaluation
  readonly psnrs: readonly number[]
  readonly bitsPerPixel: readonly number[]
}

/**
 * Measures stage 1 on images, of which a part is in memory at a time; the figures do not depend on its size.
 * @param options.batch of the codec, too
 * @param look sees every part as it passes
 */
export const evaluateStage1 = async (
  runtime: Runtime,
  config: ModelConfig,
  weights: Weights,
  codec: Codec,
  set: ImageSet,
  options: Draws & { readonly batch: number; readonly sampler: SamplerConfig; readonly atOnce?: number },
  look: (part: MeasuredPart) => void = () => undefined,
): Promise<MeasuredStage1> => {
  const { size, latent } = config
  const { count } = set
  const { batch, seed, sampler } = options
  const estimator = createTermsEstimator(runtime, config, weights, batch)
  const psnrs: number[] = []
  const ssims: number[] = []
  const gridPsnrs: number[] = []
  const priorNats: number[] = []
  const terminalNats: number[] = []
  const decoderNats: number[] = []
  const coded = async (images: Float32Array, first: number, steps: SamplerConfig) => {
    const z = await codec.encode(images, seed, first)
    return { z, reconstructions: await codec.decode(codec.addNoise(z, seed, first), seed, steps, first) }
  }
  // Compiles encoder and decoder, which is no part of the time that an image takes.
  await coded(await set.read(0, Math.min(batch, count)), 0, { ...sampler, steps: 1 })
  let squares = 0
  let seconds = 0
  for (const { first, n } of partsOf(count, batch, options.atOnce)) {
    const images = await set.read(first, n)
    const start = performance.now()
    const { z, reconstructions } = await coded(images, first, sampler)
    seconds += (performance.now() - start) / 1000
    squares = z.reduce((sum, v) => sum + v * v, squares)
    psnrs.push(...psnr(images, reconstructions, n))
    if (size >= 11) ssims.push(...ssim(images, reconstructions, [n, 3, size, size]))
    gridPsnrs.push(...psnr(images, boxDownBilinearUp(images, n * 3, size, latent.downsample), n))
    const terms = await estimator.terms(images, { first, count: n, of: count }, options)
    priorNats.push(...terms.priorNats)
    terminalNats.push(...terms.terminalNats)
    decoderNats.push(...terms.decoderNats)
    look({ first, images, reconstructions, rateElements: terms.rateElements })
  }
  await estimator.dispose()
  const latentNats = priorNats.map((nats, i) => nats + terminalNats[i]!)
  const perPixel = latentNats.map((nats) => nats / (size ** 2 * Math.LN2))
  const elements = latentShape(config, 1).reduce((n, d) => n * d, 1)
  const figures: Evaluation = {
    count,
    psnr: meanAndError(psnrs),
    ssim: size < 11 ? null : meanAndError(ssims),
    gridPsnr: meanAndError(gridPsnrs),
    bitsPerPixel: meanAndError(perPixel),
    bitsPerDim: meanAndError(latentNats.map((nats) => nats / (elements * Math.LN2))),
    priorNats: meanAndError(priorNats),
    terminalNats: meanAndError(terminalNats),
    decoderNats: meanAndError(decoderNats),
    latentRms: Math.sqrt(squares / (count * elements)),
    imagesPerSecond: count / seconds,
  }
  return { figures, psnrs, bitsPerPixel: perPixel }
}
