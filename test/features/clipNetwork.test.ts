/** @file Feature networks with an axis for time, against the closed form of one that measures slopes. */
import { describe, expect, it } from 'vitest'
import { openFeatureNetwork } from '../../src/features/network.ts'
import { temporaryFolder } from '../data/temporary.ts'
import { type SlopesOptions, writeSlopes } from './slopes.ts'

const folder = await temporaryFolder()
const clipCount = 3

/** The byte of channel c in frame t of clip n, all over the frame. */
const byteOf = (n: number, t: number, c: number): number => [10, 40, 90][c] + t * t * (n + 1) * (c + 1)

/** Clips [3, T, side, side, 3]. */
const clips = (T: number, side: number, at: (p: number) => number = () => 0): Uint8Array =>
  Uint8Array.from({ length: clipCount * T * side * side * 3 }, (_, i) => {
    const [c, p, frame] = [i % 3, Math.floor(i / 3) % side ** 2, Math.floor(i / (3 * side ** 2))]
    return byteOf(Math.floor(frame / T), frame % T, c) + at(p)
  })

const slopesOf = (T: number): number[] =>
  [0, 1, 2].flatMap((n) => [0, 1, 2].map((c) => (byteOf(n, T - 1, c) - byteOf(n, 0, c)) / (T - 1)))

const features = async (
  options: SlopesOptions,
  frames: number | undefined,
  pixels: Uint8Array = clips(frames ?? 1, 2),
  side = 2,
): Promise<number[]> => {
  const network = await openFeatureNetwork(writeSlopes(folder, options), { threads: 1 })
  try {
    const rows = await network.features(pixels, { height: side, width: side, frames })
    return [...rows].map((v) => Number(v.toFixed(3)))
  } finally {
    await network.dispose()
  }
}

const rounded = (values: readonly number[]): number[] => values.map((v) => Number(v.toFixed(3)))

describe('a network of clips', () => {
  it('gives one row a clip, of as many frames as there are', async () => {
    for (const T of [2, 3, 5]) expect(await features({}, T)).toEqual(rounded(slopesOf(T)))
    const network = await openFeatureNetwork(writeSlopes(folder))
    expect(network).toMatchObject({ name: 'slopes', dimension: 3, frames: 2 })
    expect(network.describe()).toMatch(
      /^slopes: 3 features of clips of 2 frames or more from 2×2 \(resize none\), range 0 … 255; bytes by/,
    )
    await network.dispose()
  })

  it('lays clips out as its description says, in batches of any size', async () => {
    const wanted = rounded(slopesOf(4))
    expect(await features({ layout: 'nthwc' }, 4)).toEqual(wanted)
    expect(await features({ sidecar: { batch: 2 } }, 4)).toEqual(wanted)
    expect(await features({ batch: 2, layout: 'nthwc', sidecar: { channels: 'bgr' } }, 4)).toEqual(
      [2, 1, 0, 5, 4, 3, 8, 7, 6].map((i) => wanted[i]),
    )
  })

  it('judges clips at the size that it is told before its own', async () => {
    // 4×4 → 2×2 takes the pixels of even rows and columns; 2×2 → 4×4 weighs them by 1 + ½ and ½ + 1 + 1 in each direction.
    const evaluateAt = { height: 2, width: 2, resize: 'bilinear-tf1' }
    const sidecar = { evaluateAt, resize: 'bilinear-tf1' }
    const weight = [1.5 / 4, 0, 2.5 / 4, 0]
    const T = 3
    const later = (p: number): number => 2 * p
    // The second half of the frames is brighter by 2·p at pixel p: only the last frame counts beside the first.
    const pixels = clips(T, 4).map((byte, i) => {
      const frame = Math.floor(i / 48) % T
      return frame === T - 1 ? byte + later(Math.floor(i / 3) % 16) : byte
    })
    let more = 0
    for (let p = 0; p < 16; p++) more += weight[p % 4] * weight[Math.floor(p / 4)] * later(p)
    const wanted = slopesOf(T).map((slope) => slope + more / (T - 1))
    expect(await features({ side: 4, sidecar }, T, pixels, 4)).toEqual(rounded(wanted))
    const network = await openFeatureNetwork(writeSlopes(folder, { side: 4, sidecar }))
    expect(network.describe()).toMatch(
      /from 2×2 \(resize bilinear-tf1\), then 4×4 \(resize bilinear-tf1\), range/,
    )
    await network.dispose()
  })

  it.each<[string, SlopesOptions, number | undefined, RegExp]>([
    [
      'too few frames',
      { sidecar: { frames: 9 } },
      8,
      /^features: clips of 8 frames, but slopes takes clips of 9 frames or more; give such clips$/,
    ],
    ['images', {}, undefined, /^features: images, but slopes takes clips of 2 frames or more/],
    [
      'too many frames for the graph',
      { fixed: 3, sidecar: { frames: 3 } },
      4,
      /clips of 4 frames, but slopes takes clips of 3 frames; give/,
    ],
    [
      'a graph of another length',
      { fixed: 5 },
      5,
      /\.onnx takes clips of 5 frames, its sidecar says 2; write 5 there$/,
    ],
    [
      'no number of frames',
      { sidecar: { frames: undefined } },
      2,
      /\.json: give frames for the layouts ncthw and nthwc, and for no other$/,
    ],
    ['frames of images', { sidecar: { layout: 'nchw' } }, 2, /give frames for the layouts ncthw and nthwc/],
    [
      'a size without its rule',
      { sidecar: { evaluateAt: { height: 2, width: 2 } } },
      2,
      /\.json: evaluateAt\.resize: /,
    ],
  ])('says in one sentence: %s', async (_, options, frames, message) => {
    await expect(features(options, frames)).rejects.toThrow(message)
  })

  it('refuses bytes that fill no clip', async () => {
    await expect(features({}, 2, new Uint8Array(25))).rejects.toThrow(/25 bytes are not clips of 2×2×2×3/)
  })
})
