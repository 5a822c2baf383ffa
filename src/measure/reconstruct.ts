/** @file What a run is worth on images: reconstructions, rates and errors of a set, of files, of the held-out part. */
import type { ImageSource } from '../data/images/source.ts'
import { joined, sizeOf } from '../engine/host/tensor.ts'
import type { Runtime } from '../engine/runtime/runtime.ts'
import type { SamplerConfig } from '../method/diffusion/sampler.ts'
import { baseNatsOf, evaluateStage1, type MeasuredPart, type MeasuredStage1 } from '../method/evaluate.ts'
import { batchFor, type ImageSet, partsOf } from '../method/programs.ts'
import { imageShape, latentShape } from '../method/stage1.ts'
import type { Evaluation } from '../metrics/figures.ts'
import { meanAndError } from '../metrics/mean.ts'
import { evenImages, evenly } from '../use/images.ts'
import { labelLike } from '../use/labels.ts'
import type { OpenedRun } from '../use/openRun.ts'
import { openRunData } from '../use/runData.ts'
import { decoderSampler } from '../use/samplers.ts'

/** Times and noises per image for the bits of a reconstruction. */
const drawsPerImage = 16

/** How images are measured. */
export interface MeasureOptions {
  readonly seed: number
  readonly sampler: SamplerConfig
  readonly draws?: number
}

/** Encodes, decodes and measures images, a part in memory at a time, which `look` sees as it passes. */
export const measureStage1 = async (
  run: OpenedRun,
  runtime: Runtime,
  images: ImageSet,
  { seed, sampler, draws = drawsPerImage }: MeasureOptions,
  look?: (part: MeasuredPart) => void,
): Promise<MeasuredStage1> => {
  if (run.model.variant.encoder === 'pixels') {
    throw new Error(
      `this run's latent is the image itself (variant.encoder is pixels): there is nothing to reconstruct or to rate`,
    )
  }
  const batch = batchFor(images.count, run.model.size)
  const codec = run.codec(batch)
  const options = { draws, batch, seed, sampler }
  const measured = await evaluateStage1(runtime, run.model, run.stage1(), codec, images, options, look)
  await codec.dispose()
  return measured
}

/** Reconstructions with what was measured of them. */
export interface Reconstructed extends MeasuredStage1 {
  /** [N, 3, H, W] */
  readonly reconstructions: Float32Array
  /** The latent's nats where they fall, [N, c, h, w]; null unless they were asked for. */
  readonly rateElements: Float64Array | null
}

/** Encodes, decodes and measures images [N, 3, H, W]. @param options.rates whether to keep where the rate falls */
export const reconstruct = async (
  run: OpenedRun,
  runtime: Runtime,
  images: Float32Array,
  options: MeasureOptions & { readonly rates?: boolean },
): Promise<Reconstructed> => {
  const each = sizeOf(imageShape(run.model, 1))
  const perLatent = sizeOf(latentShape(run.model, 1))
  const count = images.length / each
  const given: ImageSet = {
    count,
    read: async (first, n) => images.subarray(first * each, (first + n) * each),
  }
  const reconstructions = new Float32Array(images.length)
  const rateElements = options.rates ? new Float64Array(count * perLatent) : null
  const measured = await measureStage1(run, runtime, given, options, (part) => {
    reconstructions.set(part.reconstructions, part.first * each)
    rateElements?.set(part.rateElements, part.first * perLatent)
  })
  return { ...measured, reconstructions, rateElements }
}

/** The rate of held-out images by a run's base model, in bits/pixel; null where it has none, or none can be told. */
export const baseRate = async (
  run: OpenedRun,
  runtime: Runtime,
  source: ImageSource,
  options: { readonly count: number; readonly seed: number; readonly draws: number },
): Promise<Evaluation['baseBitsPerPixel'] | null> => {
  if (!run.hasBase || run.config.variant.variance === 'learned') return null
  const indices = evenly(options.count, source.count)
  const images = evenImages(source, options.count)
  const batch = batchFor(indices.length, run.model.size)
  const codec = run.codec(batch)
  const parts: Float32Array[] = []
  for (const { first, n } of partsOf(indices.length, batch))
    parts.push(await codec.encode(await images.read(first, n)))
  await codec.dispose()
  const labels = Int32Array.from(indices, (index) => labelLike(run, source, index))
  const nats = await baseNatsOf(runtime, run.model, run.stage2(), joined(parts), labels, {
    ...options,
    batch,
  })
  return meanAndError(nats.map((n) => n / (run.model.size ** 2 * Math.LN2)))
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
  const base = await baseRate(run, runtime, validation, { ...options, draws: drawsPerImage })
  return base ? { ...figures, baseBitsPerPixel: base } : figures
}
