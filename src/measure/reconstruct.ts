/** @file What a run is worth on images: reconstructions, rates and errors of a set, of files, of the held-out part. */
import type { ImageSource } from '../data/images/source.ts'
import type { Collective } from '../distributed/collective.ts'
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
import { batchFor, type ImageSet } from '../method/programs.ts'
import { partsOfVariant } from '../method/variants.ts'

import type { Evaluation } from '../metrics/figures.ts'
import { meanAndError } from '../metrics/mean.ts'
import { decoderSampler } from '../model/samplers.ts'
import { evenImages, evenly } from '../use/evenly.ts'
import { factsLike } from '../use/facts.ts'
import type { OpenedRun } from '../use/openRun.ts'
import { openTrainedData, type Watched } from '../use/runData.ts'
import { type PredictOptions, predictHeldOut } from './predict.ts'
import { stillRate } from './still.ts'

/** Times and noises per image for its rate and loss terms: one protocol, whoever asks (docs/metrics.md). */
const draws = 8

/** Clips predicted for figures at most. */
export const predictedAtMost = 64

/** How images are measured. */
export interface MeasureOptions {
  readonly seed: number
  readonly sampler: SamplerConfig
  /** Processes that share the images. */
  readonly together?: Collective | undefined
}

/** Encodes, decodes and measures images, a part in memory at a time, which `look` sees as it passes. */
export const measureStage1 = async (
  run: OpenedRun,
  runtime: Runtime,
  images: ImageSet,
  { seed, sampler, together }: MeasureOptions,
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
  const options = { draws, batch, seed, sampler, ...(together && { together }) }
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

/** What was measured, with the first images and their reconstructions to show. */
export interface Reconstructed extends MeasuredStage1 {
  /** [n, 3, H, W] */
  readonly images: HostTensor
  readonly reconstructions: HostTensor
  /** The latent's nats where they fall, [n, c, h, w]. */
  readonly rateElements: Float64Array
}

/**
 * Encodes, decodes and measures images, a part in memory at a time.
 * @param options.shown how many of the first are kept, at least one
 * @param options.look sees every part as it passes
 */
export const reconstruct = async (
  run: OpenedRun,
  runtime: Runtime,
  images: ImageSet,
  options: MeasureOptions & { readonly shown: number; readonly look?: (part: MeasuredPart) => void },
): Promise<Reconstructed> => {
  const shown = Math.min(options.shown, images.count)
  const perLatent = elementsOf(latentOf(run.model))
  const [originals, parts]: [HostTensor[], HostTensor[]] = [[], []]
  const rateElements = new Float64Array(shown * perLatent)
  const measured = await measureStage1(run, runtime, images, options, (part) => {
    options.look?.(part)
    const n = Math.min(countOf(part.images), shown - part.first)
    if (n <= 0) return
    originals.push(examplesOf(part.images, 0, n))
    parts.push(examplesOf(part.reconstructions, 0, n))
    rateElements.set(part.rateElements.subarray(0, n * perLatent), part.first * perLatent)
  })
  return { ...measured, images: stacked(originals), reconstructions: stacked(parts), rateElements }
}

/** The rate of held-out images by a run's base model, in bits/pixel; null where it has none. */
export const baseRate = async (
  run: OpenedRun,
  runtime: Runtime,
  source: ImageSource,
  options: { readonly count: number; readonly seed: number; readonly together?: Collective },
): Promise<Evaluation['baseBitsPerPixel'] | null> => {
  if (!run.hasBase) return null
  const indices = evenly(options.count, source.count)
  const images = evenImages(source, options.count)
  const image = imageOf(run.model)
  const batch = batchFor(indices.length, image)
  const codec = run.codec(batch)
  const examples = {
    facts: indices.map((index) => factsLike(run, source, index)),
    encode: async (first: number, n: number) =>
      codec.encode(await images.read(first, n), options.seed, first),
  }
  const nats = await baseNatsOf(runtime, run.model, run.base(), examples, { ...options, draws, batch })
  await codec.dispose()
  const own =
    run.config.variant.variance === 'learned'
      ? await ownNatsOf(runtime, run.model, run.autoencoder(), images, batch)
      : nats.map(() => 0)
  return meanAndError(nats.map((n, i) => bitsPerPosition(image, n + own[i])))
}

/** Measures the run of a directory on up to `count` held-out images, spread evenly. @throws ConfigError for other data than it was trained on */
export const evaluate = async (
  dir: string,
  run: OpenedRun,
  runtime: Runtime,
  options: Watched &
    Pick<PredictOptions, 'count' | 'seed' | 'givenGuidance'> & { readonly together?: Collective },
): Promise<Evaluation> => {
  const { validation } = await openTrainedData(dir, run, options)
  const { figures } = await measureStage1(run, runtime, evenImages(validation, options.count), {
    seed: options.seed,
    sampler: decoderSampler(run.config),
    together: options.together,
  })
  const base = await baseRate(run, runtime, validation, options)
  const predicted =
    run.model.video && run.generates
      ? await predictHeldOut(run, validation, { ...options, count: Math.min(predictedAtMost, options.count) })
      : null
  return {
    ...figures,
    ...(await stillRate(run, runtime, validation, options.seed)),
    ...(base && { baseBitsPerPixel: base }),
    ...(predicted && { prediction: predicted.figures }),
  }
}
