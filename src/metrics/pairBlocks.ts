/** @file Scalar products of all pairs of two feature sets, a block at a time, so that memory stays bounded. */
import { expectSameDimension, type FeatureSet, rowsAsDoubles } from './featureSet.ts'
import { productWithTranspose } from './linearAlgebra.ts'

/** Scalar products of rows [row, row + rows) of one set with rows [column, column + columns) of another. */
export interface PairBlock {
  readonly row: number
  readonly rows: number
  readonly column: number
  readonly columns: number
  /** [rows, columns]; overwritten by the next block */
  readonly products: Float64Array
}

const side = 256

/**
 * Visits every block of the matrix of scalar products; with `upper`, those blocks alone that reach above the diagonal
 * or touch it, which is enough for a set against itself.
 * @throws when the dimensions differ
 */
export const forEachPairBlock = (
  a: FeatureSet,
  b: FeatureSet,
  { upper }: { readonly upper: boolean },
  visit: (block: PairBlock) => void,
): void => {
  expectSameDimension(a, b)
  const products = new Float64Array(side * side)
  for (let row = 0; row < a.count; row += side) {
    const rows = Math.min(side, a.count - row)
    const left = rowsAsDoubles(a, row, row + rows)
    for (let column = upper ? row : 0; column < b.count; column += side) {
      const columns = Math.min(side, b.count - column)
      const right = rowsAsDoubles(b, column, column + columns)
      productWithTranspose(left, right, rows, columns, a.dimension, products)
      visit({ row, rows, column, columns, products })
    }
  }
}
