import fc from 'fast-check'
import sharp from 'sharp'
import { expect, test } from 'vitest'
import { float32, type HostTensor, sizeOf } from '../../src/engine/host/tensor.ts'
import { gridPng, pairGrid } from '../../src/report/grid.ts'

interface Decoded {
  readonly width: number
  readonly height: number
  readonly at: (x: number, y: number) => number[]
}

const decode = async (png: Uint8Array): Promise<Decoded> => {
  const { data, info } = await sharp(png).raw().toBuffer({ resolveWithObject: true })
  expect(info.channels).toBe(3)
  const at = (x: number, y: number): number[] => [...data.subarray(3 * (y * info.width + x)).subarray(0, 3)]
  return { width: info.width, height: info.height, at }
}

/** N images in which byte = 40·n + 10·channel + 3·y + x. */
const byteOf = (n: number, channel: number, y: number, x: number): number => 40 * n + 10 * channel + 3 * y + x

const numbered = (N: number, H: number, W: number): HostTensor => {
  const shape = [N, 3, H, W]
  const data = Array.from({ length: sizeOf(shape) }, (_, i) => {
    const [x, y] = [i % W, Math.floor(i / W) % H]
    const [channel, n] = [Math.floor(i / (W * H)) % 3, Math.floor(i / (3 * W * H))]
    return (byteOf(n, channel, y, x) - 127.5) / 127.5
  })
  return float32(shape, data)
}

const colour = (n: number, y: number, x: number): number[] => [0, 1, 2].map((c) => byteOf(n, c, y, x))

const white = [255, 255, 255]

test('grid: images lie where the formula says, enlarged without blending, white elsewhere', async () => {
  const [N, H, W] = [5, 2, 3]
  const images = numbered(N, H, W)
  const options = fc.record({
    columns: fc.integer({ min: 1, max: 7 }),
    scale: fc.integer({ min: 1, max: 4 }),
    gap: fc.integer({ min: 0, max: 3 }),
  })
  await fc.assert(
    fc.asyncProperty(options, async ({ columns, scale, gap }) => {
      const grid = await decode(await gridPng(images, columns, { scale, gap }))
      const across = Math.min(columns, N)
      const down = Math.ceil(N / across)
      expect(grid.width).toBe(across * (W * scale + gap) - gap)
      expect(grid.height).toBe(down * (H * scale + gap) - gap)
      for (let y = 0; y < grid.height; y++) {
        for (let x = 0; x < grid.width; x++) {
          const [column, row] = [Math.floor(x / (W * scale + gap)), Math.floor(y / (H * scale + gap))]
          const px = Math.floor((x - column * (W * scale + gap)) / scale)
          const py = Math.floor((y - row * (H * scale + gap)) / scale)
          const n = row * across + column
          expect(grid.at(x, y)).toEqual(px < W && py < H && n < N ? colour(n, py, px) : white)
        }
      }
    }),
    { numRuns: 20 },
  )
})

test('pairs: the reconstruction lies under its original, three gaps between pairs', async () => {
  const originals = numbered(3, 2, 2)
  const rebuilt = float32(
    originals.shape,
    (originals.data as Float32Array).map((v) => -v),
  )
  const grid = await decode(await pairGrid(originals, rebuilt, 2, { gap: 1 }))
  expect([grid.width, grid.height]).toEqual([5, 2 + 1 + 2 + 3 + 2 + 1 + 2])
  const inverted = (n: number, y: number, x: number): number[] => colour(n, y, x).map((b) => 255 - b)
  expect(grid.at(3, 0)).toEqual(colour(1, 0, 0))
  expect(grid.at(4, 4)).toEqual(inverted(1, 1, 1))
  expect([5, 6, 7].map((y) => grid.at(0, y))).toEqual([white, white, white])
  expect(grid.at(1, 8)).toEqual(colour(2, 0, 1))
  expect(grid.at(0, 12)).toEqual(inverted(2, 1, 0))
  expect(grid.at(4, 12)).toEqual(white)
})

test('labels take room on the left, are drawn there, and leave the images alone', async () => {
  const images = numbered(4, 12, 12)
  const plain = await decode(await gridPng(images, 2, { scale: 2 }))
  const grid = await decode(await gridPng(images, 2, { scale: 2, labels: ['a <&> "b"', ''] }))
  const left = grid.width - plain.width
  expect(left).toBeGreaterThan(9 * 4)
  expect(grid.height).toBe(plain.height)
  const ink = { upper: 0, lower: 0 }
  for (let y = 0; y < grid.height; y++) {
    for (let x = 0; x < left; x++) {
      if (grid.at(x, y)[0] < 200) ink[y < grid.height / 2 ? 'upper' : 'lower']++
    }
    for (let x = 0; x < plain.width; x++) expect(grid.at(left + x, y)).toEqual(plain.at(x, y))
  }
  expect(ink.lower).toBe(0)
  expect(ink.upper).toBeGreaterThan(10)
})

test('errors name what to pass', async () => {
  const images = numbered(2, 2, 2)
  const grid = (columns: number, options = {}): Promise<Uint8Array> => gridPng(images, columns, options)
  await expect(async () => grid(0)).rejects.toThrow('0 columns')
  await expect(async () => grid(2, { scale: 1.5 })).rejects.toThrow('scale 1.5')
  await expect(async () => grid(2, { gap: -1 })).rejects.toThrow('gap -1')
  await expect(async () => gridPng(float32([2, 2], [1, 2, 3, 4]), 1)).rejects.toThrow('not [2,2]')
  await expect(async () => gridPng(float32([0, 3, 2, 2], []), 1)).rejects.toThrow('at least one')
  await expect(async () => pairGrid(images, numbered(1, 2, 2), 1)).rejects.toThrow('[2,3,2,2] and [1,3,2,2]')
})
