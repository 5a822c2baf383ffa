/** @file Clips as files that play and as sheets: read back, they are the frames that went in. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import { describe, expect, it } from 'vitest'
import { randomUniform, streamKey } from '../../src/engine/host/random.ts'
import { float32, type HostTensor, sizeOf } from '../../src/engine/host/tensor.ts'
import { clipWebp, contactSheet, expectClipFile, writeClip } from '../../src/report/clip.ts'
import { temporaryFolder } from '../data/temporary.ts'

const folder = await temporaryFolder()
const key = streamKey(1, 'clip test')

/** The byte of channel c at (x, y) in frame t of clip n of noise. */
const noise = (n: number, c: number, t: number, y: number, x: number): number =>
  Math.floor(256 * randomUniform(key, (((n * 3 + c) * 64 + t) * 64 + y) * 64 + x))

/** Clips of bytes by their place. */
const clips = ([N, T, H, W]: readonly number[], at = noise): HostTensor => {
  const shape = [N, 3, T, H, W]
  const bytes = Array.from({ length: sizeOf(shape) }, (_, i) => {
    const [x, y, t] = [i % W, Math.floor(i / W) % H, Math.floor(i / (W * H)) % T]
    const plane = Math.floor(i / (W * H * T))
    return at(Math.floor(plane / 3), plane % 3, t, y, x)
  })
  return float32(
    shape,
    bytes.map((b) => b / 127.5 - 1),
  )
}

/** What is at (x, y) of page t of an animation. */
const readAnimation = async (file: string | Uint8Array) => {
  const [meta, { data, info }] = await Promise.all([
    sharp(file, { animated: true }).metadata(),
    sharp(file, { animated: true }).raw().toBuffer({ resolveWithObject: true }),
  ])
  const height = meta.pageHeight ?? info.height
  const at = (t: number, x: number, y: number): number[] => {
    const from = info.channels * ((t * height + y) * info.width + x)
    return [...data.subarray(from, from + 3)]
  }
  return { at, height, width: info.width, meta }
}

/** Where [N = 3, T = 5, H = 4, W = 6] in two columns, scale 2 and gap 1, has its pixels; white elsewhere. */
const sizes = [3, 5, 4, 6]
const [, T, H, W] = sizes
const placed = (at: typeof noise, t: number, x: number, y: number): number[] => {
  const [column, row] = [Math.floor(x / (2 * W + 1)), Math.floor(y / (2 * H + 1))]
  const [px, py] = [Math.floor((x - column * (2 * W + 1)) / 2), Math.floor((y - row * (2 * H + 1)) / 2)]
  const n = 2 * row + column
  return px < W && py < H && n < 3 ? [0, 1, 2].map((c) => at(n, c, t, py, px)) : [255, 255, 255]
}
const options = { columns: 2, scale: 2, gap: 1, fps: 8 }

describe('.webp', () => {
  it('read back, has every frame of every clip bit for bit, their number, times and endless loop', async () => {
    const file = join(folder, 'a.webp')
    await writeClip(file, clips(sizes), options)
    const { at, height, width, meta } = await readAnimation(file)
    expect(meta).toMatchObject({ pages: T, loop: 0, delay: [125, 125, 125, 125, 125], format: 'webp' })
    expect([width, height]).toEqual([2 * 2 * W + 1, 2 * 2 * H + 1])
    for (let t = 0; t < T; t++) {
      for (let y = 0; y < height; y++)
        for (let x = 0; x < width; x++) expect(at(t, x, y)).toEqual(placed(noise, t, x, y))
    }
    expect(readdirSync(folder)).toEqual(['a.webp'])
  })

  it('shows frames for times that add up, whatever rounding each of them takes', async () => {
    const { meta } = await readAnimation(await clipWebp(clips([1, 7, 2, 2]), { fps: 30 }))
    expect(meta.delay).toEqual([33, 34, 33, 33, 34, 33, 33])
  })

  it('keeps labels beside the clips in every frame', async () => {
    const plain = await readAnimation(await clipWebp(clips(sizes), options))
    const { at, width, height } = await readAnimation(
      await clipWebp(clips(sizes), { ...options, labels: ['given', 'made'] }),
    )
    const left = width - plain.width
    expect(left).toBeGreaterThan(20)
    for (const t of [0, T - 1]) {
      let ink = 0
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < left; x++) if (at(t, x, y)[0] < 200) ink++
        for (let x = 0; x < plain.width; x++) expect(at(t, left + x, y)).toEqual(plain.at(t, x, y))
      }
      expect(ink).toBeGreaterThan(20)
    }
  })

  it('gives up exactness where bytes are bounded, then says that they do not suffice', async () => {
    const given = clips([1, 3, 64, 64])
    const whole = await clipWebp(given)
    const small = await clipWebp(given, { mostBytes: Math.floor(whole.length / 3) })
    expect(small.length).toBeLessThanOrEqual(whole.length / 3)
    expect((await readAnimation(small)).meta).toMatchObject({ pages: 3, pageHeight: 64 })
    await expect(clipWebp(given, { mostBytes: 100 })).rejects.toThrow(
      /^clip: \d+ bytes at the lowest quality, 100 are allowed; show fewer clips$/,
    )
  })
})

describe('.gif', () => {
  /** Few colours, which a palette holds. */
  const flat = (n: number, c: number, t: number): number => [0, 102, 255][(n + c + t) % 3]

  it('read back, has the frames, where their colours are few, and their number, times and loop', async () => {
    const file = join(folder, 'b.gif')
    await writeClip(file, clips(sizes, flat), options)
    const { at, height, width, meta } = await readAnimation(file)
    // A GIF counts hundredths of a second: 62.5 of them are five frames, each of which ends where it should.
    expect(meta).toMatchObject({ pages: T, loop: 0, delay: [130, 120, 130, 120, 130], format: 'gif' })
    for (let t = 0; t < T; t++) {
      for (let y = 0; y < height; y++)
        for (let x = 0; x < width; x++) expect(at(t, x, y)).toEqual(placed(flat, t, x, y))
    }
  })
})

describe('.png', () => {
  it('has a row of frames for each clip, small ones enlarged by whole pixels', async () => {
    const { data, info } = await sharp(await contactSheet(clips([2, 3, 16, 16])))
      .raw()
      .toBuffer({ resolveWithObject: true })
    const scale = 4 // 64 pixels on the screen
    const step = 16 * scale + 2
    expect([info.width, info.height]).toEqual([3 * step - 2, 2 * step - 2])
    for (let n = 0; n < 2; n++) {
      for (let t = 0; t < 3; t++) {
        for (const [x, y] of [
          [0, 0],
          [5, 15],
          [15, 7],
        ]) {
          const from = 3 * ((n * step + y * scale + 3) * info.width + t * step + x * scale + 3)
          expect([...data.subarray(from, from + 3)]).toEqual([0, 1, 2].map((c) => noise(n, c, t, y, x)))
        }
      }
    }
  })

  it('is what a file of that ending holds', async () => {
    const file = join(folder, 'C.PNG')
    await writeClip(file, clips([1, 2, 3, 3]), { labels: ['a'] })
    expect(readFileSync(file)).toEqual(await contactSheet(clips([1, 2, 3, 3]), { labels: ['a'] }))
  })
})

describe('what cannot be written', () => {
  it.each<[string, HostTensor, object, RegExp]>([
    ['x.avi', clips([1, 2, 2, 2]), {}, /x\.avi ends in none of \.webp, \.gif, \.png, \.mp4; give one/],
    ['x.webp', float32([1, 3, 2, 2], new Float32Array(12)), {}, /clip as \[N,C,T,H,W\], not \[1,3,2,2\]$/],
    ['x.gif', clips([1, 2, 2, 2]), { fps: 60 }, /60 frames a second; \.gif plays more than 0 and up to 50$/],
    ['x.webp', clips([1, 2, 2, 2]), { fps: 0 }, /0 frames a second; \.webp/],
    ['x.webp', clips([2, 2, 2, 2]), { scale: 1, gap: 17000 }, /17004×2 pixels; a WebP has 16383 a side at/],
  ])('%s is refused in one sentence', async (name, given, how, message) => {
    await expect(writeClip(join(folder, name), given, how)).rejects.toThrow(message)
    expect(readdirSync(folder).filter((file) => file.includes('x.'))).toEqual([])
  })

  it('is known before anything is computed', () => {
    expect(() => expectClipFile('a.webm')).toThrow('a.webm ends in none of')
    expect(() => expectClipFile('a.webp')).not.toThrow()
  })
})
