/** @file The arena's rules, each by hand: what is resident after tensors came and went. */
import { expect, it } from 'vitest'
import { Arena } from '../../src/engine/ir/arena.ts'

const MiB = 2 ** 20

it('gives whole granules, and again what was given back', () => {
  const arena = new Arena()
  const piece = arena.take(1)
  expect(arena.residentBytes).toBe(256)
  arena.giveBack(piece)
  expect(arena.take(200)).toEqual(piece)
  arena.take(257)
  expect(arena.residentBytes).toBe(3 * 256)
})

it('joins neighbours, so that a larger tensor fits where smaller ones were', () => {
  const arena = new Arena()
  const [a, b, c] = [1, 1, 1].map(() => arena.take(MiB / 4))
  arena.giveBack(a)
  arena.giveBack(c)
  arena.giveBack(b)
  expect(arena.take(MiB)).toMatchObject({ region: 0, from: 0, bytes: MiB })
  expect(arena.residentBytes).toBe(MiB)
})

it('takes a new place for a large tensor where a small one has cut into its old one', () => {
  const arena = new Arena()
  const large = arena.take(64 * MiB)
  arena.giveBack(large)
  const small = arena.take(8 * MiB)
  expect(small.region).toBe(large.region)
  arena.take(64 * MiB)
  expect(arena.residentBytes).toBe(128 * MiB)
})

it('cuts the smallest piece that holds a tensor, unless less than as much again would be left', () => {
  const arena = new Arena()
  arena.giveBack(arena.take(32 * MiB))
  const [big, , middle] = [12, 1, 6, 13].map((size) => arena.take(size * MiB)) // all of these 32
  arena.giveBack(big)
  arena.giveBack(middle)
  const own = arena.take(4 * MiB)
  expect([own.from, own.region]).toEqual([middle.from, middle.region])
  expect(own.bytes).toBe(6 * MiB) // whole: 2 MiB are less than 4
  expect(arena.take(5 * MiB).bytes).toBe(5 * MiB) // of the 12
})

it('asks for regions that double, and for one that fits; only what is used of them is resident', () => {
  const arena = new Arena()
  const regions = [1, 1, 1, 1, 20].map((size) => arena.take(size * MiB).region)
  // Regions of 1, 2, 4 and 32 MiB.
  expect(regions).toEqual([0, 1, 1, 2, 3])
  expect(arena.residentBytes).toBe(24 * MiB)
})
