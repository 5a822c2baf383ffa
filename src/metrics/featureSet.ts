/** @file Sets of feature vectors, one row an image, and seeded subsets of them. */
import { type RandomKey, randomUniform } from '../engine/host/random.ts'

/** Feature vectors of one set of images. */
export interface FeatureSet {
  readonly count: number
  readonly dimension: number
  /** [count, dimension] */
  readonly data: Float32Array | Float64Array
}

/**
 * Checks and wraps rows of features.
 * @param data [count, dimension], row-major
 * @throws when the rows do not fill, and when a number is not finite, naming the first such image
 */
export const featureSet = (data: Float32Array | Float64Array, dimension: number): FeatureSet => {
  if (!Number.isInteger(dimension) || dimension < 1 || data.length % dimension !== 0) {
    throw new Error(
      `features: ${data.length} numbers are not rows of ${dimension}; pass the dimension of the network`,
    )
  }
  const bad = data.findIndex((x) => !Number.isFinite(x))
  if (bad >= 0) {
    throw new Error(
      `features: image ${Math.floor(bad / dimension)} has ${data[bad]} as feature ${bad % dimension}; are its pixels finite?`,
    )
  }
  return { count: data.length / dimension, dimension, data }
}

/** @throws when two sets come from different networks. */
export const expectSameDimension = (a: { dimension: number }, b: { dimension: number }): void => {
  if (a.dimension !== b.dimension) {
    throw new Error(
      `features: ${a.dimension} numbers an image on one side, ${b.dimension} on the other; use one network for both`,
    )
  }
}

/** @throws when a set is smaller than `least`. */
export const expectCount = (set: { count: number }, least: number, metric: string): void => {
  if (set.count < least) throw new Error(`${metric}: ${set.count} images; it takes ${least} or more`)
}

/** Rows `from` to `to` as float64, [to − from, dimension]. */
export const rowsAsDoubles = ({ data, dimension }: FeatureSet, from: number, to: number): Float64Array =>
  new Float64Array(data.subarray(from * dimension, to * dimension))

/** The rows at the given positions, in that order. */
export const pickRows = ({ data, dimension }: FeatureSet, rows: Int32Array): FeatureSet => {
  const picked =
    data instanceof Float32Array
      ? new Float32Array(rows.length * dimension)
      : new Float64Array(rows.length * dimension)
  for (const [i, row] of rows.entries()) {
    picked.set(data.subarray(row * dimension, (row + 1) * dimension), i * dimension)
  }
  return { count: rows.length, dimension, data: picked }
}

/**
 * `size` of the numbers 0 … count−1 without repetition, every subset equally likely, ascending; a pure function of the
 * key (the first steps of a Fisher–Yates shuffle).
 */
export const drawSubset = (key: RandomKey, count: number, size: number): Int32Array => {
  const order = Int32Array.from({ length: count }, (_, i) => i)
  for (let i = 0; i < size; i++) {
    const j = i + Math.floor(randomUniform(key, i) * (count - i))
    const taken = order[j]
    order[j] = order[i]
    order[i] = taken
  }
  return order.subarray(0, size).sort()
}
