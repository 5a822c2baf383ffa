/**
 * @file How good reconstructions and samples are by the features of a network: rFID and gFID (or the distances of another
 * network), KID, precision and recall, with the protocol that they were measured by.
 */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { readImages } from '../data/batches.ts'
import { defaultCacheDir } from '../data/images/packed.ts'
import type { ImageSource } from '../data/images/source.ts'
import { alone, type Collective, isSoForAny } from '../distributed/collective.ts'
import { quantiserName } from '../engine/host/pixels.ts'
import type { HostTensor } from '../engine/host/tensor.ts'
import { hubPrefix, openHubNetwork } from '../features/hub.ts'
import { buildMixed5, defaultFeatureFile } from '../features/mixed5.ts'
import { type FeatureNetwork, openFeatureNetwork } from '../features/network.ts'
import type { ImportTransformers } from '../features/transformers.ts'
import { imageOf } from '../method/config.ts'
import { describeSampler, type Guidance } from '../method/diffusion/sampler.ts'
import { batchFor, type ImageSet } from '../method/programs.ts'
import { partsOfVariant } from '../method/variants.ts'
import { compareFeatureSets } from '../metrics/compareFeatures.ts'
import { type FeatureSet, pickRows } from '../metrics/featureSet.ts'
import type { Quality } from '../metrics/figures.ts'
import { type Conditioned, generatesByClass } from '../model/choices.ts'
import { decoderSampler, latentSampler } from '../model/samplers.ts'
import { evenly } from '../use/evenly.ts'
import { factsLike } from '../use/facts.ts'
import type { OpenedRun } from '../use/openRun.ts'
import { type ClipScores, openClipScores } from './clipScores.ts'
import { forClips, type Parts, storedFeatures, withFeatures, writeFeatures } from './features.ts'
import { sharedNetwork, sharedRead } from './shared.ts'

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
  /** Images that are in memory at a time, 256 when absent, clips of as many frames; the figures do not depend on it. */
  readonly atOnce?: number
  /** Processes that share the work; each has all figures. */
  readonly together?: Collective
  /** Ends the measuring once it is aborted, by throwing its reason. */
  readonly signal?: AbortSignal
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

/** Features of all images of a source, kept in the cache directory. */
const sourceFeatures = async (
  network: FeatureNetwork,
  key: string,
  source: ImageSource,
  { together, ...parts }: Pick<Parts, 'atOnce' | 'signal'> & { readonly together: Collective },
): Promise<FeatureSet> => {
  const path = join(defaultCacheDir(), `features-${key}.safetensors`)
  const kept = existsSync(path) ? storedFeatures(path) : null
  const isKept = kept?.count === source.count && kept.dimension === network.dimension
  if (!(await isSoForAny(together, !isKept))) return kept!
  const read = (first: number, n: number): Promise<HostTensor> =>
    readImages(
      source,
      Array.from({ length: n }, (_, i) => first + i),
    )
  return writeFeatures(path, network, { count: source.count, ...parts, read })
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

/** Which images of a source are reconstructed, and like which samples are drawn: classes as often as the data has them. */
const indicesOf = (source: ImageSource, samples: number) => ({
  positions: evenly(samples, source.count),
  sampled: Array.from({ length: samples }, (_, i) => Math.floor((i * source.count) / samples)),
})

/** What of a run is measured: its configuration decides whether there is something to reconstruct. */
interface Measuring {
  readonly run: OpenedRun
  readonly source: ImageSource
  readonly options: QualityOptions & { readonly atOnce: number; readonly together: Collective }
}

/** CLIP scores of what is measured, where they are asked for. */
const openClip = ({ run, source, options }: Measuring): Promise<ClipScores> | null => {
  const { clip, importer, reconstructs, generates, samples, atOnce } = options
  if (clip === undefined) return null
  if (source.frames !== undefined)
    throw new Error(`CLIP scores are of images, and ${source.name} has clips; measure without them`)
  const { positions, sampled } = indicesOf(source, samples)
  const showsClasses = generates && generatesByClass(run.config, run.model.classes)
  return openClipScores(source, {
    model: clip === true ? undefined : clip,
    importer,
    positions: reconstructs ? positions : [],
    // Samples without classes show nothing that a class name says.
    sampled: showsClasses ? sampled : [],
    atOnce,
  })
}

/** Distances of reconstructions and of samples, whose bytes `clip` sees as they pass. */
const distances = async (
  { run, source, options }: Measuring,
  { network, identity }: NamedNetwork,
  clip: ClipScores | null,
): Promise<Pick<Quality, 'reconstruction' | 'generation'>> => {
  const { samples, seed, guidance, fitBias, reconstructs, generates, atOnce, signal, together } = options
  const { positions, sampled } = indicesOf(source, samples)
  const batch = batchFor(samples, imageOf(run.model))
  const codec = run.codec(batch)
  const [sampler, decoder] = [latentSampler(run.config), decoderSampler(run.config)]
  const key = hashOf(identity, network.describe(), source.fingerprint)
  const reconstruct = async (first: number, n: number): Promise<HostTensor> => {
    const images = await readImages(source, positions.slice(first, first + n))
    const z0 = codec.addNoise(await codec.encode(images, seed, first), seed, first)
    return codec.decode(z0, seed, decoder, first)
  }
  const shared = (read: ImageSet['read']) => sharedRead(together, { extent: imageOf(run.model), batch }, read)
  const compare = (a: FeatureSet, b: FeatureSet) => compareFeatureSets(a, b, { seed, fitBias })
  try {
    const real = await sourceFeatures(network, key, source, { atOnce, signal, together })
    const parts = { atOnce, signal }
    const reconstruction = !reconstructs
      ? null
      : await withFeatures(
          network,
          { count: positions.length, ...parts, read: shared(reconstruct), look: clip?.reconstructed },
          (made) => compare(pickRows(real, Int32Array.from(positions)), made),
        )
    if (!generates) return { reconstruction, generation: null }
    const facts = sampled.map((i) => factsLike(run, source, i))
    const generator = run.generator(batch)
    const generate = async (first: number, n: number): Promise<HostTensor> => {
      const own = facts.slice(first, first + n)
      const z0 = await generator.generate({ facts: own, seed, sampler, guidance, first })
      return codec.decode(z0, seed + 1, decoder, first)
    }
    const drawn = { count: samples, ...parts, read: shared(generate), look: clip?.generated }
    const generation = await withFeatures(network, drawn, async (made) => {
      await generator.dispose()
      return compare(real, made)
    })
    return { reconstruction, generation }
  } finally {
    await codec.dispose()
  }
}

/** What was compared with what, and how it was made. */
const protocolOf = ({ run, source, options }: Measuring, network: FeatureNetwork): Quality['protocol'] => {
  const { samples, reconstructs, generates } = options
  const { positions } = indicesOf(source, samples)
  const by = run.config.sampler.generator
  const kind = source.frames === undefined ? 'images' : 'clips'
  const against = `${samples} samples by the ${by} model against all ${source.count} ${kind} of ${source.name}`
  return {
    network: network.describe(),
    quantiser: quantiserName,
    ...(reconstructs ? { reconstructionsOf: `${positions.length} ${kind} of ${source.name}` } : {}),
    ...(generates ? { samplesAgainst: against } : {}),
    ...samplingOf(run, options),
  }
}

/** @param source training images: 291 held-out ones, say, are too few for a covariance */
export const measureQuality = async (
  run: OpenedRun,
  source: ImageSource,
  given: QualityOptions,
): Promise<Quality> => {
  const { isLearned } = partsOfVariant(run.model.variant).space
  const reconstructs = given.reconstructs && isLearned
  const atOnce = Math.ceil(256 / (source.frames ?? 1))
  const { together = alone } = given
  const measuring = { run, source, options: { atOnce, ...given, together, reconstructs } }
  const { network: opened, identity } = await openFeatures(given.features, given.importer)
  const network = sharedNetwork(together, forClips(opened, source.frames ?? 1))
  const named = { network, identity }
  let clip: ClipScores | null = null
  try {
    clip = await openClip(measuring)
    const found = await distances(measuring, named, clip)
    const protocol = protocolOf(measuring, named.network)
    return { protocol, ...found, ...(clip === null ? {} : { clip: await clip.figures() }) }
  } finally {
    await named.network.dispose()
    await clip?.dispose()
  }
}
