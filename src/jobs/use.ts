/** @file Using a trained run: sample, reconstruct, encode, decode. Each is a function here and a command of `ul`. */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { ConfigError, nearest } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { readPictures, toNchw } from '../data/batches.ts'
import { decodePicture, isUndecodable } from '../data/decode.ts'
import { PICTURE_FORMATS, scanFolder } from '../data/scan.ts'
import type { DataSplit, ImageSource, SkippedFile } from '../data/source.ts'
import type { Guidance, SamplerConfig } from '../diffusion/sampler.ts'
import { meanAndError } from '../eval/psnr.ts'
import { float32, floats, type HostTensor } from '../host/tensor.ts'
import { nullLabel } from '../models/base.ts'
import { baseNatsOf, type Evaluation, evaluateStage1 } from '../pipeline/evaluate.ts'
import { batchFor } from '../pipeline/programs.ts'
import { imageShape, latentShape } from '../pipeline/stage1.ts'
import { readSafetensors, writeSafetensors } from '../run/safetensors.ts'
import type { Runtime } from '../runtime/runtime.ts'
import type { Listener } from './events.ts'
import type { OpenedRun } from './openRun.ts'
import { openWithNotes } from './openWithNotes.ts'

/** The data of a configuration. */
export const openRunData = ({ data }: Config, listen: Listener = () => undefined): Promise<DataSplit> => {
  const { source, path, size, skinTones } = data
  return openWithNotes({ source, path, size, skinTones }, listen)
}

/** How the decoder is sampled. */
export const decoderSampler = ({ sampler }: Config): SamplerConfig => ({
  kind: sampler.decoderKind,
  steps: sampler.decoderSteps,
  variance: sampler.variance,
})

/** How the latent chain is sampled. */
export const latentSampler = ({ sampler }: Config): SamplerConfig => ({
  kind: sampler.kind,
  steps: sampler.steps,
  variance: sampler.variance,
})

/** Guidance of the configuration. */
export const configGuidance = ({ sampler }: Config): Guidance => ({
  scale: sampler.guidance,
  logSnrMin: sampler.guidanceLogSnr[0],
  logSnrMax: sampler.guidanceLogSnr[1],
})

/** Up to `count` indices spread evenly over `of`. */
export const evenly = (count: number, of: number): number[] =>
  Array.from({ length: Math.min(count, of) }, (_, i) => Math.floor((i * of) / Math.min(count, of)))

/** The label of a class name; "none" is the null label. @throws naming the nearest class. */
export const labelOf = (run: OpenedRun, name: string): number => {
  if (name === 'none') return nullLabel(run.model)
  const label = run.info.classes.findIndex((c) => c.toLowerCase() === name.toLowerCase())
  if (label < 0) {
    const close = nearest(name, [...run.info.classes, 'none'])
    const hint = close === undefined ? 'classes are' : `the nearest is '${close}' of`
    throw new ConfigError(
      `--class ${name}: the run has no such class; ${hint} ${run.info.classes.join(', ')}, none`,
    )
  }
  return label
}

/** Generates one picture per label: [N, 3, H, W] in [−1, 1], noise from (seed, position). */
export const sample = async (
  run: OpenedRun,
  labels: Int32Array,
  options: {
    readonly seed: number
    readonly sampler: SamplerConfig
    readonly guidance: Guidance
    readonly decoder: SamplerConfig
  },
): Promise<HostTensor> => {
  const batch = batchFor(labels.length, run.model.size)
  const generator = run.generator(batch)
  const z0 = await generator.generate(labels, options.seed, options.sampler, options.guidance)
  await generator.dispose()
  const codec = run.codec(batch)
  const pictures = await codec.decode(z0, options.seed, options.decoder)
  await codec.dispose()
  return float32(imageShape(run.model, labels.length), pictures)
}

/** Pictures read from disk for a run. */
export interface LoadedPictures {
  readonly files: readonly string[]
  /** [N, 3, H, W] in [−1, 1] */
  readonly images: Float32Array
  readonly skipped: readonly SkippedFile[]
}

const expandPath = async (given: string): Promise<string[]> => {
  const info = await stat(given).catch(() => null)
  if (info === null) throw new Error(`${given}: there is no such file or folder; check the spelling`)
  if (!info.isDirectory()) return [given]
  const { files } = await scanFolder(given)
  return files.map((name) => join(given, name))
}

/**
 * Reads files and folders as the run's pictures (centre crop, area average).
 * @throws when nothing at all could be read.
 */
export const loadPictures = async (paths: readonly string[], size: number): Promise<LoadedPictures> => {
  const files: string[] = []
  const pixels: Uint8Array[] = []
  const skipped: SkippedFile[] = []
  for (const file of (await Promise.all(paths.map(expandPath))).flat()) {
    const decoded = await decodePicture(file, { size, fit: 'cover' })
    if (isUndecodable(decoded)) skipped.push({ file, reason: decoded.reason })
    else {
      files.push(file)
      pixels.push(decoded)
    }
  }
  if (files.length === 0) {
    const reason = skipped[0] === undefined ? 'no picture files' : `${skipped[0].file}: ${skipped[0].reason}`
    throw new Error(`${paths.join(', ')}: nothing could be read (${reason}); give ${PICTURE_FORMATS} files`)
  }
  return { files, images: toNchw(Buffer.concat(pixels), size), skipped }
}

/** Times and noises per picture for the bits of a reconstruction. */
const drawsPerPicture = 16

/** Encodes, decodes and measures pictures [N, 3, H, W]. */
export const reconstruct = async (
  run: OpenedRun,
  runtime: Runtime,
  images: Float32Array,
  options: { readonly seed: number; readonly sampler: SamplerConfig; readonly draws?: number },
): ReturnType<typeof evaluateStage1> => {
  const { size, variant } = run.model
  if (variant.encoder === 'pixels') {
    throw new Error(
      `this run's latent is the picture itself (variant.encoder is pixels): there is nothing to reconstruct or to rate`,
    )
  }
  const batch = batchFor(images.length / (3 * size ** 2), size)
  const codec = run.codec(batch)
  const result = await evaluateStage1(runtime, run.model, run.stage1(), codec, images, {
    draws: options.draws ?? drawsPerPicture,
    batch,
    seed: options.seed,
    sampler: options.sampler,
  })
  await codec.dispose()
  return result
}

/** The rate of held-out pictures by a run's base model, in bits/pixel; null where it has none, or none can be told. */
export const baseRate = async (
  run: OpenedRun,
  runtime: Runtime,
  source: ImageSource,
  options: { readonly count: number; readonly seed: number; readonly draws: number },
): Promise<Evaluation['baseBitsPerPixel'] | null> => {
  if (!run.hasBase || run.config.variant.variance === 'learned') return null
  const indices = evenly(options.count, source.count)
  const batch = batchFor(indices.length, run.model.size)
  const codec = run.codec(batch)
  const z = await codec.encode(await readPictures(source, indices))
  await codec.dispose()
  const labels = Int32Array.from(indices, (index) => source.label(index))
  const nats = await baseNatsOf(runtime, run.model, run.stage2(), z, labels, { ...options, batch })
  return meanAndError(nats.map((n) => n / (run.model.size ** 2 * Math.LN2)))
}

/** Measures a run on up to `count` held-out pictures, spread evenly. */
export const evaluate = async (
  run: OpenedRun,
  runtime: Runtime,
  options: { readonly count: number; readonly seed: number },
): Promise<Evaluation> => {
  const { validation } = await openRunData(run.config)
  const images = await readPictures(validation, evenly(options.count, validation.count))
  const { figures } = await reconstruct(run, runtime, images, {
    seed: options.seed,
    sampler: decoderSampler(run.config),
  })
  const base = await baseRate(run, runtime, validation, { ...options, draws: drawsPerPicture })
  return base ? { ...figures, baseBitsPerPixel: base } : figures
}

/** Encodes pictures and writes `z` (clean latents), `z0` (with the encoder's fixed noise) and the file names. */
export const encodeToFile = async (
  run: OpenedRun,
  pictures: LoadedPictures,
  seed: number,
  out: string,
): Promise<void> => {
  const codec = run.codec(batchFor(pictures.files.length, run.model.size))
  const z = await codec.encode(pictures.images, seed)
  const shape = latentShape(run.model, pictures.files.length)
  const tensors = { z: float32(shape, z), z0: float32(shape, codec.addNoise(z, seed)) }
  await codec.dispose()
  writeSafetensors(out, tensors, {
    files: JSON.stringify(pictures.files),
    logSnr0: String(run.model.latent.logSnr0),
  })
}

/** Reads `z0` (or `z`, to which the noise is added) and decodes it. @throws when the latents do not fit the run. */
export const decodeFile = async (
  run: OpenedRun,
  file: string,
  options: { readonly seed: number; readonly sampler: SamplerConfig },
): Promise<{ readonly pictures: HostTensor; readonly names: readonly string[] }> => {
  const { tensors, metadata } = readSafetensors(file)
  const stored = tensors.z0 ?? tensors.z
  if (stored === undefined)
    throw new Error(`${file}: there is no tensor 'z0' or 'z'; write it with 'ul encode'`)
  const count = stored.shape[0] ?? 0
  const expected = latentShape(run.model, count)
  if (stored.shape.length !== 4 || stored.shape.some((d, i) => d !== expected[i]) || count === 0) {
    throw new Error(
      `${file}: the latents are [${stored.shape}], this run's are [N,${expected.slice(1)}]; use the run that encoded them`,
    )
  }
  const codec = run.codec(batchFor(count, run.model.size))
  const z0 = tensors.z0 === undefined ? codec.addNoise(floats(stored), options.seed) : floats(stored)
  const data = await codec.decode(z0, options.seed, options.sampler)
  await codec.dispose()
  const names = metadata.files === undefined ? [] : (JSON.parse(metadata.files) as string[])
  return { pictures: float32(imageShape(run.model, count), data), names }
}
