/**
 * @file Dropout driven by a seed input: a hash of (seed, site, element) in 32-bit integer arithmetic, so that the
 * mask is the same on every provider and a resumed run draws it again.
 */
import { int32, type Shape } from '../host/tensor.ts'
import type { Value } from '../ir/graph.ts'
import { add, cast, constant, less, mul, reshape, where } from './core.ts'

const int = (x: number): Value => constant(int32([], [x | 0]))

/** x·(2x + 1) mod 2³² permutes the 32-bit integers and carries low bits into high ones (as in the cipher RC6). */
const stir = (x: Value): Value => mul(x, add(add(x, x), int(1)))

const siteHash = (site: string): number => {
  let h = 0x811c9dc5 // FNV-1a
  for (let i = 0; i < site.length; i++) h = Math.imul(h ^ site.charCodeAt(i), 0x01000193)
  return h
}

/** What decides a mask besides its site: both int32 scalars. */
export interface DropoutKey {
  /** Changes from step to step. */
  readonly seed: Value
  /** Number of the first example in the global batch, so that a part of it draws what the whole would; 0 when absent. */
  readonly first?: Value | undefined
}

/**
 * Uniform numbers in [0, 1) of a shape [B, …], a pure function of the key, the text `site` and the position. Only the
 * well-mixed high bits are used.
 */
export const seededUniform = ({ seed, first }: DropoutKey, site: string, shape: Shape): Value => {
  const columns = shape.at(-1) ?? 1
  const rows = shape.slice(0, -1).reduce((n, d) => n * d, 1)
  const column = constant(
    int32(
      [1, columns],
      Int32Array.from({ length: columns }, (_, i) => i),
    ),
  )
  const here = constant(
    int32(
      [rows, 1],
      Int32Array.from({ length: rows }, (_, i) => i),
    ),
  )
  const perExample = shape.length < 2 ? 1 : rows / shape[0]
  const row = first === undefined ? here : add(here, mul(first, int(perExample)))
  const key = stir(add(mul(seed, int(0x9e3779b1)), int(siteHash(site))))
  const rowKey = stir(add(mul(row, int(0x85ebca6b)), key)) // [rows, 1]
  const mixed = stir(mul(stir(add(mul(column, int(0xc2b2ae35)), rowKey)), int(0x27d4eb2f))) // [rows, columns]
  return reshape(add(mul(cast(mixed, 'float32'), 2 ** -32), 0.5), shape)
}

/** Zeroes each element with probability `rate` and scales the rest by 1/(1 − rate); the identity when rate is 0. */
export const dropout = (x: Value, rate: number, key: DropoutKey, site: string): Value =>
  rate === 0 ? x : mul(x, where(less(seededUniform(key, site, x.shape), 1 - rate), 1 / (1 - rate), 0))
