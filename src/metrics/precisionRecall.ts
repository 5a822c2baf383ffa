/** @file Precision and recall of generated images by nearest-neighbour manifolds. */
import { expectCount, expectSameDimension, type FeatureSet } from './featureSet.ts'
import { panel } from './linearAlgebra.ts'
import { forEachPairBlock } from './pairBlocks.ts'

/** How much of one set lies within the manifold of the other. */
export interface PrecisionRecall {
  /** Share of the generated images within the manifold of the real ones: how realistic they are. */
  readonly precision: number
  /** Share of the real images within the manifold of the generated ones: how much of reality is covered. */
  readonly recall: number
}

const squaredLengths = ({ count, dimension, rows }: FeatureSet): Float64Array => {
  const squares = new Float64Array(count)
  for (let i = 0; i < count; i++) {
    const row = rows(i, i + 1)
    // In panels as the scalar products, so that an image is at distance exactly 0 from its copy.
    for (let start = 0; start < dimension; start += panel) {
      let sum = 0
      for (let j = start; j < Math.min(dimension, start + panel); j++) sum += row[j] ** 2
      squares[i] += sum
    }
  }
  return squares
}

/** Squared distance of each image to its k-th nearest neighbour in its own set, itself not counted. */
const radii = (set: FeatureSet, squares: Float64Array, k: number): Float64Array => {
  const nearest = new Float64Array(set.count * k).fill(Number.POSITIVE_INFINITY) // k ascending for each image
  forEachPairBlock(set, set, { upper: false }, ({ row, rows, column, columns, products }) => {
    for (let i = 0; i < rows; i++) {
      const at = (row + i) * k
      const square = squares[row + i]
      for (let j = 0; j < columns; j++) {
        if (row + i === column + j) continue
        const distance = Math.max(0, square + squares[column + j] - 2 * products[i * columns + j])
        let slot = at + k - 1
        if (distance >= nearest[slot]) continue
        for (; slot > at && nearest[slot - 1] > distance; slot--) nearest[slot] = nearest[slot - 1]
        nearest[slot] = distance
      }
    }
  })
  return Float64Array.from({ length: set.count }, (_, i) => nearest[i * k + k - 1])
}

/**
 * Improved precision and recall (Kynkäänniemi et al. 2019, arXiv 1904.06991): a set's manifold is the union of balls
 * around its images, each reaching to the image's k-th nearest neighbour, border included. Both numbers depend on
 * how many images there are; compare like with like. Takes 3 times N²·d multiplications.
 * @throws for k images or fewer, and when the dimensions differ
 */
export const precisionRecall = (
  real: FeatureSet,
  fake: FeatureSet,
  { k = 3 }: { readonly k?: number } = {},
): PrecisionRecall => {
  expectSameDimension(real, fake)
  for (const set of [real, fake]) expectCount(set, k + 1, 'precision and recall')
  const [realSquares, fakeSquares] = [squaredLengths(real), squaredLengths(fake)]
  const [realRadii, fakeRadii] = [radii(real, realSquares, k), radii(fake, fakeSquares, k)]
  const realIn = new Uint8Array(real.count)
  const fakeIn = new Uint8Array(fake.count)
  forEachPairBlock(real, fake, { upper: false }, ({ row, rows, column, columns, products }) => {
    for (let i = row; i < row + rows; i++) {
      for (let j = column; j < column + columns; j++) {
        const product = products[(i - row) * columns + j - column]
        const distance = Math.max(0, realSquares[i] + fakeSquares[j] - 2 * product)
        if (distance <= realRadii[i]) fakeIn[j] = 1
        if (distance <= fakeRadii[j]) realIn[i] = 1
      }
    }
  })
  const share = (flags: Uint8Array): number => flags.reduce((sum, x) => sum + x, 0) / flags.length
  return { precision: share(fakeIn), recall: share(realIn) }
}
