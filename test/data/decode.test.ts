import path from 'node:path'
import sharp from 'sharp'
import { describe, expect, test } from 'vitest'
import { decodeImage, type Fit, isUndecodable } from '../../src/data/images/decode.ts'
import { resizeSquare } from '../../src/engine/host/squares.ts'
import { image, type Rgb, temporaryFolder, writeFiles } from './temporary.ts'

const RED: Rgb = [255, 0, 0]
const GREEN: Rgb = [0, 255, 0]
const BLUE: Rgb = [0, 0, 255]

const decode = async (input: Buffer | string, size: number, fit: Fit = 'cover'): Promise<Uint8Array> => {
  const result = await decodeImage(input, { size, fit })
  if (isUndecodable(result)) throw new Error(result.reason)
  return result
}

const pixel = (pixels: Uint8Array, size: number, x: number, y: number): number[] => [
  ...pixels.subarray((y * size + x) * 3, (y * size + x) * 3 + 3),
]

describe('decodeImage', () => {
  test('turns an image by its EXIF orientation', async () => {
    // left half red, right half blue; orientation 6 = turn a quarter clockwise for display, so red comes on top
    const jpeg = await image(32, 32, (x) => (x < 16 ? RED : BLUE))
      .withMetadata({ orientation: 6 })
      .jpeg({ quality: 100, chromaSubsampling: '4:4:4' })
      .toBuffer()
    const pixels = await decode(jpeg, 8)
    expect(pixel(pixels, 8, 7, 0)[0]).toBeGreaterThan(250)
    expect(pixel(pixels, 8, 0, 7)[2]).toBeGreaterThan(250)
  })

  test('turns before it crops', async () => {
    // 48×16, displayed as 16×48: the middle third of the long side remains
    const jpeg = await image(48, 16, (x) => (x < 16 ? RED : x < 32 ? GREEN : BLUE))
      .withMetadata({ orientation: 6 })
      .jpeg({ quality: 100, chromaSubsampling: '4:4:4' })
      .toBuffer()
    const pixels = await decode(jpeg, 16)
    for (const at of [2, 8, 13]) expect(pixel(pixels, 16, at, at)[1]).toBeGreaterThan(240)
  })

  test('lays transparency on white', async () => {
    const half = { r: 0, g: 0, b: 0, alpha: 0.5 }
    const png = await sharp({ create: { width: 16, height: 16, channels: 4, background: half } })
      .png()
      .toBuffer()
    const pixels = await decode(png, 4)
    for (const value of pixels) expect(Math.abs(value - 127)).toBeLessThanOrEqual(1)
    const clear = { r: 9, g: 9, b: 9, alpha: 0 }
    const empty = await sharp({ create: { width: 4, height: 4, channels: 4, background: clear } })
      .png()
      .toBuffer()
    expect(new Set(await decode(empty, 4))).toEqual(new Set([255]))
  })

  test('crops the centre exactly', async () => {
    const png = await image(12, 8, (x, y) => [x * 20, y * 30, 7])
      .png()
      .toBuffer()
    const pixels = await decode(png, 8)
    for (let y = 0; y < 8; y++)
      for (let x = 0; x < 8; x++) expect(pixel(pixels, 8, x, y)).toEqual([(x + 2) * 20, y * 30, 7])
  })

  test('contains on white', async () => {
    const png = await image(8, 4, () => BLUE)
      .png()
      .toBuffer()
    const pixels = await decode(png, 8, 'contain')
    for (let y = 0; y < 8; y++)
      expect(pixel(pixels, 8, 3, y)).toEqual(y < 2 || y >= 6 ? [255, 255, 255] : [...BLUE])
  })

  test('shrinks by exact box means', async () => {
    const value = (x: number, y: number): number => (x * 37 + y * 91 + x * y) % 256
    const png = await image(256, 256, (x, y) => [value(x, y), 255 - value(x, y), (x * y) % 256])
      .png()
      .toBuffer()
    const pixels = await decode(png, 64)
    for (const [x, y] of [
      [0, 0],
      [17, 40],
      [63, 63],
    ]) {
      let sum = 0
      for (let dy = 0; dy < 4; dy++) for (let dx = 0; dx < 4; dx++) sum += value(x * 4 + dx, y * 4 + dy)
      expect(pixel(pixels, 64, x, y)[0]).toBe(Math.floor(sum / 16 + 0.5))
    }
  })

  test('an image far larger than needed keeps its means', async () => {
    const png = await image(1000, 1000, (x, y) => [(x / 1000) * 255, (y / 1000) * 255, 100])
      .png()
      .toBuffer()
    const pixels = await decode(png, 16)
    for (let i = 0; i < 16; i++) {
      const want = ((i + 0.5) / 16) * 255
      const [r, g, b] = pixel(pixels, 16, i, 15 - i)
      expect(Math.abs(r - want)).toBeLessThan(2)
      expect(Math.abs(g - (255 - want))).toBeLessThan(2)
      expect(b).toBe(100)
    }
  })

  test.each([
    [
      '8-bit grey',
      () =>
        image(8, 8, () => [90, 90, 90])
          .toColourspace('b-w')
          .png()
          .toBuffer(),
      90,
      0,
    ],
    [
      '16-bit grey',
      () =>
        image(8, 8, () => [90, 90, 90])
          .toColourspace('grey16')
          .png()
          .toBuffer(),
      90,
      1,
    ],
    [
      'CMYK',
      () =>
        image(8, 8, () => [90, 90, 90])
          .toColourspace('cmyk')
          .jpeg({ quality: 100 })
          .toBuffer(),
      90,
      20,
    ],
  ])('%s becomes RGB', async (_, make, want, tolerance) => {
    const pixels = await decode(await make(), 8)
    expect(pixels.length).toBe(8 * 8 * 3)
    for (const value of pixels) expect(Math.abs(value - want)).toBeLessThanOrEqual(tolerance)
  })

  test('takes the first frame of an animation', async () => {
    const strip = await image(8, 24, (_, y) => [RED, GREEN, BLUE][Math.floor(y / 8)])
      .raw()
      .toBuffer()
    const gif = await sharp(strip, { raw: { width: 8, height: 24, channels: 3, pageHeight: 8 } })
      .gif({ delay: [50, 50, 50] })
      .toBuffer()
    expect((await sharp(gif, { pages: -1 }).metadata()).pages).toBe(3)
    const pixels = await decode(gif, 8)
    for (let i = 0; i < 64; i++) expect(pixel(pixels, 8, i % 8, i >> 3)).toEqual([...RED])
  })

  test('reads every ending of JPEG and TIFF by its contents, TIFF of any depth', async () => {
    const folder = await temporaryFolder()
    const red = image(8, 8, () => RED)
    const files: Record<string, Uint8Array> = {}
    for (const ending of ['jpg', 'JPE', 'jfif', 'pjpeg']) files[`a.${ending}`] = await red.jpeg().toBuffer()
    for (const compression of ['none', 'lzw', 'deflate', 'packbits'] as const)
      files[`${compression}.tif`] = await red.tiff({ compression }).toBuffer()
    files['deep.TIFF'] = await red.toColourspace('rgb16').tiff().toBuffer()
    await writeFiles(folder, files)
    for (const name of Object.keys(files)) {
      const [r, g, b] = pixel(await decode(path.join(folder, name), 4), 4, 1, 1)
      expect([r > 250, g < 5, b < 5], name).toEqual([true, true, true])
    }
  })

  /** Files that are no images, and why. */
  const unreadable = async (): Promise<Readonly<Record<string, readonly [Uint8Array | string, string]>>> => {
    const drawn = image(64, 64, (x, y) => [x * 4, y * 4, (x * y) % 256])
    const half = (bytes: Buffer): Buffer => bytes.subarray(0, bytes.length >> 1)
    return {
      'cut.jpg': [half(await drawn.jpeg().toBuffer()), 'is a damaged or cut-off JPEG'],
      'cut.png': [half(await drawn.png().toBuffer()), 'is a damaged or cut-off PNG'],
      'cut.webp': [half(await drawn.webp().toBuffer()), 'is a damaged or cut-off WebP'],
      'cut.avif': [half(await drawn.avif().toBuffer()), 'is a damaged or cut-off AVIF'],
      'cut.tif': [half(await drawn.tiff().toBuffer()), 'is a damaged or cut-off TIFF'],
      'empty.png': ['', 'is empty'],
      'text.png': ['not an image', 'is no image (PNG, JPEG, WebP, AVIF, GIF or TIFF)'],
      'page.jpg': ['<!DOCTYPE html><html></html>', 'is a file of another kind (web page (HTML))'],
      'bitmap.jpg': [Buffer.from('BM\0\0\0\0\0\0'), 'is a file of another kind (BMP)'],
      'phone.jpg': [Buffer.from('\0\0\0\x18ftypheic\0\0'), 'is a file of another kind (HEIC)'],
      'pointer.png': [
        'version https://git-lfs.github.com/spec/v1\n',
        'is a file of another kind (Git LFS pointer)',
      ],
      'packed.png': [Buffer.from([0x1f, 0x8b, 8, 0]), 'is packed by gzip'],
    }
  }

  test('gives the own reason of each file, however many are decoded at once', async () => {
    const folder = await temporaryFolder()
    const files = await unreadable()
    await writeFiles(
      folder,
      Object.fromEntries(Object.entries(files).map(([name, [bytes]]) => [name, bytes])),
    )
    const wanted = Object.entries(files).map(([name, [, reason]]) => [name, reason] as const)
    for (let round = 0; round < 5; round++) {
      const all = [...wanted, ['missing.png', 'is missing'], ['.', 'is a folder']] as const
      const results = await Promise.all(
        all.map(([name]) => decodeImage(path.join(folder, name), { size: 8, fit: 'cover' })),
      )
      expect(results.map((result) => (isUndecodable(result) ? result.reason : 'read'))).toEqual(
        all.map(([, reason]) => reason),
      )
    }
    for (const [name, [bytes, reason]] of Object.entries(files))
      expect(await decodeImage(Buffer.from(bytes), { size: 8, fit: 'cover' }), name).toEqual({ reason })
  })
})

describe('resizeSquare', () => {
  test('weights borders by overlap', () => {
    const pixels = Uint8Array.from([0, 90, 240].flatMap((v) => [v, v, v]))
    const rows = new Uint8Array(27)
    for (let y = 0; y < 3; y++) rows.set(pixels, y * 9)
    const out = resizeSquare({ width: 3, height: 3, pixels: rows }, 2)
    expect([out[0], out[3]]).toEqual([30, 190]) // (0 + 90/2)/1.5, (90/2 + 240)/1.5
  })

  test.each([
    [7, 3],
    [100, 64],
    [5, 17],
    [1, 4],
    [2, 9],
  ])('%i → %i keeps a flat colour', (side, size) => {
    const pixels = new Uint8Array(side * side * 3).fill(201)
    expect(new Set(resizeSquare({ width: side, height: side, pixels }, size))).toEqual(new Set([201]))
  })
})
