/** @file Sets of feature vectors, one row an image, and seeded subsets of them. */
import { type RandomKey, randomUniform } from '../engine/host/random.ts'

/** Rows of features, [rows, dimension], row-major. */
export type Rows = Float32Array | Float64Array

/** Feature vectors of one set of images, in memory or in a file: metrics take a bounded number of rows at a time. */
export interface FeatureSet {
  readonly count: number
  readonly dimension: number
  /** Rows `from` to `to` − 1, [to − from, dimension]; to be read only. */
  readonly rows: (from: number, to: number) => Rows
}

/**
 * Checks rows of features.
 * @param data [count, dimension] @param first number of the first row in its set
 * @throws when the rows do not fill, and when a number is not finite, naming the first such image
 */
export const expectRows = (data: Rows, dimension: number, first = 0): void => {
  if (!Number.isInteger(dimension) || dimension < 1 || data.length % dimension !== 0) {
    throw new Error(
      `features: ${data.length} numbers are not rows of ${dimension}; pass the dimension of the network`,
    )
  }
  const bad = data.findIndex((x) => !Number.isFinite(x))
  if (bad >= 0) {
    throw new Error(
      `features: image ${first + Math.floor(bad / dimension)} has ${data[bad]} as feature ${bad % dimension}; are its pixels finite?`,
    )
  }
}

const held = (data: Rows, dimension: number): FeatureSet => ({
  count: data.length / dimension,
  dimension,
  rows: (from, to) => data.subarray(from * dimension, to * dimension),
})

/**
 * Checks and wraps rows of features that are in memory.
 * @param data [count, dimension]
 * @throws as `expectRows` does
 */
export const featureSet = (data: Rows, dimension: number): FeatureSet => {
  expectRows(data, dimension)
  return held(data, dimension)
}

/** A set brought into memory, for what goes over its rows many times. */
export const inMemory = ({ count, dimension, rows }: FeatureSet): FeatureSet =>
  held(rows(0, count), dimension)

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
export const rowsAsDoubles = ({ rows }: FeatureSet, from: number, to: number): Float64Array =>
  new Float64Array(rows(from, to))

/** The rows at the given positions, in that order, taken from the set as they are needed. */
export const pickRows = ({ rows, dimension }: FeatureSet, positions: Int32Array): FeatureSet => ({
  count: positions.length,
  dimension,
  rows: (from, to) => {
    const picked = new Float64Array((to - from) * dimension)
    for (let i = from; i < to; i++) picked.set(rows(positions[i], positions[i] + 1), (i - from) * dimension)
    return picked
  },
})

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
