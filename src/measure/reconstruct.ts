/** @file What a run is worth on images: reconstructions, rates and errors of a set, of files, of the held-out part. */
import type { ImageSource } from '../data/images/source.ts'
import { countOf, examplesOf, type HostTensor, stacked } from '../engine/host/tensor.ts'
import type { Runtime } from '../engine/runtime/runtime.ts'
import { imageOf, latentOf } from '../method/config.ts'
import type { SamplerConfig } from '../method/diffusion/sampler.ts'
import {
  baseNatsOf,
  evaluateStage1,
  type MeasuredPart,
  type MeasuredStage1,
  ownNatsOf,
} from '../method/evaluate.ts'
import { bitsPerPosition, elementsOf } from '../method/networks/shapes.ts'
import { batchFor, type ImageSet, partsOf } from '../method/programs.ts'
import { partsOfVariant } from '../method/variants.ts'

import type { Evaluation } from '../metrics/figures.ts'
import { meanAndError } from '../metrics/mean.ts'
import { factsLike } from '../use/facts.ts'
import { evenImages, evenly } from '../use/images.ts'

import type { OpenedRun } from '../use/openRun.ts'
import { openRunData } from '../use/runData.ts'
import { decoderSampler } from '../use/samplers.ts'

/** Times and noises per image for its rate and loss terms: one protocol, whoever asks (docs/metrics.md). */
const draws = 8

/** How images are measured. */
export interface MeasureOptions {
  readonly seed: number
  readonly sampler: SamplerConfig
}

/** Encodes, decodes and measures images, a part in memory at a time, which `look` sees as it passes. */
export const measureStage1 = async (
  run: OpenedRun,
  runtime: Runtime,
  images: ImageSet,
  { seed, sampler }: MeasureOptions,
  look?: (part: MeasuredPart) => void,
): Promise<MeasuredStage1> => {
  const { model } = run
  if (!partsOfVariant(model.variant).space.isLearned) {
    throw new Error(
      `this run's latent is the image itself (variant.encoder is ${model.variant.encoder}): there is nothing to reconstruct or to rate`,
    )
  }
  const batch = batchFor(images.count, imageOf(model))
  const codec = run.codec(batch)
  const options = { draws, batch, seed, sampler }
  const measured = await evaluateStage1(
    runtime,
    { model, weights: run.autoencoder(), codec },
    images,
    options,
    look,
  )
  await codec.dispose()
  return measured
}

/** Reconstructions with what was measured of them. */
export interface Reconstructed extends MeasuredStage1 {
  /** [N, 3, H, W] */
  readonly reconstructions: HostTensor
  /** The latent's nats where they fall, [N, c, h, w]; null unless they were asked for. */
  readonly rateElements: Float64Array | null
}

/** Encodes, decodes and measures images [N, 3, H, W]. @param options.rates whether to keep where the rate falls */
export const reconstruct = async (
  run: OpenedRun,
  runtime: Runtime,
  images: HostTensor,
  options: MeasureOptions & { readonly rates?: boolean },
): Promise<Reconstructed> => {
  const given: ImageSet = {
    count: countOf(images),
    read: async (first, n) => examplesOf(images, first, n),
  }
  const perLatent = elementsOf(latentOf(run.model))
  const parts: HostTensor[] = []
  const rateElements = options.rates ? new Float64Array(given.count * perLatent) : null
  const measured = await measureStage1(run, runtime, given, options, (part) => {
    parts.push(part.reconstructions)
    rateElements?.set(part.rateElements, part.first * perLatent)
  })
  return { ...measured, reconstructions: stacked(parts), rateElements }
}

/** The rate of held-out images by a run's base model, in bits/pixel; null where it has none. */
export const baseRate = async (
  run: OpenedRun,
  runtime: Runtime,
  source: ImageSource,
  options: { readonly count: number; readonly seed: number },
): Promise<Evaluation['baseBitsPerPixel'] | null> => {
  if (!run.hasBase) return null
  const indices = evenly(options.count, source.count)
  const images = evenImages(source, options.count)
  const image = imageOf(run.model)
  const batch = batchFor(indices.length, image)
  const codec = run.codec(batch)
  const parts: HostTensor[] = []
  for (const { first, n } of partsOf(indices.length, batch))
    parts.push(await codec.encode(await images.read(first, n), options.seed, first))
  await codec.dispose()
  const examples = { z: stacked(parts), facts: indices.map((index) => factsLike(run, source, index)) }
  const nats = await baseNatsOf(runtime, run.model, run.base(), examples, { ...options, draws, batch })
  const own =
    run.config.variant.variance === 'learned'
      ? await ownNatsOf(runtime, run.model, run.autoencoder(), images, batch)
      : nats.map(() => 0)
  return meanAndError(nats.map((n, i) => bitsPerPosition(image, n + own[i])))
}

/** Measures a run on up to `count` held-out images, spread evenly. */
export const evaluate = async (
  run: OpenedRun,
  runtime: Runtime,
  options: { readonly count: number; readonly seed: number },
): Promise<Evaluation> => {
  const { validation } = await openRunData(run.config)
  const { figures } = await measureStage1(run, runtime, evenImages(validation, options.count), {
    seed: options.seed,
    sampler: decoderSampler(run.config),
  })
  const base = await baseRate(run, runtime, validation, options)
  return base ? { ...figures, baseBitsPerPixel: base } : figures
}
