/** @file What a trained stage 1 is worth: bits and losses with their errors, PSNR against the trivial codec. */

import { normalKlElements, sumPerExample } from '../diffusion/process.ts'
import type { SamplerConfig } from '../diffusion/sampler.ts'
import { elboWeight } from '../diffusion/weighting.ts'
import { boxDownBilinearUp, meanAndError, psnr } from '../eval/psnr.ts'
import { ssim } from '../eval/ssim.ts'
import { floats, type HostTensor } from '../host/tensor.ts'
import type { ModelConfig } from '../models/config.ts'
import { type Stage1Inputs, type Stage2Inputs, stage1Terms, stage2Nats } from '../models/unifiedLatents.ts'
import { add } from '../ops/core.ts'
import type { Runtime } from '../runtime/runtime.ts'
import { traceFrozen, type Weights } from '../train/step.ts'
import type { Codec } from './codec.ts'
import { batchOf } from './programs.ts'
import { imageShape, latentShape, rateLevels, stage1Feeds, stage1InputSpecs } from './stage1.ts'
import { stage2Feeds, stage2Objective } from './stage2.ts'

/** Loss terms per picture in nats, each averaged over the draws of time and noise. */
export interface TermsPerImage {
  readonly priorNats: readonly number[]
  readonly terminalNats: readonly number[]
  readonly decoderNats: readonly number[]
  /** The latent's nats where they fall, [N, c, h, w]. */
  readonly rateElements: Float64Array
}

/** How often times and noises are drawn for each example, how many examples go at a time, and from which seed. */
interface Draws {
  readonly draws: number
  readonly batch: number
  readonly seed: number
}

/**
 * What is estimated of each example, averaged over draws of time and noise.
 * @param estimate the outputs for the batch of examples from `first` on, with the times and noises of a step
 */
const meansOverDraws = async (
  count: number,
  { draws, batch }: Draws,
  estimate: (first: number, step: number) => Promise<Readonly<Record<string, HostTensor>>>,
): Promise<Readonly<Record<string, Float64Array>>> => {
  const means: Record<string, Float64Array> = {}
  for (let draw = 0; draw < draws; draw++) {
    for (let first = 0; first < count; first += batch) {
      const step = draw * Math.ceil(count / batch) + first / batch
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

/**
 * Estimates the terms of the stage-1 objective for each picture with the averaged weights and without dropout.
 * @param images [N, 3, H, W]
 */
export const stage1TermsOf = async (
  runtime: Runtime,
  config: ModelConfig,
  weights: Weights,
  images: Float32Array,
  options: Draws,
): Promise<TermsPerImage> => {
  const { batch, seed } = options
  const { seed: _, ...specs } = stage1InputSpecs(config, batch)
  const program = traceFrozen('evaluate', weights, specs, (lookUp, inputs) => {
    const { priorNats, terminalNats, decoderNats, rateElements } = stage1Terms(
      config,
      lookUp,
      inputs as unknown as Stage1Inputs,
    )
    return { priorNats, terminalNats, decoderNats, rateElements }
  })
  const executable = await runtime.compile(program)
  const shape = imageShape(config, batch)
  const means = await meansOverDraws(images.length / (3 * config.size ** 2), options, (first, step) => {
    const own = floats(batchOf(images, shape, first))
    const { seed: __, ...feeds } = stage1Feeds(config, own, seed, step, 1, rateLevels)
    return executable.run(feeds)
  })
  await executable.dispose()
  return {
    priorNats: [...means.priorNats!],
    terminalNats: [...means.terminalNats!],
    decoderNats: [...means.decoderNats!],
    rateElements: means.rateElements!,
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
  options: Draws,
): Promise<number[]> => {
  const { batch, seed } = options
  const { seed: _, ...specs } = stage2Objective(config, batch).inputs
  const program = traceFrozen('evaluateBase', weights, specs, (lookUp, inputs) => {
    const given = inputs as unknown as Stage2Inputs
    const terminal = sumPerExample(normalKlElements(given.z, config.latent.logSnr1))
    return { nats: add(stage2Nats(config, lookUp, given), terminal) }
  })
  const executable = await runtime.compile(program)
  const shape = latentShape(config, batch)
  const means = await meansOverDraws(labels.length, options, (first, step) => {
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

/** A measured quantity and its standard error over pictures. */
interface Measured {
  readonly mean: number
  readonly error: number
}

/** Validation figures of stage 1. */
export interface Evaluation {
  readonly count: number
  /** dB, MAX 2 on [−1, 1], per picture then mean. */
  readonly psnr: Measured
  /** Structural similarity; null for pictures smaller than its window of 11×11. */
  readonly ssim: Measured | null
  /** PSNR of averaging down to the latent grid and bilinear interpolation up. */
  readonly gridPsnr: Measured
  /** L_z/(H·W·ln 2), an upper bound on the latent's information (method.md section 3). */
  readonly bitsPerPixel: Measured
  /** L_z/(h·w·c·ln 2) */
  readonly bitsPerDim: Measured
  /** The same latents by the base model's unweighted ELBO in place of the prior's; absent without a base model. */
  readonly baseBitsPerPixel?: Measured
  /** Loss terms in nats per picture. */
  readonly priorNats: Measured
  readonly terminalNats: Measured
  readonly decoderNats: Measured
  /** Root mean square of the clean latent. */
  readonly latentRms: number
  /** Reconstructions (encode, then all decoder steps) per second. */
  readonly imagesPerSecond: number
}

/** Measures stage 1 on pictures [N, 3, H, W] and returns the reconstructions with the figures. */
export const evaluateStage1 = async (
  runtime: Runtime,
  config: ModelConfig,
  weights: Weights,
  codec: Codec,
  images: Float32Array,
  options: {
    readonly draws: number
    readonly batch: number
    readonly seed: number
    readonly sampler: SamplerConfig
  },
): Promise<{
  readonly figures: Evaluation
  readonly reconstructions: Float32Array
  readonly psnrs: readonly number[]
  readonly bitsPerPixel: readonly number[]
  /** The latent's nats where they fall, [N, c, h, w]. */
  readonly rateElements: Float64Array
}> => {
  const count = images.length / (3 * config.size ** 2)
  const start = performance.now()
  const z = await codec.encode(images, options.seed)
  const reconstructions = await codec.decode(codec.addNoise(z, options.seed), options.seed, options.sampler)
  const seconds = (performance.now() - start) / 1000
  const terms = await stage1TermsOf(runtime, config, weights, images, options)
  const latentNats = terms.priorNats.map((nats, i) => nats + terms.terminalNats[i]!)
  const perPixel = latentNats.map((nats) => nats / (config.size ** 2 * Math.LN2))
  const elements = latentShape(config, 1).reduce((n, d) => n * d, 1)
  const psnrs = psnr(images, reconstructions, count)
  const grid = boxDownBilinearUp(images, count * 3, config.size, config.latent.downsample)
  const shape = [count, 3, config.size, config.size] as const
  const figures: Evaluation = {
    count,
    psnr: meanAndError(psnrs),
    ssim: config.size < 11 ? null : meanAndError(ssim(images, reconstructions, shape)),
    gridPsnr: meanAndError(psnr(images, grid, count)),
    bitsPerPixel: meanAndError(perPixel),
    bitsPerDim: meanAndError(latentNats.map((nats) => nats / (elements * Math.LN2))),
    priorNats: meanAndError(terms.priorNats),
    terminalNats: meanAndError(terms.terminalNats),
    decoderNats: meanAndError(terms.decoderNats),
    latentRms: Math.sqrt(z.reduce((sum, v) => sum + v * v, 0) / z.length),
    imagesPerSecond: count / seconds,
  }
  return { figures, reconstructions, psnrs, bitsPerPixel: perPixel, rateElements: terms.rateElements }
}
