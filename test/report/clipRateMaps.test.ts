/** @file Maps of the bits of clips: each latent frame's elements are at the frames that it stands for, in sheets and in what plays. */
import { join } from 'node:path'
import sharp from 'sharp'
import { expect, it } from 'vitest'
import { clipsFrom, framesOf } from '../../src/engine/host/clips.ts'
import { float32 } from '../../src/engine/host/tensor.ts'
import { elementsByFrame, writeClipRateMaps } from '../../src/report/clipRateMaps.ts'
import { temporaryFolder } from '../data/temporary.ts'

const [N, T, size] = [2, 4, 4]
const latent = [2, 2, 2, 2] as const
const grey = (value: number) =>
  float32([N, 3, T, size, size], new Float32Array(N * 3 * T * size * size).fill(value))
/** Every element another number: n, channel, latent frame and position as digits. */
const rateElements = Float64Array.from({ length: N * 16 }, (_, at) => {
  const [n, c, t, p] = [at >> 4, (at >> 3) & 1, (at >> 2) & 1, at & 3]
  return 1000 * n + 100 * c + 10 * t + p
})
const input = { clips: grey(0), reconstructions: grey(0.5), rateElements, latent }

it('frames have the elements of their latent frame, clip by clip', () => {
  const expected = [0, 1].flatMap((n) =>
    [0, 0, 1, 1].flatMap((t) =>
      [0, 1].flatMap((c) => [0, 1, 2, 3].map((p) => 1000 * n + 100 * c + 10 * t + p)),
    ),
  )
  expect([...elementsByFrame(input)]).toEqual(expected)
})

it('frames become the clips again that they were taken of', () => {
  const clips = float32(
    [2, 3, 4, 1, 2],
    Float32Array.from({ length: 48 }, (_, i) => i),
  )
  expect(clipsFrom(framesOf(clips), 4)).toEqual(clips)
})

it('one bit lights one position of one latent frame, over the grey image, in a sheet and in what plays', async () => {
  const folder = await temporaryFolder()
  const nats = new Float64Array(16)
  nats[0b0_1_10] = Math.LN2 // channel 0, latent frame 1, the lower left position
  const clips = float32([1, 3, T, size, size], new Float32Array(3 * T * size * size))
  const one = { clips, reconstructions: clips, rateElements: nats, latent }
  const [scale, gap] = [1, 2]
  const [sheet, film] = ['maps.png', 'maps.webp'].map((name) => join(folder, name))
  await writeClipRateMaps(sheet, one, { scale })
  await writeClipRateMaps(film, one, { scale })

  const { data, info } = await sharp(sheet).raw().toBuffer({ resolveWithObject: true })
  expect(info.height).toBe(4 * size + 3 * gap)
  const left = info.width - (T * size + (T - 1) * gap)
  const at = (frame: number, row: number, x: number, y: number): number[] => {
    const start = ((row * (size + gap) + y) * info.width + left + frame * (size + gap) + x) * info.channels
    return [...data.subarray(start, start + 3)]
  }
  const isLit = ([r, g, b]: number[]): boolean => r > 150 && g > 150 && b < 120
  for (let frame = 0; frame < T; frame++)
    for (const [x, y] of [
      [0, 0],
      [3, 0],
      [0, 3],
      [3, 3],
    ])
      expect(isLit(at(frame, 2, x, y)), `frame ${frame} at ${x}, ${y}`).toBe(frame >= 2 && x === 0 && y === 3)
  // The channel's bar is as high as the image at these frames alone.
  expect([0, 1, 2, 3].map((frame) => at(frame, 3, 0, 0)[2] < 120)).toEqual([false, false, true, true])
  expect([0, 1, 2, 3].map((frame) => at(frame, 3, 3, 0).join())).toEqual(Array(4).fill('255,255,255'))
  // Equal frames are one that is shown as long: here those of each latent frame.
  expect((await sharp(film).metadata()).delay).toEqual([250, 250])
})
