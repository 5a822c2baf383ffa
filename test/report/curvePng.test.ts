/** @file Curves as an image: panels beside each other, and names that stay within theirs. */
import sharp from 'sharp'
import { expect, test } from 'vitest'
import { type Curve, curveSize } from '../../src/report/curve.ts'
import { curvesPng } from '../../src/report/curvePng.ts'

const curveOf = (...names: string[]): Curve => ({
  title: 'Title',
  xLabel: 'x',
  yLabel: 'y',
  series: names.map((name, i) => ({
    name,
    points: [
      [0, i],
      [1, i + 1],
    ],
  })),
})

const sizeOf = async (curves: readonly Curve[]): Promise<[number, number]> => {
  const { width, height } = await sharp(await curvesPng(curves)).metadata()
  return [width / 2, height / 2] // two dots of the image to a pixel of the drawing
}

test('panels lie two beside each other', async () => {
  const one = await sizeOf([curveOf('a')])
  const two = await sizeOf([curveOf('a'), curveOf('a')])
  const three = await sizeOf([curveOf('a'), curveOf('a'), curveOf('a')])
  expect(two[1]).toBe(one[1])
  expect(three[0]).toBe(two[0])
  expect(two[0] - one[0]).toBe(curveSize.width + 24)
  expect(three[1] - one[1]).toBe(one[1] - 24)
  expect(await sizeOf([])).toEqual(one)
})

test('names that do not fit into one row take more, and none is cut', async () => {
  const long = Array.from({ length: 5 }, (_, i) => `variant.stopGradient false, latent.logSnr0 ${i}`)
  const [short, wrapped] = [await sizeOf([curveOf('a', 'b')]), await sizeOf([curveOf(...long)])]
  expect(short).toEqual(await sizeOf([curveOf('a')]))
  expect(wrapped[0]).toBe(short[0])
  expect(wrapped[1] - short[1]).toBe(4 * 18)
  // The last name's colour, the fifth, is seen in the last row of names and not at the panel's right edge.
  const { data, info } = await sharp(await curvesPng([curveOf(...long)]))
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true })
  const colour = [0xa9, 0x79, 0x00]
  const columns: number[] = []
  for (let y = 2 * (24 + 32 + 4 * 18); y < 2 * (24 + 32 + 5 * 18); y++) {
    for (let x = 0; x < info.width; x++) {
      if (colour.every((value, c) => data[3 * (y * info.width + x) + c] === value)) columns.push(x / 2)
    }
  }
  expect(Math.min(...columns)).toBeGreaterThan(24)
  expect(Math.max(...columns)).toBeGreaterThan(24 + 150)
  expect(Math.max(...columns)).toBeLessThan(24 + curveSize.width - 10)
})
