/** @file Fréchet distances of clips, by networks whose features of them are known. */
import { describe, expect, it } from 'vitest'
import { randomUniform, streamKey } from '../../src/engine/host/random.ts'
import { float32, type HostTensor, sizeOf } from '../../src/engine/host/tensor.ts'
import { openFeatureNetwork } from '../../src/features/network.ts'
import { clipDistance } from '../../src/measure/clipDistance.ts'
import { forClips } from '../../src/measure/features.ts'
import { imageSetOf } from '../../src/method/programs.ts'
import type { GivenFrames } from '../../src/metrics/figures.ts'
import { temporaryFolder } from '../data/temporary.ts'
import { writeQuarters } from '../features/quarters.ts'
import { writeSlopes } from '../features/slopes.ts'

const folder = await temporaryFolder()
const [N, T] = [10, 4]
const key = streamKey(3, 'clip distance')

/** Bytes of flat frames 2×2, drawn for each frame and channel of a clip. */
const drawn = (n: number, t: number, c: number): number =>
  50 + Math.floor(100 * randomUniform(key, (n * T + t) * 3 + c))

/** Clips [count, 3, T, side, side] that are flat in every frame. */
const clips = (count: number, at: (n: number, t: number, c: number) => number, side = 2): HostTensor => {
  const shape = [count, 3, T, side, side]
  const data = Array.from({ length: sizeOf(shape) }, (_, i) => {
    const frame = Math.floor(i / side ** 2)
    return at(Math.floor(frame / (3 * T)), frame % T, Math.floor(frame / T) % 3) / 127.5 - 1
  })
  return float32(shape, data)
}

/** The last frame brighter by `more` steps. */
const brighter = (more: (n: number) => number) => (n: number, t: number, c: number) =>
  drawn(n % N, t, c) + (t === T - 1 ? more(n) : 0)

const distance = async (made: HostTensor, options: Parameters<typeof clipDistance>[3] = {}) => {
  const network = await openFeatureNetwork(writeSlopes(folder, { sidecar: { name: 'FVD' } }))
  try {
    return await clipDistance(network, imageSetOf(clips(N, drawn)), imageSetOf(made), options)
  } finally {
    await network.dispose()
  }
}

describe('the distance of clips', () => {
  it('is that of their features, whatever the parts that they are read in, and says how it came about', async () => {
    // The slope of each of three colours is larger by 6/(T − 1).
    const found = await distance(
      clips(
        N,
        brighter(() => 6),
      ),
      { atOnce: 3 },
    )
    expect(found.distance).toBeCloseTo(3 * (6 / 3) ** 2, 3)
    expect(found).toMatchObject({ name: 'FVD', deviation: null })
    expect(found.protocol).toEqual({
      network: expect.stringMatching(/^FVD: 3 features of clips of 2 frames or more .*; clips of 4 frames$/),
      quantiser: expect.stringMatching(/^round/),
      frames: 'all 4, none of which was given',
      realCount: N,
      fakeCount: N,
      folds: 1,
    })
  })

  it('has a mean and a deviation over folds', async () => {
    const { each, ...found } = await distance(
      clips(
        2 * N,
        brighter((n) => 3 * Math.floor(n / N)),
      ),
      { folds: 2 },
    )
    expect(each[0]).toBeCloseTo(0, 3)
    expect(each[1]).toBeCloseTo(3, 3)
    expect(found.distance).toBeCloseTo(1.5, 3)
    expect(found.deviation).toBeCloseTo(3 / Math.SQRT2, 3)
    expect(found.protocol).toMatchObject({ folds: 2, realCount: N, fakeCount: 2 * N })
  })

  it.each<[GivenFrames, number, string]>([
    [{ count: 2, are: 'true', scored: true }, 3 * 1, 'all 4, the first 2 given (true)'],
    [
      { count: 2, are: 'decoded', scored: false },
      3 * 3 ** 2, // of two frames that are left
      'the last 2 of 4, without the first 2, which were given (decoded)',
    ],
  ])('scores the frames that it is told to: %o', async (given, wanted, frames) => {
    const found = await distance(
      clips(
        N,
        brighter(() => 3),
      ),
      { given },
    )
    expect(found.distance).toBeCloseTo(wanted, 3)
    expect(found.protocol.frames).toBe(frames)
  })

  it('needs as many frames as the network does, of what is scored', async () => {
    const given = { count: 3, are: 'true', scored: false } as const
    await expect(distance(clips(N, drawn), { given })).rejects.toThrow(
      'clips of 1 frames, but FVD takes clips of 2 frames or more',
    )
  })
})

describe('a network of images', () => {
  it('sees clips by the means of its features over frames, and says so in its name', async () => {
    const quarters = await openFeatureNetwork(writeQuarters(folder))
    try {
      const made = clips(
        N,
        brighter(() => 20),
        16,
      )
      const found = await clipDistance(quarters, imageSetOf(clips(N, drawn, 16)), imageSetOf(made))
      // Twelve features in 0 … 1, each larger by 20/255 in one frame of four.
      expect(found.distance).toBeCloseTo(12 * (20 / 255 / T) ** 2, 6)
      expect(found.name).toBe('quarters of clips, mean over 4 frames')
      expect(found.protocol.network).toMatch(
        /^quarters of clips, mean over 4 frames: quarters: 12 features from 16×16/,
      )
      const network = forClips(quarters, T)
      await expect(
        network.features(new Uint8Array(3 * 3 * 256), { height: 16, width: 16, frames: 3 }),
      ).rejects.toThrow(/clips of 3 frames for quarters of clips, .*; give clips of 4$/)
      expect(forClips(quarters, 1)).toBe(quarters)
    } finally {
      await quarters.dispose()
    }
  })
})
