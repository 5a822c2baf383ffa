/**
 * @file How good reconstructions and samples are by the features of a network: rFID and gFID (or the distances of another
 * network), KID, precision and recall, with the protocol that they were measured by.
 */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { readImages } from '../data/batches.ts'
import { defaultCacheDir } from '../data/images/packed.ts'
import type { ImageSource } from '../data/images/source.ts'
import { quantiseImages, quantiserName } from '../engine/host/pixels.ts'
import { float32, floats, type HostTensor, joined } from '../engine/host/tensor.ts'
import { hubPrefix, openHubNetwork } from '../features/hub.ts'
import { buildMixed5, defaultFeatureFile } from '../features/mixed5.ts'
import { type FeatureNetwork, openFeatureNetwork } from '../features/network.ts'
import type { ImportTransformers } from '../features/transformers.ts'
import { readSafetensors, writeSafetensors } from '../files/safetensors.ts'
import { imageOf } from '../method/config.ts'
import { describeSampler, type Guidance } from '../method/diffusion/sampler.ts'
import { partsOfVariant } from '../method/objective/variants.ts'
import { batchFor, type ImageSet } from '../method/programs.ts'
import { compareFeatureSets } from '../metrics/compareFeatures.ts'
import { type FeatureSet, featureSet } from '../metrics/featureSet.ts'
import type { Quality } from '../metrics/figures.ts'
import { type Conditioned, factsLike, generatesByClass } from '../use/facts.ts'
import { evenly } from '../use/images.ts'
import type { OpenedRun } from '../use/openRun.ts'
import { decoderSampler, latentSampler } from '../use/samplers.ts'
import { openClipScores } from './clipScores.ts'

/** What to measure and how. */
export interface QualityOptions {
  /** ONNX file of the feature network, or `hub:` and a model; FD-mixed5, made when it is missing, when absent. */
  readonly features?: string
  /** CLIP model to score by captions and class names; `true` is the usual one. */
  readonly clip?: string | true
  /** Imports @huggingface/transformers for these two; the installed one when absent. */
  readonly importer?: ImportTransformers
  /** Images reconstructed and generated. */
  readonly samples: number
  readonly seed: number
  /** Whether to reconstruct, and whether the run has a model that generates. */
  readonly reconstructs: boolean
  readonly generates: boolean
  readonly guidance: Guidance
  /** Whether to fit what the small number of samples adds: seven distances instead of one. */
  readonly fitBias: boolean
  /** Images that are in memory at a time, 256 when absent; the figures do not depend on it. */
  readonly atOnce?: number
}

/** A feature network, and what tells it from another of the same description. */
interface NamedNetwork {
  readonly network: FeatureNetwork
  readonly identity: Uint8Array | string
}

/** The network that `features` names. */
export const openFeatures = async (
  features: string | undefined,
  importer: ImportTransformers | undefined,
): Promise<NamedNetwork> => {
  if (features?.startsWith(hubPrefix) === true) {
    const network = await openHubNetwork(features.slice(hubPrefix.length), { importer })
    return { network, identity: hubPrefix }
  }
  const file = features ?? defaultFeatureFile()
  if (features === undefined && !existsSync(file)) buildMixed5(file)
  return { network: await openFeatureNetwork(file), identity: readFileSync(file) }
}

const hashOf = (...parts: readonly (string | Uint8Array)[]): string => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest('hex').slice(0, 20)
}

/** Features of `count` images that come in parts [n, 3, H, W]; `look` sees their bytes as they pass. */
const featuresOf = async (
  network: FeatureNetwork,
  { count, atOnce }: { readonly count: number; readonly atOnce: number },
  part: ImageSet['read'],
  look?: (pixels: Uint8Array, first: number) => Promise<void>,
): Promise<FeatureSet> => {
  const rows: Float32Array[] = []
  for (let first = 0; first < count; first += atOnce) {
    const images = await part(first, Math.min(atOnce, count - first))
    const [height, width] = images.shape.slice(2) as [number, number]
    const pixels = quantiseImages(images)
    rows.push(await network.features(pixels, { height, width }))
    await look?.(pixels, first)
  }
  return featureSet(joined(rows), network.dimension)
}

/** Features of all images of a source, kept in the cache directory. */
const sourceFeatures = async (
  network: FeatureNetwork,
  key: string,
  source: ImageSource,
  atOnce: number,
): Promise<FeatureSet> => {
  const path = join(defaultCacheDir(), `features-${key}.safetensors`)
  if (existsSync(path)) {
    const { features } = readSafetensors(path).tensors
    if (features?.shape[0] === source.count) return featureSet(floats(features), network.dimension)
  }
  const set = await featuresOf(network, { count: source.count, atOnce }, (first, n) =>
    readImages(
      source,
      Array.from({ length: n }, (_, i) => first + i),
    ),
  )
  mkdirSync(defaultCacheDir(), { recursive: true })
  const features = float32([set.count, set.dimension], set.data as Float32Array)
  writeSafetensors(path, { features })
  return set
}

/** What of a run, and what else, decides how images are made. */
type Sampled = Conditioned
type Sampling = Pick<QualityOptions, 'guidance' | 'samples' | 'seed'>

/** By what images are made in a run of this configuration: the part of a protocol that is known without measuring. */
const samplingOf = ({ config, info }: Sampled, { guidance, samples, seed }: Sampling) => {
  // Without classes there is nothing to be guided by.
  const scale = generatesByClass(config, info.classes.length) ? guidance.scale : 1
  const { space, distortion } = partsOfVariant(config.variant)
  const where = [guidance.logSnrMin, guidance.logSnrMax] as const
  return {
    samples,
    latentSampler: describeSampler(latentSampler(config)),
    decoderSampler: !space.isLearned
      ? 'none, the latents are pixels'
      : distortion.isOneStep
        ? 'none, one prediction'
        : describeSampler(decoderSampler(config)),
    guidance: scale,
    ...(scale === 1 ? {} : { guidanceLogSnr: where }),
    seed,
  }
}

/** Guidance in words, the interval only where it was written down. */
export const guidanceText = ({ guidance, guidanceLogSnr }: Quality['protocol']): string =>
  guidanceLogSnr === undefined ? `${guidance}` : `${guidance} on log-SNR ${guidanceLogSnr.join(' to ')}`

/** What older protocols do not say. */
const saidLater: ReadonlySet<string> = new Set(['samples', 'seed', 'guidanceLogSnr'])

/** Whether figures are what measuring a run in that way, by that network, would give. */
export const isMeasuredAs = (
  { protocol }: Quality,
  network: string,
  run: Sampled,
  options: Sampling,
): boolean => {
  const said = new Map<string, unknown>(Object.entries(protocol))
  return Object.entries({ network, ...samplingOf(run, options) }).every(([name, value]) =>
    said.has(name) ? isDeepStrictEqual(said.get(name), value) : saidLater.has(name),
  )
}

const chosen = (set: FeatureSet, indices: readonly number[]): FeatureSet =>
  featureSet(
    joined(
      indices.map((i) => (set.data as Float32Array).subarray(i * set.dimension, (i + 1) * set.dimension)),
    ),
    set.dimension,
  )

/** @param source training images: 291 held-out ones, say, are too few for a covariance */
export const measureQuality = async (
  run: OpenedRun,
  source: ImageSource,
  options: QualityOptions,
): Promise<Quality> => {
  const { config, model } = run
  const { samples, seed, guidance, fitBias, atOnce = 256 } = options
  const reconstructs = options.reconstructs && partsOfVariant(model.variant).space.isLearned
  const positions = evenly(samples, source.count)
  // Classes are drawn as often as the training images have them, which samples are compared with.
  const sampled = Array.from({ length: samples }, (_, i) => Math.floor((i * source.count) / samples))
  const { network, identity } = await openFeatures(options.features, options.importer)
  const clip =
    options.clip === undefined
      ? null
      : await openClipScores(source, {
          model: options.clip === true ? undefined : options.clip,
          importer: options.importer,
          positions: reconstructs ? positions : [],
          // Samples without classes show nothing that a class name says.
          sampled: options.generates && generatesByClass(config, model.classes) ? sampled : [],
          atOnce,
        }).catch(async (error: unknown) => {
          await network.dispose()
          throw error
        })
  const batch = batchFor(samples, imageOf(model))
  const codec = run.codec(batch)
  const [chain, decoder] = [latentSampler(config), decoderSampler(config)]
  try {
    const real = await sourceFeatures(
      network,
      hashOf(identity, network.describe(), source.fingerprint),
      source,
      atOnce,
    )
    const compare = (a: FeatureSet, b: FeatureSet) => compareFeatureSets(a, b, { seed, fitBias })
    const reconstruct = async (first: number, n: number): Promise<HostTensor> => {
      const images = await readImages(source, positions.slice(first, first + n))
      const z0 = codec.addNoise(await codec.encode(images, seed, first), seed, first)
      return codec.decode(z0, seed, decoder, first)
    }
    const reconstruction = !reconstructs
      ? null
      : compare(
          chosen(real, positions),
          await featuresOf(network, { count: positions.length, atOnce }, reconstruct, clip?.reconstructed),
        )
    const facts = sampled.map((i) => factsLike(run, source, i))
    const generator = options.generates ? run.generator(batch) : null
    const generation =
      generator &&
      compare(
        real,
        await featuresOf(
          network,
          { count: samples, atOnce },
          async (first, n) => {
            const own = facts.slice(first, first + n)
            const z0 = await generator.generate({ facts: own, seed, sampler: chain, guidance, first })
            return codec.decode(z0, seed + 1, decoder, first)
          },
          clip?.generated,
        ),
      )
    await generator?.dispose()
    return {
      protocol: {
        network: network.describe(),
        quantiser: quantiserName,
        ...(reconstructs ? { reconstructionsOf: `${positions.length} images of ${source.name}` } : {}),
        ...(options.generates
          ? {
              samplesAgainst: `${samples} samples by the ${config.sampler.generator} model against all ${source.count} images of ${source.name}`,
            }
          : {}),
        ...samplingOf(run, options),
      },
      reconstruction,
      generation,
      ...(clip === null ? {} : { clip: await clip.figures() }),
    }
  } finally {
    await codec.dispose()
    await network.dispose()
    await clip?.dispose()
  }
}
