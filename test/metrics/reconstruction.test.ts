/** @file Metrics of reconstructions, against values that follow from how the images are made. */
import { describe, expect, it } from 'vitest'
import { float32, type HostTensor } from '../../src/engine/host/tensor.ts'
import { flatError, reconstructionMetrics } from '../../src/metrics/reconstruction.ts'

const [C, H, W] = [3, 8, 12]

/** Images of N planes each, a number for each place. */
const images = (N: number, at: (n: number, c: number, y: number, x: number) => number): HostTensor =>
  float32(
    [N, C, H, W],
    Array.from({ length: N * C * H * W }, (_, i) =>
      at(Math.floor(i / (C * H * W)), Math.floor(i / (H * W)) % C, Math.floor(i / W) % H, i % W),
    ),
  )

/** Flat in its left half, stripes in its right. */
const halves = images(2, (n, c, y, x) => (x < W / 2 ? 0.1 * n : (x + y + c) % 2 ? 0.8 : -0.8))

describe('the error on flat areas', () => {
  it('is the error there, in steps of 1/255, whatever happens on edges', () => {
    // Pixels beside the border between the halves are not flat.
    const off = images(2, (n, c, y, x) => {
      const flat = x < W / 2 - 1
      const value = x < W / 2 ? 0.1 * n : (x + y + c) % 2 ? 0.8 : -0.8
      return flat ? value + (2 * (n + 1)) / 127.5 : -value
    })
    const [first, second] = flatError(halves, off)
    expect(first).toBeCloseTo(2, 4)
    expect(second).toBeCloseTo(4, 4)
    expect(flatError(halves, halves)).toEqual([0, 0])
  })

  it('is the root mean square over pixels and channels', () => {
    const off = images(1, (_, c, y, x) => (c === 0 && (x + y) % 2 ? 3 / 127.5 : 0))
    const flat = images(1, () => 0)
    expect(flatError(flat, off)[0]).toBeCloseTo(Math.sqrt(9 / 6), 4)
  })

  it('takes a quarter of the pixels where none is quite flat', () => {
    // A ramp that steepens: the least steep columns count, and only they are off by one.
    const ramp = images(1, (_, __, ___, x) => (x / W) ** 2 - 0.5)
    const off = images(1, (_, __, ___, x) => (x / W) ** 2 - 0.5 + (x < 3 ? 1 / 127.5 : 0.3))
    expect(flatError(ramp, off)[0]).toBeCloseTo(1, 3)
  })

  it('counts what lies outside [−1, 1] as the nearest bound', () => {
    const white = images(1, () => 1)
    expect(
      flatError(
        white,
        images(1, () => 7),
      )[0],
    ).toBe(0)
  })
})

it('every metric finds an image better than a changed one', () => {
  const photo = images(2, (n, c, y, x) => Math.sin(n + c + y / 2) * Math.cos(x / 3))
  const square = (t: HostTensor) =>
    float32([2, C, 12, 12], [...t.data, ...t.data].slice(0, 2 * C * 144) as number[])
  const [original, changed] = [
    photo,
    images(2, (n, c, y, x) => 0.8 * Math.sin(n + c + y / 2) * Math.cos(x / 3)),
  ].map(square) as [HostTensor, HostTensor]
  for (const { better, of } of reconstructionMetrics) {
    const [same, other] = [of(original, original)!, of(original, changed)!]
    for (const [i, value] of same.entries()) {
      if (better === 'higher') expect(value).toBeGreaterThan(other[i])
      else expect(value).toBeLessThan(other[i])
    }
  }
})
