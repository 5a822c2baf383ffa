/** @file Half precision on the host: every half, and the rounding of everything between two of them. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromHalf, halved, toHalf, widened } from '../../src/engine/host/float16.ts'
import { float32, floats } from '../../src/engine/host/tensor.ts'

const every = Array.from({ length: 65_536 }, (_, bits) => bits)
const finite = every.filter((bits) => (bits & 0x7c00) !== 0x7c00)

/** Largest half, and where rounding to infinity starts. */
const largest = 65_504
const overflow = 65_520

/** The nearest half found by search, a tie decided by the last bit. */
const nearestBySearch = (x: number): number => {
  const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0
  const size = Math.abs(x)
  if (size >= overflow) return sign | 0x7c00
  // Positive halves are in the order of their bits.
  let [low, high] = [0, 0x7bff]
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if (fromHalf(middle) <= size) low = middle
    else high = middle - 1
  }
  if (low === 0x7bff) return sign | low
  const [down, up] = [size - fromHalf(low), fromHalf(low + 1) - size]
  return sign | (down < up || (down === up && low % 2 === 0) ? low : low + 1)
}

describe('fromHalf', () => {
  it('gives what is known of the format', () => {
    const known: [number, number][] = [
      [0x0000, 0],
      [0x0001, 2 ** -24],
      [0x03ff, 2 ** -14 - 2 ** -24],
      [0x0400, 2 ** -14],
      [0x3555, 0.333251953125],
      [0x3c00, 1],
      [0x3c01, 1 + 2 ** -10],
      [0xc000, -2],
      [0x7bff, largest],
      [0x7c00, Number.POSITIVE_INFINITY],
      [0xfc00, Number.NEGATIVE_INFINITY],
    ]
    for (const [bits, value] of known) expect(fromHalf(bits)).toBe(value)
    expect(fromHalf(0x8000)).toBe(-0)
    for (const bits of [0x7c01, 0x7e00, 0xffff]) expect(fromHalf(bits)).toBeNaN()
  })

  it('is in the order of the bits, on both sides of zero', () => {
    for (let bits = 0; bits < 0x7c00; bits++) {
      expect(fromHalf(bits + 1) > fromHalf(bits)).toBe(true)
      expect(fromHalf(bits | 0x8000)).toBe(-fromHalf(bits))
    }
  })
})

describe('toHalf', () => {
  it('brings every half back, and keeps NaN one', () => {
    const changed = every.filter((bits) => {
      const x = fromHalf(bits)
      return Number.isNaN(x) ? !Number.isNaN(fromHalf(toHalf(x))) : toHalf(x) !== bits
    })
    expect(changed).toEqual([])
    expect(every.filter((bits) => Number.isNaN(fromHalf(bits)))).toHaveLength(2 * 1023)
  })

  it('takes the even neighbour half way between two, and the nearer one right beside it', () => {
    const wrong = finite.filter((bits) => {
      if (bits >= 0x8000 || bits === 0x7bff) return false
      const [a, b] = [fromHalf(bits), fromHalf(bits + 1)]
      const middle = (a + b) / 2 // exact in double precision
      const nudge = middle * 2 ** -52
      const even = bits % 2 === 0 ? bits : bits + 1
      const found = [middle, middle - nudge, middle + nudge, -middle].map(toHalf)
      return found.join() !== [even, bits, bits + 1, 0x8000 | even].join()
    })
    expect(wrong).toEqual([])
  })

  it.each([
    [65_519.99, 0x7bff],
    [overflow, 0x7c00],
    [-65_519.99, 0xfbff],
    [-overflow, 0xfc00],
    [Number.MAX_VALUE, 0x7c00],
    [Number.NEGATIVE_INFINITY, 0xfc00],
    [0, 0],
    [-0, 0x8000],
    // Half of the smallest subnormal number is a tie with zero, which is even.
    [2 ** -25, 0],
    [-(2 ** -25), 0x8000],
    [2 ** -25 * (1 + 2 ** -52), 1],
    [3 * 2 ** -25, 2],
    [Number.MIN_VALUE, 0],
    // Rounds up into the first normal number, and over the end of a mantissa.
    [2 ** -14 - 2 ** -26, 0x0400],
    [2 - 2 ** -12, 0x4000],
    [1 - 2 ** -53, 0x3c00],
    [8 * (1 - 2 ** -53), 0x4800],
  ])('of %d is 0x%x', (x, bits) => {
    expect(toHalf(x)).toBe(bits)
  })

  it('is the nearest half of any number', () => {
    const scaled = fc
      .tuple(fc.double({ min: -2, max: 2, noNaN: true }), fc.integer({ min: -30, max: 17 }))
      .map(([m, e]) => m * 2 ** e)
    fc.assert(
      fc.property(fc.oneof(scaled, fc.double({ noNaN: true }), fc.float({ noNaN: true })), (x) => {
        const bits = toHalf(x)
        expect(bits).toBe(nearestBySearch(x))
        if (Math.abs(x) >= overflow) return
        const error = Math.abs(fromHalf(bits) - x)
        const size = bits & 0x7fff
        for (const next of [size - 1, size + 1].filter((n) => n >= 0 && n <= 0x7bff)) {
          const theirs = Math.abs(fromHalf((bits & 0x8000) | next) - x)
          expect(error < theirs || (error === theirs && bits % 2 === 0)).toBe(true)
        }
      }),
      { numRuns: 5000 },
    )
  })
})

describe('tensors', () => {
  it('keep shape and order, and lose at most 2⁻¹¹ of a normal number', () => {
    const values = Array.from({ length: 60 }, (_, i) => Math.sin(i * 7) * 2 ** ((i % 20) - 9))
    const tensor = float32([3, 20], values)
    const half = halved(tensor)
    expect(half).toMatchObject({ dtype: 'float16', shape: [3, 20] })
    expect(half.data).toBeInstanceOf(Uint16Array)
    const back = widened(half)
    expect(back).toMatchObject({ dtype: 'float32', shape: [3, 20] })
    for (const [i, value] of floats(tensor).entries()) {
      expect(Math.abs(floats(back)[i] - value)).toBeLessThanOrEqual(Math.abs(value) * 2 ** -11)
    }
    expect(halved(back)).toEqual(half)
    expect(widened(tensor)).toBe(tensor)
  })
})
