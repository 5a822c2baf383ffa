/** @file Features of clips out of features of their frames, and distances over folds. */
import { expectCount, type FeatureSet, featureSet } from './featureSet.ts'
import { type FeatureStatistics, featureStatistics, frechetDistance } from './frechet.ts'
import { deviation, mean } from './mean.ts'

/**
 * Features of clips: the means over their frames, which say what is seen and nothing of how it moves.
 * @param set features [N·T, d], clip after clip
 * @param frames T
 * @returns [N, d]
 * @throws when the rows fill no whole clips
 */
export const meanOverFrames = ({ count, dimension, rows }: FeatureSet, frames: number): FeatureSet => {
  if (!Number.isInteger(frames) || frames < 1 || count % frames !== 0) {
    throw new Error(
      `features: ${count} frames are not clips of ${frames}; pass the number of frames in a clip`,
    )
  }
  const means = new Float64Array((count / frames) * dimension)
  for (const [i, value] of rows(0, count).entries()) {
    means[Math.floor(i / (frames * dimension)) * dimension + (i % dimension)] += value / frames
  }
  return featureSet(means, dimension)
}

/** A distance, and how it varies over repetitions. */
export interface OverFolds {
  /** Mean over folds. */
  readonly mean: number
  /** Standard deviation over folds (folds − 1 below); null of a single one. */
  readonly deviation: number | null
  readonly each: readonly number[]
}

/** Equal parts of a set, one after the other. @throws when it cannot be divided so */
const inFolds = ({ count, dimension, rows }: FeatureSet, folds: number): FeatureSet[] => {
  const size = count / folds
  if (!Number.isInteger(folds) || folds < 1 || !Number.isInteger(size)) {
    throw new Error(
      `features: ${count} clips do not make ${folds} equal folds; generate a multiple of ${folds}`,
    )
  }
  return Array.from({ length: folds }, (_, k) => ({
    count: size,
    dimension,
    rows: (from, to) => rows(k * size + from, k * size + to),
  }))
}

/**
 * Fréchet distances of equal parts of the generated side, each against all that is real, as FVD is published: mean and
 * standard deviation over four times as many clips as are real (MAGVIT, arXiv 2212.05199, B.3).
 * @param fake folds one after the other
 * @throws when it does not divide into folds, or leaves one with fewer than two clips
 */
export const frechetOverFolds = (real: FeatureStatistics, fake: FeatureSet, folds: number): OverFolds => {
  const parts = inFolds(fake, folds)
  for (const part of parts) expectCount(part, 2, 'Fréchet distance of a fold')
  const each = parts.map((part) => frechetDistance(real, featureStatistics(part)))
  return { mean: mean(each), deviation: folds === 1 ? null : deviation(each), each }
}
