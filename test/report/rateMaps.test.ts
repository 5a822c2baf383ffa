/** @file Maps of bits: nothing is lost between elements, positions and channels, and a bit is drawn where it is. */
import fc from 'fast-check'
import sharp from 'sharp'
import { expect, test } from 'vitest'
import { float32, type HostTensor } from '../../src/engine/host/tensor.ts'
import { ratesByPlace } from '../../src/metrics/ratesByPlace.ts'
import { type RateMapsInput, rateMapsPng } from '../../src/report/rateMaps.ts'

const latentShape = fc.tuple(
  fc.integer({ min: 1, max: 5 }),
  fc.integer({ min: 1, max: 4 }),
  fc.integer({ min: 1, max: 4 }),
)

test('positions and channels hold the same bits as the elements, image by image', () => {
  const cases = fc.tuple(latentShape, fc.integer({ min: 1, max: 4 })).chain(([latent, count]) => {
    const length = count * latent[0] * latent[1] * latent[2]
    const nats = fc.double({ min: -10, max: 1e4, noNaN: true })
    return fc.record({
      latent: fc.constant(latent),
      count: fc.constant(count),
      nats: fc.array(nats, { minLength: length, maxLength: length }),
    })
  })
  fc.assert(
    fc.property(cases, ({ latent, count, nats }) => {
      const [c, h, w] = latent
      const { positions, channels } = ratesByPlace({ latent, rateElements: Float64Array.from(nats) })
      expect([positions.length, channels.length]).toEqual([count * h * w, count * c])
      for (let n = 0; n < count; n++) {
        const sum = (values: ArrayLike<number>, each: number): number =>
          Array.from(values)
            .slice(n * each, (n + 1) * each)
            .reduce((a, b) => a + b, 0)
        const bits = sum(nats, c * h * w) / Math.LN2
        expect(sum(positions, h * w)).toBeCloseTo(bits, 6)
        expect(sum(channels, c)).toBeCloseTo(bits, 6)
      }
    }),
  )
})

test('one element is in one position and one channel', () => {
  const latent = [3, 2, 4] as const
  for (let at = 0; at < 48; at++) {
    const rateElements = new Float64Array(48)
    rateElements[at] = Math.LN2
    const { positions, channels } = ratesByPlace({ latent, rateElements })
    const [n, channel, p] = [Math.floor(at / 24), Math.floor(at / 8) % 3, at % 8]
    expect([...positions.entries()].filter(([, bits]) => bits !== 0)).toEqual([[n * 8 + p, 1]])
    expect([...channels.entries()].filter(([, bits]) => bits !== 0)).toEqual([[n * 3 + channel, 1]])
  }
})

const [size, scale, gap] = [8, 3, 2]
const tile = size * scale

/** Image n is one grey, its reconstruction another. */
const input = (count: number, latent: RateMapsInput['latent'], rateElements: Float64Array): RateMapsInput => {
  const flat = (of: (n: number) => number): HostTensor =>
    float32(
      [count, 3, size, size],
      Float32Array.from(
        { length: count * 3 * size ** 2 },
        (_, i) => of(Math.floor(i / (3 * size ** 2))) / 127.5 - 1,
      ),
    )
  return { images: flat((n) => 10 * n), reconstructions: flat((n) => 10 * n + 5), rateElements, latent }
}

interface Drawn {
  readonly height: number
  /** Colour of a pixel of the image in a row and column of tiles. */
  readonly at: (row: number, column: number, x: number, y: number) => string
}

const draw = async (maps: RateMapsInput, columns: number): Promise<Drawn> => {
  const png = await rateMapsPng(maps, scale)
  const { data, info } = await sharp(png).raw().toBuffer({ resolveWithObject: true })
  expect(info.channels).toBe(3)
  const labels = info.width - (columns * (tile + gap) - gap)
  expect(labels).toBeGreaterThan(0)
  const at: Drawn['at'] = (row, column, x, y) => {
    // The middle of the square that the pixel became.
    const [left, top] = [labels + column * (tile + gap) + x * scale + 1, row * (tile + gap) + y * scale + 1]
    return data
      .subarray(3 * (top * info.width + left))
      .subarray(0, 3)
      .join()
  }
  return { height: info.height, at }
}

const [white, none, most] = ['255,255,255', '13,8,76', '252,232,38']
const everywhere = Array.from({ length: size ** 2 }, (_, i) => [i % size, Math.floor(i / size)] as const)

test('a rate in one element lights its block of the map and its bar, and nothing else', async () => {
  const [c, h, w] = [4, 2, 4]
  for (const [n, channel, y, x] of [
    [0, 0, 0, 0],
    [1, 2, 1, 3],
    [2, 3, 0, 2],
  ] as const) {
    const rateElements = new Float64Array(3 * c * h * w)
    rateElements[((n * c + channel) * h + y) * w + x] = 5
    const { height, at } = await draw(input(3, [c, h, w], rateElements), 3)
    expect(height).toBe(4 * (tile + gap) - gap)
    for (let column = 0; column < 3; column++) {
      const grey = (value: number): string => [value, value, value].join()
      for (const [px, py] of everywhere) {
        expect(at(0, column, px, py)).toBe(grey(10 * column))
        expect(at(1, column, px, py)).toBe(grey(10 * column + 5))
        const lit = column === n && Math.floor(px / (size / w)) === x && Math.floor(py / (size / h)) === y
        expect(at(2, column, px, py)).toBe(lit ? most : none)
        const bar = column === n && Math.floor(px / (size / c)) === channel
        expect(at(3, column, px, py)).toBe(bar ? most : white)
      }
    }
  }
})

test('heights of bars are shares of the largest one, over all images', async () => {
  // Two channels of one position: 8 bits and 2, 4 and 0.
  const rateElements = Float64Array.of(8, 2, 4, 0).map((bits) => bits * Math.LN2)
  const { at } = await draw(input(2, [2, 1, 1], rateElements), 2)
  const heights = [0, 1].map((column) =>
    [0, 4].map((x) => everywhere.filter(([px, py]) => px === x && at(3, column, px, py) !== white).length),
  )
  expect(heights).toEqual([
    [8, 2],
    [4, 0],
  ])
  // 10 bits against 4 by position.
  expect(at(2, 0, 0, 0)).toBe(most)
  expect([none, most]).not.toContain(at(2, 1, 0, 0))
})

test('more than eight images take another four rows; what is left of them is white', async () => {
  const { height, at } = await draw(input(10, [1, 1, 1], new Float64Array(10).fill(1)), 8)
  expect(height).toBe(8 * (tile + gap) - gap)
  expect(at(0, 7, 0, 0)).toBe('70,70,70')
  expect(at(4, 1, 0, 0)).toBe('90,90,90')
  expect(at(5, 1, 0, 0)).toBe('95,95,95')
  for (let row = 4; row < 8; row++) expect(at(row, 2, 3, 3)).toBe(white)
})

test('no bits at all, and rates below zero, draw nothing', async () => {
  const { at } = await draw(input(1, [2, 1, 1], Float64Array.of(0, -3)), 1)
  for (const [x, y] of everywhere) {
    expect(at(2, 0, x, y)).toBe(none)
    expect(at(3, 0, x, y)).toBe(white)
  }
})
