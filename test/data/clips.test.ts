/** @file Folders of clips. Videos are made by ffmpeg itself; without it, what needs none is tested, and that it is asked for. */

import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, readdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import sharp from 'sharp'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { firstFrame } from '../../src/data/clips/clip.ts'
import { probeVideo, videoFrames } from '../../src/data/clips/ffmpeg.ts'
import { inNumberedOrder } from '../../src/data/clips/numbered.ts'
import { csvRows } from '../../src/data/formats/csv.ts'
import type { DataSplit, ImageSource } from '../../src/data/images/source.ts'
import { type DataOptions, openData } from '../../src/data/open.ts'
import { summaryLines } from '../../src/data/summary.ts'
import { cropToSquare, resizeSquare } from '../../src/engine/host/squares.ts'
import { image, temporaryFolder, writeFiles } from './temporary.ts'

const hasFfmpeg = ['ffmpeg', 'ffprobe'].every((tool) => spawnSync(tool, ['-version']).status === 0)
const withFfmpeg = describe.skipIf(!hasFfmpeg)
const needed = hasFfmpeg ? '' : ' (left out: there is no ffmpeg here)'

/** Where Debian's opencv-doc has its videos. */
const footage = '/usr/share/doc/opencv-doc/examples/data'

afterEach(() => {
  delete process.env.UL_FFMPEG
})

const ffmpeg = (...args: string[]): void => {
  execFileSync('ffmpeg', ['-v', 'error', '-nostdin', '-y', ...args])
}

/** A moving test picture of ffmpeg's. */
const picture = (size: string, frames: number): string[] => [
  ...['-f', 'lavfi', '-i', `testsrc2=size=${size}:rate=25`, '-frames:v', String(frames)],
]

/** All frames of a video as ffmpeg writes them to PNG. */
const pngFrames = async (file: string, most?: number) => {
  const folder = await temporaryFolder()
  const cut = most === undefined ? [] : ['-frames:v', String(most)]
  ffmpeg('-i', file, ...cut, '-fps_mode', 'passthrough', path.join(folder, '%05d.png'))
  const names = (await readdir(folder)).sort()
  return Promise.all(
    names.map(async (name) => {
      const { data, info } = await sharp(path.join(folder, name))
        .removeAlpha()
        .raw()
        .toBuffer({ resolveWithObject: true })
      return { width: info.width, height: info.height, pixels: new Uint8Array(data) }
    }),
  )
}

const framesOf = async (file: string, size: number, first = 0, stride = 1): Promise<Uint8Array[]> => {
  const facts = await probeVideo({ file })
  const frames: Uint8Array[] = []
  for await (const frame of videoFrames({ file }, facts, size, { first, stride, count: facts.count }))
    frames.push(frame)
  return frames
}

/** Frame `t` of clip `c`: one colour, and another pixel in a corner. */
const colour = (c: number, t: number): readonly [number, number, number] => [40 * c, 20 * t, 200 - 40 * c]
const frameImage = (c: number, t: number, side = 8) =>
  image(side, side, (x, y) => (x + y === 0 ? [255, 255, 255] : colour(c, t)))

const numberedFolder = async (c: number, count: number, name = (t: number) => `${t}.png`) => {
  const files: Record<string, Uint8Array> = {}
  for (let t = 0; t < count; t++) files[name(t)] = await frameImage(c, t).png().toBuffer()
  return files
}

/** An animation of frames that differ. */
const animation = async (c: number, count: number, format: 'gif' | 'webp'): Promise<Buffer> => {
  const frames = await Promise.all(Array.from({ length: count }, (_, t) => frameImage(c, t).png().toBuffer()))
  const joined = sharp(frames, { join: { animated: true } })
  return format === 'gif' ? joined.gif().toBuffer() : joined.webp({ lossless: true }).toBuffer()
}

const rejection = (attempt: Promise<unknown>): Promise<string> =>
  attempt.then(
    () => 'no error',
    (error: Error) => error.message,
  )

/** The number of a frame among those of `frameImage`, by its second channel. */
const shown = (clip: Uint8Array, size: number): number[] =>
  Array.from(
    { length: clip.length / (size * size * 3) },
    (_, k) => clip[((k + 1) * size * size - 1) * 3 + 1] / 20,
  )

const all = ({ count }: ImageSource): number[] => Array.from({ length: count }, (_, i) => i)
const open = (folder: string, more: Partial<DataOptions> = {}): Promise<DataSplit> =>
  openData({
    source: 'clips',
    path: folder,
    size: 8,
    frames: 4,
    cacheDir: path.join(folder, '.cache'),
    ...more,
  })

/** Where @lobehub/fluent-emoji-anim-3 lies, which is optional and never installed with this package: its folder, or one that UL_ANIMATED_EMOJI names. */
const animated = [
  process.env.UL_ANIMATED_EMOJI,
  path.join('node_modules', '@lobehub', 'fluent-emoji-anim-3', 'assets'),
].find((folder): folder is string => folder !== undefined && existsSync(folder))

test.runIf(animated !== undefined)(
  'animated emoji: which are clips, and their frames',
  async () => {
    const pages = new Map<string, number>()
    for (const name of await readdir(animated!))
      if (name.endsWith('.webp'))
        pages.set(name, (await sharp(path.join(animated!, name)).metadata()).pages ?? 1)
    const folder = await temporaryFolder()
    const data = await open(animated!, { size: 16, frames: 16, cacheDir: path.join(folder, '.cache') })
    const halves = [data.train, data.validation]
    const long = [...pages].filter(([, count]) => count >= 16).map(([name]) => name)
    const found = halves.flatMap((half) => all(half).map((i) => half.id(i)))
    expect(found.toSorted()).toEqual(long.toSorted())
    expect([long.length, pages.size - long.length]).toEqual([568, 138])
    const [clip] = halves
    for (const i of [0, 100, 300]) {
      const id = clip.id(i)
      // The first window's frames as sharp itself draws them on white, shrunk.
      const window = await clip.read([i])
      const own = sharp(path.join(animated!, id), { pages: 16 }).flatten({ background: '#fff' }).raw()
      const { data: pixels, info } = await own.toBuffer({ resolveWithObject: true })
      const side = info.width
      const frame = { width: side, height: side, pixels: new Uint8Array(pixels.subarray(0, side * side * 3)) }
      const wanted = resizeSquare(frame, 16)
      const errors = wanted.map((value, k) => Math.abs(value - window[k]))
      expect(Math.max(...errors), id).toBeLessThanOrEqual(2)
    }
  },
  600_000,
)

describe('clips that need no ffmpeg', () => {
  let folder: string
  beforeAll(async () => {
    folder = await temporaryFolder()
    const sets = {
      'train/cats/one': await numberedFolder(0, 12, (t) => `frame_${t + 3}.png`),
      'train/cats/two': await numberedFolder(1, 5, (t) => `${10 * t}.png`),
      'val/dogs/three': await numberedFolder(2, 9),
      'train/cats/short': await numberedFolder(3, 3),
    }
    for (const [name, files] of Object.entries(sets)) {
      for (const [file, bytes] of Object.entries(files))
        await writeFiles(folder, { [`${name}/${file}`]: bytes })
    }
    await writeFiles(folder, {
      'train/dogs/four.gif': await animation(4, 7, 'gif'),
      'train/dogs/five.webp': await animation(5, 9, 'webp'),
      'val/cats/six.webp': await animation(1, 4, 'webp'),
      'train/dogs/still.gif': await frameImage(0, 0).gif().toBuffer(),
      'train/dogs/broken.gif': Buffer.from('GIF89a and no more'),
      'train/dogs/cover.jpg': await frameImage(0, 0).jpeg().toBuffer(),
      'notes.txt': 'x',
    })
  })

  test('classes, split, captions, and what is said of the rest', async () => {
    const data = await open(folder)
    const { train, validation } = data
    expect(all(train).map((i) => train.id(i))).toEqual([
      'train/cats/one',
      'train/cats/two',
      'train/dogs/five.webp',
      'train/dogs/four.gif',
    ])
    expect(all(validation).map((i) => validation.id(i))).toEqual(['val/cats/six.webp', 'val/dogs/three'])
    expect(train.classes).toEqual(['cats', 'dogs'])
    expect(all(train).map((i) => train.label(i))).toEqual([0, 0, 1, 1])
    expect([train.caption(0), train.caption(3)]).toEqual(['one', 'four'])
    expect([train.size, train.frames]).toEqual([8, 4])
    expect(data.skipped).toEqual([
      { file: 'train/dogs/broken.gif', reason: 'is a damaged or cut-off GIF' },
      { file: 'train/cats/short', reason: 'has 3 frames, fewer than the 4 that are read of a clip' },
      { file: 'train/dogs/still.gif', reason: 'has 1 frame, fewer than the 4 that are read of a clip' },
    ])
    expect(summaryLines(data)).toEqual([
      'data: 4 clips to train on, 2 held out, from 34 files',
      'data: ignored 1 .jpg, 1 .txt',
      expect.stringMatching(/^data: skipped 3: 1 × /),
      'data: 2 classes by folder; trained on train, held out val',
    ])
  })

  test.each([undefined, 0])('frames are those that the window says, with packBytes %s', async (packBytes) => {
    const { train } = await open(folder, { packBytes })
    // as they are read there are more: what is too short is still among them
    const [one, two, five, four] = ['cats/one', 'cats/two', 'dogs/five.webp', 'dogs/four.gif'].map(
      (name) => all(train).find((i) => train.id(i) === `train/${name}`)!,
    )
    const clips = await train.read(
      [one, one, one, two, five, four, four],
      [0, 0.5, 0.999, 0.999, 0.2, 0, 0.999],
    )
    const each = 4 * 8 * 8 * 3
    const numbers = Array.from({ length: 7 }, (_, n) => shown(clips.subarray(n * each, (n + 1) * each), 8))
    expect(numbers).toEqual([
      [0, 1, 2, 3],
      [4, 5, 6, 7], // half of nine beginnings
      [8, 9, 10, 11],
      [1, 2, 3, 4],
      [1, 2, 3, 4], // a fifth of six
      [0, 1, 2, 3],
      [3, 4, 5, 6],
    ])
    expect(clips.subarray(0, 6)).toEqual(Uint8Array.from([255, 255, 255, ...colour(0, 0)]))
    expect(await train.read([one])).toEqual(clips.subarray(0, each))
  })

  test.each([undefined, 0])('with a stride between frames, with packBytes %s', async (packBytes) => {
    const { train, skipped } = await open(folder, { stride: 2, packBytes })
    const clips = await train.read([0, 0], [0, 0.999])
    const each = 4 * 8 * 8 * 3
    expect(shown(clips.subarray(0, each), 8)).toEqual([0, 2, 4, 6])
    expect(shown(clips.subarray(each), 8)).toEqual([5, 7, 9, 11])
    // a set that is read as it is drawn learns what is too short when it meets it
    if (packBytes === undefined)
      expect(skipped).toContainEqual({
        file: 'train/cats/two',
        reason: 'has 5 frames, fewer than the 7 that are read of a clip (4, 2 apart)',
      })
  })

  test('a clip that turns out too short is stood in for, and named', async () => {
    const { train, skipped } = await open(folder, { packBytes: 0 })
    const short = all(train).find((i) => train.id(i) === 'train/cats/short')!
    const clip = await train.read([short], [0.999])
    expect(clip).toEqual(await train.read([short + 1], [0.999]))
    expect(skipped).toEqual([
      { file: 'train/cats/short', reason: 'has 3 frames, fewer than the 4 that are read of a clip' },
    ])
  })

  test('other frames or strides are other data, from the same cache', async () => {
    const [four, three, apart] = [
      await open(folder),
      await open(folder, { frames: 3 }),
      await open(folder, { stride: 2 }),
    ]
    expect(new Set([four, three, apart].map(({ train }) => train.fingerprint)).size).toBe(3)
    expect(three.train.count).toBe(5)
    expect((await readdir(path.join(folder, '.cache'))).length).toBe(2)
  })

  test('a cached set whose file is cut off is made again', async () => {
    const cache = path.join(folder, '.cache')
    const before = await (await open(folder)).train.read([0, 3])
    const file = path.join(cache, (await readdir(cache)).find((name) => name.endsWith('.rgb'))!)
    await writeFile(file, (await readFile(file)).subarray(0, 1000))
    expect(await (await open(folder)).train.read([0, 3])).toEqual(before)
  })

  test('a folder that is one clip itself, and one without any', async () => {
    const single = await temporaryFolder()
    await writeFiles(single, await numberedFolder(1, 6))
    const { train, validation, summary } = await open(single)
    expect([train.count, validation.count, train.id(0)]).toEqual([1, 1, path.basename(single)])
    expect(summary.split).toContain('the only clip is on both sides')
    const none = await temporaryFolder()
    await writeFiles(none, { 'a/x.jpg': await frameImage(0, 0).jpeg().toBuffer(), 'b.txt': 'x' })
    expect(await rejection(open(none))).toMatch(
      /holds no clip but 1 \.jpg, 1 \.txt; expected videos .* or folders of numbered images .*pass another/,
    )
  })

  test('nothing but broken clips', async () => {
    const broken = await temporaryFolder()
    await writeFiles(broken, { 'a.gif': 'GIF89a', 'b.gif': 'no' })
    for (const packBytes of [undefined, 0])
      expect(await rejection(open(broken, { packBytes }))).toMatch(
        /none of its 2 clips can be decoded \(first: a\.gif: is a damaged or cut-off GIF\); expected intact videos/,
      )
  })

  test('names of frames', () => {
    expect(inNumberedOrder(['10.png', '9.png', '08.png'])).toEqual(['08.png', '9.png', '10.png'])
    expect(inNumberedOrder(['a_2.jpg', 'a_1.jpg'])).toEqual(['a_1.jpg', 'a_2.jpg'])
    expect(inNumberedOrder(['a_2.jpg', 'b_1.jpg'])).toBe(null)
    expect(inNumberedOrder(['1.png', '01.png'])).toBe(null)
    expect(inNumberedOrder(['1.png', 'cover.png'])).toBe(null)
    expect(inNumberedOrder(['1.png'])).toBe(null)
  })

  test('every beginning is equally likely', () => {
    const shape = { size: 8, frames: 4, stride: 2 }
    const counts = new Map<number, number>()
    for (let k = 0; k < 600; k++) {
      const first = firstFrame(12, shape, k / 600)
      counts.set(first, (counts.get(first) ?? 0) + 1)
    }
    expect([...counts]).toEqual([0, 1, 2, 3, 4, 5].map((first) => [first, 100]))
  })

  test('a stride is refused where there is none', async () => {
    expect(await rejection(open(folder, { stride: 0 }))).toMatch(/data stride is 0; pass a whole number/)
    expect(await rejection(openData({ source: 'moving', size: 8, frames: 4, stride: 2 }))).toBe(
      'data source "moving" takes no stride, but stride is 2; leave it out',
    )
  })
})

test('a video without ffmpeg', async () => {
  const folder = await temporaryFolder()
  await writeFiles(folder, { 'a.mp4': 'x' })
  process.env.UL_FFMPEG = path.join(folder, 'nowhere', 'ffmpeg')
  for (const packBytes of [undefined, 0]) {
    expect(await rejection(open(folder, { packBytes }))).toBe(
      `videos are decoded by ffmpeg, but "${path.join(folder, 'nowhere', 'ffprobe')}" is not found by UL_FFMPEG; install it (Debian's package is ffmpeg) or set UL_FFMPEG to the path of ffmpeg`,
    )
  }
})

withFfmpeg(`videos${needed}`, () => {
  let folder: string
  const file = (name: string): string => path.join(folder, name)
  beforeAll(async () => {
    folder = await temporaryFolder()
    ffmpeg(...picture('64x64', 30), '-pix_fmt', 'yuv420p', file('square.mp4'))
    ffmpeg(...picture('96x64', 30), '-pix_fmt', 'yuv420p', file('wide.mkv'))
    ffmpeg(...picture('64x98', 20), '-c:v', 'libvpx-vp9', file('tall.webm'))
    ffmpeg(...picture('64x64', 20), '-c:v', 'apng', '-f', 'apng', file('animated.png'))
    ffmpeg('-i', file('wide.mkv'), '-c', 'copy', '-metadata:s:v', 'rotate=90', file('turned.mp4'))
    ffmpeg(
      '-i',
      file('wide.mkv'),
      '-vf',
      "select='lt(n,10)+not(mod(n,4))'",
      '-fps_mode',
      'vfr',
      file('varied.mp4'),
    )
  })

  test.each(['square.mp4', 'wide.mkv', 'tall.webm', 'animated.png', 'turned.mp4', 'varied.mp4'])(
    '%s: at their own size frames are those that ffmpeg writes to PNG, bit for bit',
    async (name) => {
      const wanted = await pngFrames(file(name))
      expect(wanted.length).toBe(
        { 'varied.mp4': 15, 'square.mp4': 30, 'wide.mkv': 30, 'turned.mp4': 30 }[name] ?? 20,
      )
      const frames = await framesOf(file(name), 64)
      expect(frames.length).toBe(wanted.length)
      for (const [t, frame] of frames.entries()) expect(frame).toEqual(cropToSquare(wanted[t]).pixels)
    },
  )

  // Of Debian's package opencv-doc: an old codec and a surveillance camera's.
  test.runIf(existsSync(footage)).each([
    ['tree.avi', 240],
    ['vtest.avi', 576],
  ])('footage, %s: frames are those that ffmpeg writes to PNG, bit for bit', async (name, size) => {
    const source = path.join(footage, name)
    const wanted = await pngFrames(source, 16)
    const facts = await probeVideo({ file: source })
    const shown = { first: 0, stride: 1, count: 16 }
    const frames: Uint8Array[] = []
    for await (const frame of videoFrames({ file: source }, facts, size, shown)) frames.push(frame)
    expect([frames.length, wanted.length]).toEqual([16, 16])
    for (const [t, frame] of frames.entries()) {
      const { pixels, width } = cropToSquare(wanted[t])
      expect(width).toBe(size)
      expect(Buffer.from(frame).equals(Buffer.from(pixels)), `frame ${t}`).toBe(true)
    }
  })

  test('turned by its flag: its sides are exchanged', async () => {
    const [upright] = await pngFrames(file('wide.mkv'))
    const [turned] = await pngFrames(file('turned.mp4'))
    expect([turned.width, turned.height]).toEqual([upright.height, upright.width])
  })

  test('shrunk by area means', async () => {
    const wanted = await pngFrames(file('wide.mkv'))
    const frames = await framesOf(file('wide.mkv'), 16)
    for (const [t, frame] of frames.entries()) {
      const exact = resizeSquare(cropToSquare(wanted[t]), 16)
      const errors = frame.map((value, i) => Math.abs(value - exact[i]))
      expect(Math.max(...errors)).toBeLessThanOrEqual(2)
    }
  })

  test('with pixels that are not square, stretched', async () => {
    ffmpeg(
      '-i',
      file('square.mp4'),
      '-vf',
      'crop=32:64,setsar=2',
      '-c:v',
      'ffv1',
      '-pix_fmt',
      'bgr0',
      file('sar.mkv'),
    )
    const facts = await probeVideo({ file: file('sar.mkv') })
    expect([facts.width, facts.height, facts.pixelAspect]).toEqual([32, 64, 2])
    const [frame] = await framesOf(file('sar.mkv'), 64)
    const [raw] = await pngFrames(file('sar.mkv'))
    // the middle of each pair of columns lies on a column of the file, up to the interpolation between neighbours
    let error = 0
    for (let x = 2; x < 62; x++)
      error += Math.abs(frame[(20 * 64 + x) * 3] - raw.pixels[(20 * 32 + (x >> 1)) * 3])
    expect(error / 60).toBeLessThan(12)
  })

  test('transparent ones lie on white', async () => {
    ffmpeg(
      '-f',
      'lavfi',
      '-i',
      'color=red@0.5:size=16x16:rate=5,format=rgba',
      '-frames:v',
      '3',
      '-c:v',
      'apng',
      '-f',
      'apng',
      file('clear.apng'),
    )
    const [frame] = await framesOf(file('clear.apng'), 16)
    expect(frame[0]).toBeGreaterThanOrEqual(253)
    expect(Math.abs(frame[1] - 127)).toBeLessThanOrEqual(2)
  })

  test('from any frame at any stride', async () => {
    const whole = await framesOf(file('wide.mkv'), 64)
    expect(await framesOf(file('wide.mkv'), 64, 7, 3)).toEqual(
      [7, 10, 13, 16, 19, 22, 25, 28].map((t) => whole[t]),
    )
  })

  test('a folder of them, packed and as they are read', async () => {
    const clips = await temporaryFolder()
    await writeFiles(clips, {
      'a/square.mp4': await readFile(file('square.mp4')),
      'a/wide.mkv': await readFile(file('wide.mkv')),
      'b/tall.webm': await readFile(file('tall.webm')),
      'b/odd name; $(x) %03d.mp4': await readFile(file('varied.mp4')),
      'b/cut.mkv': (await readFile(file('wide.mkv'))).subarray(0, 3000),
      'b/cut.mp4': (await readFile(file('square.mp4'))).subarray(0, 3000),
      'b/page.mp4': '<html>',
      'b/list.mp4': `#EXTM3U\n#EXTINF:1,\n${file('square.mp4')}\n`,
      'b/empty.mp4': '',
      'b/still.png': await frameImage(0, 0).png().toBuffer(),
    })
    const options = { size: 16, frames: 8, stride: 2 }
    const packed = await open(clips, options)
    expect([packed.train.count + packed.validation.count, packed.train.classes]).toEqual([4, ['a', 'b']])
    const reasons = Object.fromEntries(packed.skipped.map(({ file: name, reason }) => [name, reason]))
    expect(reasons).toEqual({
      'b/cut.mkv': expect.stringMatching(/cut-off one \(File ended prematurely\)/),
      'b/cut.mp4': expect.stringMatching(/cut-off one \(/),
      'b/page.mp4': expect.stringMatching(/^is no video, or a damaged or cut-off one \(Invalid data/),
      'b/list.mp4': expect.stringMatching(/^is no video/),
      'b/empty.mp4': 'is empty',
      'b/still.png': expect.stringMatching(/^is no video/),
    })
    const streaming = await open(clips, { ...options, packBytes: 0 })
    const windows = [0, 0.3, 0.7, 0.999]
    const byId = async (data: DataSplit): Promise<Map<string, Uint8Array>> => {
      const found = new Map<string, Uint8Array>()
      for (const half of [data.train, data.validation]) {
        for (const i of all(half)) found.set(half.id(i), await half.read([i, i, i, i], windows))
      }
      return found
    }
    const [one, other] = [await byId(packed), await byId(streaming)]
    expect(one.size).toBe(4)
    for (const [id, pixels] of one) expect(other.get(id), id).toEqual(pixels)
    // once decoded, nothing is asked of ffmpeg any more
    process.env.UL_FFMPEG = '/nowhere/ffmpeg'
    expect(await byId(await open(clips, options))).toEqual(one)
  })

  test('a clip cut without decoding, of which some packets are not shown: its frames are those that are', async () => {
    const clips = await temporaryFolder()
    ffmpeg(...picture('32x32', 60), '-g', '50', '-pix_fmt', 'yuv420p', file('long.mp4'))
    ffmpeg('-ss', '0.8', '-i', file('long.mp4'), '-c', 'copy', path.join(clips, 'trimmed.mp4'))
    const place = { file: path.join(clips, 'trimmed.mp4') }
    expect((await probeVideo(place)).count).toBe(60)
    const frames = await framesOf(place.file, 8)
    expect(frames.length).toBe(40)
    const last = new Uint8Array(Buffer.concat(frames.slice(-4)))
    for (const packBytes of [undefined, 0]) {
      const { train } = await open(clips, { packBytes })
      expect(await train.read([0], [0.999])).toEqual(last)
    }
  })

  test('a reader that leaves early ends ffmpeg', async () => {
    ffmpeg(...picture('640x360', 500), '-c:v', 'mpeg4', file('long.avi'))
    const pids = file('pids')
    const wrapper = file('ffmpeg')
    await writeFile(wrapper, `#!/bin/sh\necho $$ >> '${pids}'\nexec ffmpeg "$@"\n`)
    await writeFile(file('ffprobe'), '#!/bin/sh\nexec ffprobe "$@"\n')
    await chmod(wrapper, 0o755)
    await chmod(file('ffprobe'), 0o755)
    process.env.UL_FFMPEG = wrapper
    const facts = await probeVideo({ file: file('long.avi') })
    expect(facts.count).toBe(500)
    for await (const frame of videoFrames({ file: file('long.avi') }, facts, 256, {
      first: 0,
      stride: 1,
      count: 500,
    })) {
      expect(frame.length).toBe(256 * 256 * 3)
      break
    }
    const started = (await readFile(pids, 'utf8')).trim().split('\n').map(Number)
    const isRunning = (pid: number): boolean => {
      try {
        return process.kill(pid, 0)
      } catch {
        return false
      }
    }
    for (let k = 0; k < 100 && started.some(isRunning); k++) await new Promise((next) => setTimeout(next, 20))
    expect(started.filter(isRunning)).toEqual([])
  })

  test('an ffmpeg that somebody else ends is no fault of the clip', async () => {
    const clips = await temporaryFolder()
    await writeFiles(clips, {
      'set/a.mp4': await readFile(file('square.mp4')),
      'bin/ffmpeg': `#!/bin/sh\ncase "$*" in -version) exec ffmpeg -version;; esac\nkill -9 $$\n`,
      'bin/ffprobe': '#!/bin/sh\nexec ffprobe "$@"\n',
    })
    for (const tool of ['ffmpeg', 'ffprobe']) await chmod(path.join(clips, 'bin', tool), 0o755)
    process.env.UL_FFMPEG = path.join(clips, 'bin', 'ffmpeg')
    for (const packBytes of [undefined, 0])
      expect(await rejection(open(path.join(clips, 'set'), { packBytes }))).toMatch(
        /bin\/ffmpeg was ended by SIGKILL from outside/,
      )
    expect(await readdir(path.join(clips, 'set', '.cache'))).toEqual([])
  })

  test('is ended when opening is', async () => {
    const clips = await temporaryFolder()
    await writeFiles(clips, { 'a.avi': await readFile(file('long.avi')) })
    const reason = new Error('stopped')
    expect(await rejection(open(clips, { signal: AbortSignal.abort(reason) }))).toBe('stopped')
    const stop = new AbortController()
    const opening = open(clips, { size: 256, signal: stop.signal, onProgress: () => undefined })
    setTimeout(() => stop.abort(reason), 300)
    expect(await rejection(opening)).toBe('stopped')
  })
})

describe('lists', () => {
  test.each([
    [
      'a,b\n1,2\n',
      [
        ['a', 'b'],
        ['1', '2'],
      ],
    ],
    [
      '\uFEFFa,b\r\n"x, ""y""",\r\n\r\n,2',
      [
        ['a', 'b'],
        ['x, "y"', ''],
        ['', '2'],
      ],
    ],
    ['"two\nlines",x', [['two\nlines', 'x']]],
    ['a,', [['a', '']]],
    ['', []],
  ])('of comma-separated values: %j', (text, rows) => {
    expect([...csvRows(text)]).toEqual(rows)
  })

  test('a quote that is not closed, also one of many bytes', () => {
    expect(() => [...csvRows(`"${'""'.repeat(2e6)}`)]).toThrow(/line 1 has a quote that is not closed/)
    expect(() => [...csvRows('a,"b"c')]).toThrow(/line 1 has a quote that is not closed, or text beside/)
    expect(() => [...csvRows('a,b\n1,"2\n3')]).toThrow(
      'line 2 has a quote that is not closed, or text beside one',
    )
  })
})

withFfmpeg(`kinetics${needed}`, () => {
  const video = async (): Promise<Buffer> => {
    const folder = await temporaryFolder()
    ffmpeg(...picture('32x24', 12), '-pix_fmt', 'yuv420p', path.join(folder, 'a.mp4'))
    return readFile(path.join(folder, 'a.mp4'))
  }
  const openSet = (folder: string): Promise<DataSplit> => open(folder, { source: 'kinetics' })

  test('labels and split of the lists; what is missing, and what is listed nowhere', async () => {
    const folder = await temporaryFolder()
    const bytes = await video()
    await writeFiles(folder, {
      'annotations/train.csv':
        'label,youtube_id,time_start,time_end,split,is_cc\n"throwing, catching",-a_bcdefghi0,5,15,train,0\njuggling,xxxxxxxxxxx,67,77,train,0\njuggling,gone0000000,1,11,train,0\n',
      'annotations/validate.csv':
        'label,youtube_id,time_start,time_end,split\njuggling,yyyyyyyyyyy,123,133,validate\n',
      'annotations/test.csv': 'youtube_id,time_start,time_end,split\nzzzzzzzzzzz,0,10,test\n',
      'other.csv': 'a,b\n1,2\n',
      'train/-a_bcdefghi0_000005_000015.mp4': bytes,
      'train/xxxxxxxxxxx_000067_000077.mp4': bytes,
      'val/yyyyyyyyyyy_000123_000133.mp4': bytes,
      'test/zzzzzzzzzzz_000000_000010.mp4': bytes,
      'train/unlisted000_000000_000010.mp4': bytes,
      'train/readme.txt': 'x',
    })
    const data = await openSet(folder)
    const { train, validation, skipped, summary } = data
    expect(all(train).map((i) => [train.id(i), train.classes[train.label(i)], train.caption(i)])).toEqual([
      ['train/-a_bcdefghi0_000005_000015.mp4', 'throwing, catching', 'throwing, catching'],
      ['train/xxxxxxxxxxx_000067_000077.mp4', 'juggling', 'juggling'],
    ])
    expect(all(validation).map((i) => validation.id(i))).toEqual(['val/yyyyyyyyyyy_000123_000133.mp4'])
    expect(skipped).toEqual([
      { file: 'train/unlisted000_000000_000010.mp4', reason: 'is in none of the lists' },
      { file: 'gone0000000_000001_000011', reason: 'is listed, but its video is missing' },
    ])
    expect(summary).toMatchObject({
      ignored: { '.csv': 1, '.txt': 1 },
      classes: '2 classes by label in the lists',
      split: 'trained on train, held out validate, test left out',
    })
    expect((await train.read([0, 1])).length).toBe(2 * 4 * 8 * 8 * 3)
  })

  test('without a column split the names of lists say it', async () => {
    const folder = await temporaryFolder()
    const bytes = await video()
    await writeFiles(folder, {
      'train.csv': 'label,youtube_id,time_start,time_end\na,11111111111,0,10\nb,22222222222,0,10\n',
      'val.csv': 'label,youtube_id,time_start,time_end\na,33333333333,0,10\n',
      'x/11111111111_000000_000010.mp4': bytes,
      'x/22222222222_000000_000010.mp4': bytes,
      'x/33333333333_000000_000010.mp4': bytes,
    })
    const { train, validation } = await openSet(folder)
    expect([train.count, validation.count, validation.id(0)]).toEqual([
      2,
      1,
      'x/33333333333_000000_000010.mp4',
    ])
  })

  test('a folder without a list, with others, without the videos, or with a broken list', async () => {
    const folder = await temporaryFolder()
    await writeFiles(folder, { 'a/x.mp4': 'x' })
    expect(await rejection(openSet(folder))).toMatch(
      /found no \.csv file, expected a list with youtube_id, .*source "clips"/,
    )
    await writeFiles(folder, { 'list.csv': 'name,class\n1,2\n' })
    expect(await rejection(openSet(folder))).toMatch(/found 1 \.csv without these columns, expected/)
    await writeFiles(folder, { 'list.csv': 'label,youtube_id,time_start,time_end\na,11111111111,5,15\n' })
    expect(await rejection(openSet(folder))).toMatch(
      /found 0 videos, none of the 1 that are listed; expected names as 11111111111_000005_000015\.mp4/,
    )
    await writeFiles(folder, { 'list.csv': 'label,"youtube_id\n' })
    expect(await rejection(openSet(folder))).toMatch(
      /list\.csv: line 1 has a quote .*; expected comma-separated values/,
    )
  })
})

withFfmpeg(`clips in shards${needed}`, () => {
  test('videos and animations are read where they lie, packed and as they are drawn', async () => {
    const folder = await temporaryFolder()
    ffmpeg(...picture('24x16', 12), '-pix_fmt', 'yuv420p', path.join(folder, 'a.mp4'))
    const video = await readFile(path.join(folder, 'a.mp4'))
    await writeFiles(folder, {
      'in/0.mp4': video,
      'in/0.json': '{"class_name": "cat", "caption": "a cat runs"}',
      'in/1.gif': await animation(1, 6, 'gif'),
      'in/1.json': '{"class_name": "dog"}',
      'in/2.mp4': video.subarray(0, 2000),
      'in/2.json': '{"class_name": "dog"}',
      'in/3.json': '{"class_name": "dog"}',
      'in/4.mp4': video,
      'in/4.jpg': await frameImage(0, 0).jpeg().toBuffer(),
      'in/4.json': '{"class_name": "dog"}',
      'in/5.gif': 'GIF89a',
      'in/5.json': '{"class_name": "dog"}',
      'in/6.webm': '',
      'in/6.json': '{"class_name": "dog"}',
    })
    const shard = path.join(folder, 'shards, 1', 'clips: 000.tar')
    await writeFiles(folder, { 'shards, 1/clips: 000.tar': '' })
    execFileSync('tar', ['--force-local', '-cf', shard, '-C', path.join(folder, 'in'), '.'])
    const openShards = (more: Partial<DataOptions> = {}): Promise<DataSplit> =>
      open(folder, { source: 'webdataset', path: path.dirname(shard), ...more })
    const packed = await openShards()
    const byId = async ({ train, validation }: DataSplit): Promise<Map<string, object>> => {
      const found = new Map<string, object>()
      for (const half of [train, validation]) {
        for (const i of all(half)) {
          // what is read as it is drawn still has what cannot be decoded among it
          if (!/[014]$/.test(half.id(i))) continue
          const kind = [half.classes[half.label(i)], half.caption(i)]
          found.set(half.id(i).replace(/.*\//, ''), { kind, pixels: await half.read([i, i], [0, 0.999]) })
        }
      }
      return found
    }
    const found = await byId(packed)
    expect(packed.train.count + packed.validation.count).toBe(3)
    expect([...found.keys()].sort()).toEqual(['0', '1', '4'])
    expect(found.get('0')).toMatchObject({ kind: ['cat', 'a cat runs'] })
    const frames = await framesOf(path.join(folder, 'a.mp4'), 8)
    const wanted = Buffer.concat([...frames.slice(0, 4), ...frames.slice(8, 12)])
    for (const id of ['0', '4']) expect(found.get(id)).toMatchObject({ pixels: new Uint8Array(wanted) })
    const { pixels } = found.get('1') as { readonly pixels: Uint8Array }
    expect(shown(pixels, 8)).toEqual([0, 1, 2, 3, 2, 3, 4, 5])
    const reasons = packed.skipped.map(({ file, reason }) => [file.replace(/.*\//, ''), reason]).sort()
    expect(reasons).toEqual([
      ['2', expect.stringMatching(/damaged or cut-off/)],
      ['5', 'is a damaged or cut-off GIF'],
      ['6', 'is empty'],
    ])
    expect(packed.summary.ignored).toEqual({ '.jpg': 1, 'keys without a clip': 1 })
    const streamed = await byId(await openShards({ packBytes: 0 }))
    expect(streamed).toEqual(found)
    expect((await openShards({ frames: 1, size: 8 })).train.frames).toBe(undefined)
  })

  test('shards without clips', async () => {
    const folder = await temporaryFolder()
    await writeFiles(folder, { 'in/0.jpg': await frameImage(0, 0).jpeg().toBuffer() })
    execFileSync('tar', ['-cf', path.join(folder, 'a.tar'), '-C', path.join(folder, 'in'), '.'])
    expect(await rejection(open(folder, { source: 'webdataset', path: path.join(folder, 'a.tar') }))).toMatch(
      /found no usable clip \(1 \.jpg, 1 keys without a clip\), expected mp4, webm, gif … members; pass other shards, or set frames to 1/,
    )
  })
})
