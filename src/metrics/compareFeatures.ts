/** @file Everything that is said about generated images from their features. */
import { type RandomKey, streamKey } from '../engine/host/random.ts'
import { drawSubset, type FeatureSet, inMemory, pickRows } from './featureSet.ts'
import { featureStatistics, frechetDistance, smallSampleBias } from './frechet.ts'
import { type Kid, kid } from './kid.ts'
import { precisionRecall } from './precisionRecall.ts'

/** How generated features differ from real ones. */
export interface FeatureComparison {
  /** Fréchet distance of all images. */
  readonly frechet: number
  /** The same for infinitely many images on both sides, by extrapolation; null where that was not asked for. */
  readonly frechetExtrapolated: number | null
  /** frechet − frechetExtrapolated: what the number of images adds. */
  readonly bias: number | null
  readonly kid: Pick<Kid, 'mean' | 'error'>
  /** Of at most 10,000 images a side, drawn by the seed: their cost grows with the square. */
  readonly precision: number
  readonly recall: number
  readonly realCount: number
  readonly fakeCount: number
}

/** Images a side that precision and recall are taken of at most (Dhariwal & Nichol's evaluation: 10,000 real ones). */
const nearestOf = 10_000

const atMost = (set: FeatureSet, key: RandomKey): FeatureSet =>
  inMemory(set.count <= nearestOf ? set : pickRows(set, drawSubset(key, set.count, nearestOf)))

/**
 * Compares two sets of features of one network; all draws come from the seed. About 25 s for twice 1600 images and
 * 768 dimensions.
 * @param options `fitBias` false leaves the extrapolation out, which takes most of the time
 * @throws for fewer than 8 images on a side and when the dimensions differ
 */
export const compareFeatureSets = (
  real: FeatureSet,
  fake: FeatureSet,
  { seed = 0, fitBias = true }: { readonly seed?: number; readonly fitBias?: boolean } = {},
): FeatureComparison => {
  const { raw, extrapolated, bias } = fitBias
    ? smallSampleBias(real, fake, { seed })
    : {
        raw: frechetDistance(featureStatistics(real), featureStatistics(fake)),
        extrapolated: null,
        bias: null,
      }
  const { mean, error } = kid(real, fake, { seed })
  return {
    frechet: raw,
    frechetExtrapolated: extrapolated,
    bias,
    kid: { mean, error },
    ...precisionRecall(
      atMost(real, streamKey(seed, 'nearest real')),
      atMost(fake, streamKey(seed, 'nearest fake')),
    ),
    realCount: real.count,
    fakeCount: fake.count,
  }
}
