/** @file Which examples of a batch are at hand: a batch may be cut over processes, or worked through one part after the other. */

/** Examples `first` to `first + count − 1` of a global batch of `of`. Draws depend on their numbers in the global batch. */
export interface Part {
  readonly first: number
  readonly count: number
  readonly of: number
}

/** The whole of a batch of B. */
export const wholeBatch = (B: number): Part => ({ first: 0, count: B, of: B })

/** A batch of B in equal parts. @throws when they do not divide it */
export const partsOf = (B: number, parts: number): Part[] => {
  const count = B / parts
  if (!Number.isInteger(count)) throw new Error(`batch: ${parts} parts do not divide ${B}; take a divisor`)
  return Array.from({ length: parts }, (_, i) => ({ first: i * count, count, of: B }))
}
