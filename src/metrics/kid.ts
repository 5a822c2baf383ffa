/** @file Kernel Inception distance: the squared maximum mean discrepancy of two feature sets, free of bias at any size. */
import { streamKey } from '../engine/host/random.ts'
import {
  drawSubset,
  expectCount,
  expectSameDimension,
  type FeatureSet,
  inMemory,
  pickRows,
} from './featureSet.ts'
import { deviation, mean } from './mean.ts'
import { forEachPairBlock } from './pairBlocks.ts'

/** Settings of `kid`. */
export interface KidOptions {
  readonly seed?: number
  /** Images of each side in a subset, at most; smaller sets are taken whole. */
  readonly subsetSize?: number
  readonly subsets?: number
}

/** A kernel Inception distance. */
export interface Kid {
  /** Mean over subsets. */
  readonly mean: number
  /** Standard error of the mean as an estimate for all images of these two kinds, not for these two sets. */
  readonly error: number
  /** Images of each side in a subset. */
  readonly subsetSize: number
  readonly subsets: number
}

/** Positions of a subset's images on both sides, ascending. */
interface Subset {
  readonly real: Int32Array
  readonly fake: Int32Array
}

/** Sums of the kernel over pairs of different images within one side (each pair once), or over all pairs of two. */
interface KernelSums {
  readonly whole: number
  readonly ofSubset: Float64Array
}

/** Where an ascending list reaches `value`. */
const lowerBound = (list: Int32Array, value: number): number => {
  let [low, high] = [0, list.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (list[middle] < value) low = middle + 1
    else high = middle
  }
  return low
}

/** Sums k(x, y) = (x·y/d + 1)³. `left` and `right` list each subset's members in `a` and in `b`. */
const kernelSums = (
  a: FeatureSet,
  b: FeatureSet,
  left: readonly Int32Array[],
  right: readonly Int32Array[],
): KernelSums => {
  const within = a === b
  const ofSubset = new Float64Array(left.length)
  let whole = 0
  forEachPairBlock(a, b, { upper: within }, ({ row, rows, column, columns, products }) => {
    const triangle = within && row === column
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < columns; j++) {
        const base = products[i * columns + j] / a.dimension + 1
        const value = triangle && j <= i ? 0 : base * base * base
        products[i * columns + j] = value
        whole += value
      }
    }
    for (let s = 0; s < left.length; s++) {
      const [rowList, columnList] = [left[s], right[s]]
      const [first, end] = [lowerBound(columnList, column), lowerBound(columnList, column + columns)]
      let sum = 0
      for (let p = lowerBound(rowList, row); p < rowList.length && rowList[p] < row + rows; p++) {
        const at = (rowList[p] - row) * columns - column
        for (let q = first; q < end; q++) sum += products[at + columnList[q]]
      }
      ofSubset[s] += sum
    }
  })
  return { whole, ofSubset }
}

/** Unbiased MMD² from the sums of m images of one side and n of the other (Gretton et al. 2012, equation 3). */
const unbiased = (real: number, fake: number, across: number, m: number, n: number): number =>
  (2 * real) / (m * (m - 1)) + (2 * fake) / (n * (n - 1)) - (2 * across) / (m * n)

/** MMD² of the two whole sets and of each subset. */
const discrepancies = (
  real: FeatureSet,
  fake: FeatureSet,
  subsets: readonly Subset[],
): { readonly whole: number; readonly each: readonly number[] } => {
  const [inReal, inFake] = [subsets.map((s) => s.real), subsets.map((s) => s.fake)]
  const r = kernelSums(real, real, inReal, inReal)
  // Even where both sides are one object, the pairs across count an image with itself.
  const f = kernelSums(fake, fake, inFake, inFake)
  const x = kernelSums(real, { ...fake }, inReal, inFake)
  return {
    whole: unbiased(r.whole, f.whole, x.whole, real.count, fake.count),
    each: subsets.map((s, i) =>
      unbiased(r.ofSubset[i], f.ofSubset[i], x.ofSubset[i], s.real.length, s.fake.length),
    ),
  }
}

const draw = (real: FeatureSet, fake: FeatureSet, size: number, count: number, seed: number): Subset[] =>
  Array.from({ length: count }, (_, i) => ({
    real: drawSubset(streamKey(seed, 'kid real', size, i), real.count, size),
    fake: drawSubset(streamKey(seed, 'kid fake', size, i), fake.count, size),
  }))

/** Unbiased MMD² of two whole sets, without subsets. @throws for fewer than 2 images and differing dimensions. */
export const kidOfWholeSets = (real: FeatureSet, fake: FeatureSet): number => {
  for (const set of [real, fake]) expectCount(set, 2, 'KID')
  return discrepancies(real, fake, []).whole
}

/**
 * Kernel Inception distance (Bińkowski et al. 2018, arXiv 1801.01401): kernel (x·y/d + 1)³, unbiased MMD², mean over
 * 100 seeded subsets of 1000 images of each side, of all images where there are fewer.
 *
 * The subsets overlap, so their spread over √100 would promise too much, and it is 0 where a subset is the whole set.
 * The error is the delete-d jackknife's (Shao & Wu 1989): the spread of subsets of m ≤ N/2 images times √(m/(N − m)),
 * N the smaller side. Two sets of the same kind get up to twice their true error.
 *
 * Takes 2N²·d multiplications for the larger N, or 100·2·1000²·d where that is less (4 s for twice 1600 images and
 * 768 dimensions); memory does not grow with N.
 * @throws for fewer than 4 images on a side and differing dimensions
 */
export const kid = (
  real: FeatureSet,
  fake: FeatureSet,
  { seed = 0, subsetSize = 1000, subsets = 100 }: KidOptions = {},
): Kid => {
  expectSameDimension(real, fake)
  for (const set of [real, fake]) expectCount(set, 4, 'KID')
  const smaller = Math.min(real.count, fake.count)
  const size = Math.min(subsetSize, smaller)
  const errorSize = Math.min(size, Math.floor(smaller / 2))
  const wanted = draw(real, fake, size, subsets, seed)
  const forError = errorSize === size ? [] : draw(real, fake, errorSize, subsets, seed)
  const all = [...wanted, ...forError]
  const pairs = (m: number, n: number): number => m ** 2 / 2 + n ** 2 / 2 + m * n
  const separately = all.reduce((sum, s) => sum + pairs(s.real.length, s.fake.length), 0)
  const values =
    separately < pairs(real.count, fake.count)
      ? all.map((s) => kidOfWholeSets(inMemory(pickRows(real, s.real)), inMemory(pickRows(fake, s.fake))))
      : discrepancies(real, fake, all).each
  const spread = deviation(forError.length === 0 ? values : values.slice(subsets))
  return {
    mean: mean(values.slice(0, subsets)),
    error: spread * Math.sqrt(errorSize / (smaller - errorSize)),
    subsetSize: size,
    subsets,
  }
}
