/** @file The Fréchet distance of clips: FVD, or that of another network, by a protocol that is stated with it. */
import { clipSizes, framesFrom } from '../engine/host/clips.ts'
import { quantiserName } from '../engine/host/pixels.ts'
import type { FeatureNetwork } from '../features/network.ts'
import type { ImageSet } from '../method/programs.ts'
import { frechetOverFolds } from '../metrics/clipFeatures.ts'
import type { FeatureSet } from '../metrics/featureSet.ts'
import type { ClipDistance, GivenFrames } from '../metrics/figures.ts'
import { featureStatistics } from '../metrics/frechet.ts'
import { forClips, type Parts, withFeatures } from './features.ts'

/** How clips are compared. */
export interface ClipDistanceOptions extends Pick<Parts, 'signal'> {
  /** Frames that were given; absent where all were made. */
  readonly given?: GivenFrames
  /** Equal parts that the made clips consist of, one after the other; 1 when left out. */
  readonly folds?: number
  /** Clips that are in memory at a time, 16 when left out; the distance does not depend on it. */
  readonly atOnce?: number
}

/** Which of T frames are scored, in words. */
const framesText = (frames: number, given: GivenFrames | undefined): string => {
  if (given === undefined) return `all ${frames}, none of which was given`
  const { count, are, scored } = given
  return scored
    ? `all ${frames}, the first ${count} given (${are})`
    : `the last ${frames - count} of ${frames}, without the first ${count}, which were given (${are})`
}

/**
 * The Fréchet distance between clips [n, 3, T, H, W] that are read part by part. FVD (Unterthiner et al. 2018, arXiv
 * 1812.01717) where the network gives I3D's 400 logits; a network of images compares the means of its features over frames.
 * @param network as it is opened
 * @param real what the clips are held against @param made folds one after the other, of the same size and length
 * @throws where clips have fewer frames than the network needs, and where `made` does not divide into folds
 */
export const clipDistance = async (
  network: FeatureNetwork,
  real: ImageSet,
  made: ImageSet,
  { given, folds = 1, atOnce = 16, signal }: ClipDistanceOptions = {},
): Promise<ClipDistance> => {
  const { frames } = clipSizes(await real.read(0, 1))
  const first = given === undefined || given.scored ? 0 : given.count
  const seeing = forClips(network, frames - first)
  const parts = { atOnce, signal }
  const features = <T>({ count, read }: ImageSet, use: (set: FeatureSet) => T): Promise<T> =>
    withFeatures(
      seeing,
      { count, ...parts, read: async (from, n) => framesFrom(await read(from, n), first) },
      use,
    )
  const ofReal = await features(real, featureStatistics)
  const { mean, deviation, each } = await features(made, (set) => frechetOverFolds(ofReal, set, folds))
  return {
    protocol: {
      network: seeing.describe(),
      quantiser: quantiserName,
      frames: framesText(frames, given),
      realCount: real.count,
      fakeCount: made.count,
      folds,
    },
    name: seeing.name,
    distance: mean,
    deviation,
    each,
  }
}
