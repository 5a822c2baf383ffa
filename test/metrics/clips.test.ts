/** @file Metrics of clips: by frame, by features over frames and folds, and by places, each against its closed form. */
import { describe, expect, it } from 'vitest'
import { framesFrom, framesOf, framesUntil, inTime, standing } from '../../src/engine/host/clips.ts'
import { fillNormal, streamKey } from '../../src/engine/host/random.ts'
import { float32, floats, type HostTensor, sizeOf } from '../../src/engine/host/tensor.ts'
import { meansByFrame, valuesByFrame } from '../../src/metrics/byFrame.ts'
import { frechetOverFolds, meanOverFrames } from '../../src/metrics/clipFeatures.ts'
import { featureSet } from '../../src/metrics/featureSet.ts'
import { featureStatistics, frechetDistance } from '../../src/metrics/frechet.ts'
import { type Position, positionErrors, positionsIn } from '../../src/metrics/position.ts'
import { psnr } from '../../src/metrics/psnr.ts'
import { reconstructionMetrics } from '../../src/metrics/reconstruction.ts'
import { ssim } from '../../src/metrics/ssim.ts'
import { normalSet, rowsOf } from './support.ts'

/** Clips [N, 3, T, H, W], a number for each place. */
const clips = (
  [N, T, H, W]: readonly number[],
  at: (n: number, c: number, t: number, y: number, x: number) => number,
): HostTensor => {
  const shape = [N, 3, T, H, W]
  const data = Array.from({ length: sizeOf(shape) }, (_, i) => {
    const plane = Math.floor(i / (T * H * W))
    return at(Math.floor(plane / 3), plane % 3, Math.floor(i / (H * W)) % T, Math.floor(i / W) % H, i % W)
  })
  return float32(shape, data)
}

describe('frames of clips', () => {
  const numbered = clips([2, 3, 2, 2], (n, c, t, y, x) => 1000 * n + 100 * c + 10 * t + 2 * y + x)

  it('are images, clip after clip', () => {
    const frames = framesOf(numbered)
    expect(frames.shape).toEqual([6, 3, 2, 2])
    const wanted = [0, 1].flatMap((n) =>
      [0, 1, 2].flatMap((t) =>
        [0, 1, 2].flatMap((c) => [0, 1, 2, 3].map((p) => 1000 * n + 100 * c + 10 * t + p)),
      ),
    )
    expect([...frames.data]).toEqual(wanted)
  })

  it('can be left out from the start, but not all of them', () => {
    const later = clips([2, 1, 2, 2], (n, c, _, y, x) => 1000 * n + 100 * c + 20 + 2 * y + x)
    expect(framesFrom(numbered, 2)).toEqual(later)
    expect(framesFrom(numbered, 0)).toEqual(numbered)
    expect(inTime([framesUntil(numbered, 2), later])).toEqual(numbered)
    expect(framesUntil(numbered, 3)).toEqual(numbered)
    expect(() => framesUntil(numbered, 4)).toThrow('the first 4 frames of clips of 3; pass 1 to 3')
    expect(() => framesFrom(numbered, 3)).toThrow('frames from 3 on, of clips of 3; pass 0 to 2')
    expect(() => framesOf(float32([1, 3, 2, 2], new Float32Array(12)))).toThrow('not [1,3,2,2]')
  })
})

describe('clips that stand', () => {
  const moving = clips([3, 4, 2, 2], (n, c, t, y, x) => 1000 * n + 100 * c + 10 * t + 2 * y + x)

  it('show the frame that is said all along, and the others go on', () => {
    const at = [2, null, 0]
    const wanted = clips([3, 4, 2, 2], (n, c, t, y, x) => 1000 * n + 100 * c + 10 * (at[n] ?? t) + 2 * y + x)
    const before = floats(moving).slice()
    expect(standing(moving, at)).toEqual(wanted)
    expect(floats(moving)).toEqual(before)
  })
})

describe('metrics by frame', () => {
  const sizes = [2, 4, 12, 12]
  const original = clips(sizes, (n, _, t) => 0.1 * t - 0.3 * n)
  /** Clip 0 is off by 0.1·(t + 1), clip 1 by ten times less: 20 dB. */
  const off = (n: number, t: number): number => (0.1 * (t + 1)) / 10 ** n
  const changed = clips(sizes, (n, _, t) => 0.1 * t - 0.3 * n + off(n, t))

  it('PSNR is that of the constant difference, with the standard error of two clips', () => {
    const found = meansByFrame(psnr, original, changed)!
    expect(found.length).toBe(4)
    for (const [t, { mean, error }] of found.entries()) {
      const [first, second] = [0, 1].map((n) => 10 * Math.log10(4 / off(n, t) ** 2))
      expect(mean).toBeCloseTo((first + second) / 2, 4)
      // Of two numbers 20 apart: deviation 20/√2, over √2.
      expect(error).toBeCloseTo(10, 4)
    }
  })

  it('SSIM of flat frames is (2ab + c₁)/(a² + b² + c₁), clip by clip', () => {
    const found = valuesByFrame(ssim, original, changed)!
    for (const [t, values] of found.entries()) {
      for (const [n, value] of values.entries()) {
        const a = 0.1 * t - 0.3 * n
        const b = a + off(n, t)
        expect(value).toBeCloseTo((2 * a * b + 0.02 ** 2) / (a * a + b * b + 0.02 ** 2), 4)
      }
    }
  })

  it('are null where images of that size have none, and refuse clips of two shapes', () => {
    const small = clips([1, 2, 4, 4], () => 0)
    expect(reconstructionMetrics.map(({ of }) => meansByFrame(of, small, small) === null)).toEqual([
      false,
      true,
      false,
    ])
    expect(() => meansByFrame(psnr, small, original)).toThrow(
      '[1,3,2,4,4] and [2,3,4,12,12]; pass equal ones',
    )
  })
})

describe('features of clips', () => {
  const [N, T, d] = [40, 3, 5]
  const clipSet = normalSet(1, N, d)
  const clipRows = rowsOf(clipSet)
  /** Frames around their clip's features: −1, 0 and 1 beside them. */
  const frames = featureSet(
    Float64Array.from(
      { length: N * T * d },
      (_, i) => clipRows[Math.floor(i / (T * d)) * d + (i % d)] + ((Math.floor(i / d) % T) - 1),
    ),
    d,
  )

  it('are the means over frames', () => {
    const found = meanOverFrames(frames, T)
    expect(found).toMatchObject({ count: N, dimension: d })
    for (const [i, value] of rowsOf(found).entries()) expect(value).toBeCloseTo(clipRows[i], 12)
    expect(() => meanOverFrames(frames, 7)).toThrow('120 frames are not clips of 7')
  })

  it('are as far apart as their frames are moved: d·s² for a shift by s in each of d directions', () => {
    const moved = featureSet(
      rowsOf(frames).map((v) => v + 0.5),
      d,
    )
    const [a, b] = [frames, moved].map((set) => featureStatistics(meanOverFrames(set, T)))
    expect(frechetDistance(a, b)).toBeCloseTo(d * 0.25, 9)
  })

  it('over folds: fold k moved by k is d·k² away, with their mean and deviation', () => {
    const all = featureSet(
      Float64Array.from({ length: 4 * N * d }, (_, i) => clipRows[i % (N * d)] + Math.floor(i / (N * d))),
      d,
    )
    const real = featureStatistics(clipSet)
    const { mean, deviation, each } = frechetOverFolds(real, all, 4)
    for (const [k, distance] of each.entries()) expect(distance).toBeCloseTo(d * k * k, 6)
    expect(mean).toBeCloseTo((d * 14) / 4, 6)
    // 0, 1, 4, 9: squares of differences from 3.5 are 12.25, 6.25, 0.25 and 30.25.
    expect(deviation).toBeCloseTo(d * Math.sqrt(49 / 3), 6)
    expect(frechetOverFolds(real, clipSet, 1)).toMatchObject({ deviation: null })
    expect(() => frechetOverFolds(real, clipSet, 3)).toThrow('40 clips do not make 3 equal folds')
    expect(() => frechetOverFolds(real, clipSet, 40)).toThrow('Fréchet distance of a fold: 1 images')
  })
})

describe('positions', () => {
  const [side, size] = [24, 6]
  /** How much of pixel i a square covers that reaches from centre − 3 to centre + 3, pixel i from i to i + 1. */
  const covered = (i: number, centre: number): number =>
    Math.max(0, Math.min(i + 1, centre + size / 2) - Math.max(i, centre - size / 2))

  /** A coloured square with soft edges, before a slope that changes with the frame. */
  const render = (t: number, x: number, y: number): Float32Array =>
    Float32Array.from({ length: 3 * side * side }, (_, i) => {
      const [c, row, column] = [Math.floor(i / side ** 2), Math.floor(i / side) % side, i % side]
      const share = covered(row, y) * covered(column, x)
      const behind = 0.02 * (row - column) + 0.05 * t
      return share * [0.9, -0.6, 0.2][c] + (1 - share) * behind
    })

  /** Off the left edge by two pixels at first, off the lower one at last. */
  const truth: readonly Position[] = [
    { x: 1, y: 6.5 },
    { x: 6.5, y: 10 },
    { x: 12, y: 13.5 },
    { x: 17.5, y: 17 },
    { x: 23, y: 22.5 },
  ]
  const framesAt = (places: readonly Position[], noise: number): HostTensor => {
    const data = new Float32Array(places.length * 3 * side * side)
    fillNormal(data, streamKey(7, 'places'))
    const scenes = places.flatMap(({ x, y }, t) => [...render(t, x, y)])
    return float32(
      [places.length, 3, side, side],
      data.map((v, i) => noise * v + scenes[i]),
    )
  }

  it('are found to the half pixel, also at the edges and in noise', () => {
    for (const noise of [0, 0.3]) {
      const found = positionsIn(framesAt(truth, noise), { render })
      expect(found.map(({ x, y }) => ({ x, y }))).toEqual(truth)
      for (const { error } of found) {
        // The variance of noise in 1728 numbers, within four standard errors.
        expect(Math.abs(error - noise ** 2)).toBeLessThanOrEqual(4 * noise ** 2 * Math.sqrt(2 / 1728))
      }
      expect(positionErrors(framesAt(truth, noise), truth, { render, step: 1 })).toEqual([0, 0, 0, 0, 0])
    }
  })

  it('off the half pixels, are the nearest of them', () => {
    const moved = truth.slice(1, 4).map(({ x, y }) => ({ x: x + 0.2, y: y - 0.2 }))
    const found = positionErrors(framesAt(moved, 0), moved, { render })
    for (const distance of found) expect(distance).toBeCloseTo(Math.hypot(0.2, 0.2), 6)
  })

  it('give the distance to where it should be, in pixels', () => {
    const moved = truth.map(({ x, y }, t) => ({ x: x - 3 * (t > 2 ? 1 : 0), y: y - 4 * (t > 2 ? 1 : 0) }))
    expect(positionErrors(framesAt(moved, 0.1), truth, { render })).toEqual([0, 0, 0, 5, 5])
  })

  it('say what is wrong with what they are given', () => {
    const frames = framesAt(truth, 0)
    expect(() => positionErrors(frames, truth.slice(1), { render })).toThrow('4 true positions of 5 frames')
    expect(() => positionsIn(frames, { render, step: 0.7 })).toThrow('a step of 0.7 pixels')
    expect(() => positionsIn(float32([1, 1, 2, 2], floats(frames).subarray(0, 4)), { render })).toThrow(
      '[1,1,2,2]',
    )
  })
})
