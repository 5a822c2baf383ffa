import { readdir, readFile, symlink, truncate, utimes, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { openFolder } from '../../src/data/formats/folder.ts'
import { splitGroup } from '../../src/data/formats/folderSplit.ts'
import { type ReaderOptions, splitByHash } from '../../src/data/formats/records.ts'
import { decodeImage } from '../../src/data/images/decode.ts'
import type { DataSplit, ImageSource } from '../../src/data/images/source.ts'
import { openData } from '../../src/data/open.ts'
import { summaryLines } from '../../src/data/summary.ts'
import { flatPng, image, type Rgb, temporaryFolder, writeFiles } from './temporary.ts'

const open = async (folder: string, options: Partial<ReaderOptions> = {}): Promise<DataSplit> =>
  openFolder({ path: folder, size: 4, cacheDir: path.join(folder, '.cache'), ...options })

const idsOf = (source: ImageSource): string[] => Array.from({ length: source.count }, (_, i) => source.id(i))

const allIds = ({ train, validation }: DataSplit): string[] => [...idsOf(train), ...idsOf(validation)].sort()

const color = (i: number): Rgb => [i, 255 - i, (i * 7) % 256]

const pngs = async (names: readonly string[]): Promise<Record<string, Buffer>> =>
  Object.fromEntries(
    await Promise.all(names.map(async (name, i) => [name, await flatPng(color(i))] as const)),
  )

/** Three files that only look like images. */
const broken = async (): Promise<Record<string, Uint8Array | string>> => {
  const jpeg = await image(64, 64, (x, y) => [x * 4, y * 4, (x * y) % 256])
    .jpeg()
    .toBuffer()
  return { 'cut.jpg': jpeg.subarray(0, jpeg.length >> 1), 'empty.png': '', 'text.png': 'hello' }
}

const numbered = (count: number): string[] =>
  Array.from({ length: count }, (_, i) => `p${String(i).padStart(3, '0')}.png`)

describe('what is found', () => {
  test('extensions of any case, subfolders, no hidden files, byte order', async () => {
    const folder = await temporaryFolder()
    const jpeg = await image(8, 8, () => [9, 9, 9])
      .jpeg()
      .toBuffer()
    const files = await pngs([
      'b.PNG',
      'a/z.png',
      'Z.png',
      '.hidden.png',
      '.git/x.png',
      'a/deep/er/q.png',
      'ä.png',
    ])
    await writeFiles(folder, { ...files, 'a/y.JpEg': jpeg, 'notes.txt': 'x', 'a.csv': 'y' })
    const data = await open(folder)
    const want = ['Z.png', 'a/deep/er/q.png', 'a/y.JpEg', 'a/z.png', 'b.PNG', 'ä.png']
    expect(allIds(data)).toEqual([...want].sort())
    expect(idsOf(data.train)).toEqual(want.filter((id) => idsOf(data.train).includes(id)))
    expect(data.train.classes).toEqual([])
    expect(data.train.label(0)).toBe(-1)
    expect(data.skipped).toEqual([])
  })

  test.each([
    ['a.tif', 'b.jfif', 'c.JPE'],
    ['dog/1.TIFF', 'dog/2.pjpeg', 'cat/3.apng'],
  ])('images of seldom endings: %s, %s, %s', async (...names) => {
    const folder = await temporaryFolder()
    await writeFiles(folder, {
      ...(await pngs(names)),
      'x.bmp': 'BM',
      'y.HEIC': '',
      'z.bmp': 'BM',
      LICENCE: '',
    })
    const data = await open(folder)
    expect(allIds(data)).toEqual([...names].sort())
    expect(data.summary.ignored).toEqual({ '.bmp': 2, '.heic': 1, 'without ending': 1 })
    expect(summaryLines(data)).toContain(
      'data: ignored 2 .bmp (not read: convert to PNG), 1 .heic (not read: convert to PNG), 1 without ending',
    )
  })

  test('pipes, sockets, devices and links to them are counted, and never opened', async () => {
    const folder = await temporaryFolder()
    await writeFiles(folder, await pngs(['a.png', 'b.png']))
    const server = createServer().listen(path.join(folder, 'socket.png'))
    try {
      await symlink('/dev/zero', path.join(folder, 'zero.png'))
      await symlink(path.join(folder, 'socket.png'), path.join(folder, 'link.png'))
      const data = await open(folder)
      expect(allIds(data)).toEqual(['a.png', 'b.png'])
      expect(data.summary.ignored).toEqual({ socket: 2, device: 1 })
      for (const name of ['zero.png', 'link.png'])
        expect(await decodeImage(path.join(folder, name), { size: 4, fit: 'cover' })).toHaveProperty('reason')
    } finally {
      server.close()
    }
  })

  test('links that form a loop end, and count a folder once', async () => {
    const folder = await temporaryFolder()
    await writeFiles(folder, await pngs(['a/1.png', 'a/2.png', 'b/3.png']))
    await symlink(folder, path.join(folder, 'a', 'up'))
    await symlink(path.join(folder, 'b'), path.join(folder, 'a', 'again'))
    await symlink(path.join(folder, 'nowhere'), path.join(folder, 'b', 'lost.png'))
    const data = await open(folder)
    expect(allIds(data)).toEqual(['a/1.png', 'a/2.png', 'b/3.png'])
    expect(data.skipped.map(({ file }) => file)).toEqual(['b/lost.png'])
  })

  test('subfolders are classes, and labels go with the pixels', async () => {
    const folder = await temporaryFolder()
    await writeFiles(
      folder,
      await pngs(['dog/x.png', 'cat/x.png', 'cat/y.png', 'bird/x.png', 'bird/sub/y.png']),
    )
    const { train, validation } = await open(folder)
    expect(train.classes).toEqual(['bird', 'cat', 'dog'])
    const wanted = { 'dog/x.png': 0, 'cat/x.png': 1, 'cat/y.png': 2, 'bird/x.png': 3, 'bird/sub/y.png': 4 }
    for (const source of [train, validation]) {
      for (let i = 0; i < source.count; i++) {
        const id = source.id(i) as keyof typeof wanted
        expect(source.classes[source.label(i)]).toBe(id.split('/')[0])
        expect([...(await source.read([i]))].slice(0, 3)).toEqual([...color(wanted[id])])
      }
    }
  })
})

describe('the split', () => {
  test('uses train/ and val/ where they exist', async () => {
    const folder = await temporaryFolder()
    await writeFiles(
      folder,
      await pngs(['train/cat/1.png', 'train/dog/1.png', 'val/dog/9.png', 'test/dog/8.png']),
    )
    const { train, validation } = await open(folder)
    expect(idsOf(train)).toEqual(['train/cat/1.png', 'train/dog/1.png'])
    expect(idsOf(validation)).toEqual(['val/dog/9.png'])
    expect(validation.classes[validation.label(0)]).toBe('dog')
  })

  test('else holds out a tenth by path, which later files do not change', () => {
    const split = (ids: readonly string[]) => splitByHash(ids.map(splitGroup))
    const images = Array.from({ length: 5000 }, (_, i) => `f${i}.png`)
    const { train, validation } = split(images)
    expect(train.length + validation.length).toBe(5000)
    expect(validation.length / 5000).toBeGreaterThan(0.085)
    expect(validation.length / 5000).toBeLessThan(0.115)
    const fewer = split(images.slice(0, 2500))
    expect(fewer.validation).toEqual(validation.filter((i) => i < 2500))
    const renamed = split(images.map((id) => id.replace('png', 'jpg')))
    expect(renamed.validation).toEqual(validation)
  })

  test('gives each side an image, and one image to both', () => {
    for (let n = 2; n < 30; n++) {
      const { train, validation } = splitByHash(Array.from({ length: n }, (_, i) => `${n}-${i}`))
      expect(Math.min(train.length, validation.length)).toBeGreaterThanOrEqual(1)
      expect(new Set([...train, ...validation]).size).toBe(n)
    }
    expect(splitByHash(['one'])).toEqual({ train: [0], validation: [0] })
  })
})

describe('files that cannot be decoded', () => {
  test('packed: dropped, named, and still named from the cache', async () => {
    const folder = await temporaryFolder()
    await writeFiles(folder, { ...(await pngs(numbered(6))), ...(await broken()) })
    for (let round = 0; round < 2; round++) {
      const data = await open(folder)
      expect(data.skipped.map(({ file }) => file)).toEqual(['cut.jpg', 'empty.png', 'text.png'])
      for (const { reason } of data.skipped) expect(reason).toMatch(/\w{4}/)
      expect(allIds(data)).toEqual(numbered(6))
    }
  })

  test('streaming: the next of the class stands in, each is recorded once, pixels equal the packed ones', async () => {
    const folder = await temporaryFolder()
    const train = await pngs(['train/a/0.png', 'train/a/2.png', 'train/b/0.png', 'train/b/1.png'])
    const bad = { 'train/a/1.png': 'no', 'train/b/2.png': '' }
    await writeFiles(folder, { ...train, ...bad, ...(await pngs(['val/a/0.png'])) })
    const data = await open(folder, { packBytes: 0 })
    const ids = idsOf(data.train)
    expect(ids).toContain('train/a/1.png')
    const [a1, a2, b0, b2] = ['a/1', 'a/2', 'b/0', 'b/2'].map((id) => ids.indexOf(`train/${id}.png`))
    const rows = await data.train.read([a1, a2, b2, b0, a1, a1])
    const row = (i: number): Uint8Array => rows.subarray(i * 48, (i + 1) * 48)
    for (const i of [0, 4, 5]) expect(row(i)).toEqual(row(1))
    expect(row(2)).toEqual(row(3)) // around the end of the list, to the first of class b
    await data.train.read([a1, b2])
    expect(data.skipped.map(({ file }) => file).sort()).toEqual(['train/a/1.png', 'train/b/2.png'])
    const packed = await open(folder)
    const same = packed.train.id(1)
    expect(await packed.train.read([1])).toEqual(await data.train.read([ids.indexOf(same)]))
  })
})

describe('errors are one sentence that says what to do', () => {
  const failure = async (attempt: Promise<unknown>): Promise<string> =>
    attempt.then(
      () => 'no error',
      (error: Error) => error.message,
    )

  test('missing, empty, a file, only other files, all corrupt, an empty half', async () => {
    const folder = await temporaryFolder()
    const missing = path.join(folder, 'missing')
    expect(await failure(open(missing))).toMatch(/missing" does not exist; pass a folder/)
    expect(await failure(open(folder))).toMatch(/holds no files; expected PNG/)
    await writeFiles(folder, { 'a.txt': 'x', 'b.csv': 'x' })
    expect(await failure(open(folder))).toMatch(
      /only files of other kinds \(1 \.csv, 1 \.txt\); expected PNG/,
    )
    expect(await failure(open(path.join(folder, 'a.txt')))).toMatch(/a.txt" is a file; pass a folder/)
    const corrupt = path.join(folder, 'corrupt')
    await writeFiles(corrupt, await broken())
    for (const packBytes of [0, 2 ** 20]) {
      const text = await failure(open(corrupt, { packBytes }))
      expect(text).toMatch(/corrupt": none of its 3 images can be decoded \(first: cut\.jpg: .+\); expected/)
      expect(text).not.toContain('\n')
    }
    const half = path.join(folder, 'half')
    await writeFiles(half, { ...(await pngs(['train/a.png'])), 'val/b.png': 'broken' })
    expect(await failure(open(half))).toMatch(/: val holds no image that can be decoded/)
  })

  test('options of openData', async () => {
    expect(await failure(openData({ source: 'folder', size: 8 }))).toMatch(/has no path; pass/)
    expect(await failure(openData({ source: 'emoji', path: '/x', size: 8 }))).toMatch(/takes no path/)
    expect(await failure(openData({ source: 'emoji', size: 7.5 }))).toMatch(
      /size is 7.5; pass a whole number/,
    )
  })

  test('a cache folder that cannot be written', async () => {
    const folder = await temporaryFolder()
    await writeFiles(folder, { ...(await pngs(['a.png'])), 'plain.txt': 'x' })
    const text = await failure(open(folder, { cacheDir: path.join(folder, 'plain.txt') }))
    expect(text).toMatch(/cache folder ".*plain.txt" cannot be written .*; set UL_CACHE/)
  })
})

describe('the cache', () => {
  const counting = () => {
    const calls: string[] = []
    return { calls, onProgress: (done: number, total: number) => calls.push(`${done}/${total}`) }
  }

  const pixelsOf = async ({ train }: DataSplit): Promise<Uint8Array> =>
    train.read(Array.from({ length: train.count }, (_, i) => i))

  test('is reused, and rebuilt when damaged or out of date', async () => {
    const folder = await temporaryFolder()
    const cacheDir = path.join(folder, '.cache')
    await writeFiles(folder, await pngs(numbered(5)))
    const run = async (size = 4): Promise<{ decoded: number; pixels: Uint8Array }> => {
      const { calls, onProgress } = counting()
      const data = await open(folder, { size, onProgress })
      if (calls.length > 0) expect(calls.at(-1)).toBe('5/5')
      return { decoded: calls.length, pixels: await pixelsOf(data) }
    }
    const first = await run()
    expect(first.decoded).toBe(5)
    expect(await run()).toEqual({ decoded: 0, pixels: first.pixels })
    expect((await readdir(cacheDir)).filter((name) => !/\.(rgb|json)$/.test(name))).toEqual([])

    const [rgb] = (await readdir(cacheDir)).filter((name) => name.endsWith('.rgb'))
    const index = path.join(cacheDir, rgb.replace('.rgb', '.json'))
    await truncate(path.join(cacheDir, rgb), 100)
    expect(await run()).toEqual(first)
    await writeFile(index, '{"key": ')
    expect(await run()).toEqual(first)
    const parsed = JSON.parse(await readFile(index, 'utf8')) as { kept: number[] }
    await writeFile(index, JSON.stringify({ ...parsed, kept: [0, 1, 2, 3, 99] }))
    expect(await run()).toEqual(first)
    expect((await run()).decoded).toBe(0)

    expect((await run(6)).decoded).toBe(5) // another size is another pack
    await utimes(path.join(folder, 'p000.png'), new Date(0), new Date(0))
    expect((await run()).decoded).toBe(5)
  })

  test('order and pixels do not depend on the order of writing', async () => {
    const [a, b] = [await temporaryFolder(), await temporaryFolder()]
    const files = await pngs(numbered(12))
    await writeFiles(a, files)
    await writeFiles(b, Object.fromEntries(Object.entries(files).reverse()))
    const [x, y] = [await open(a), await open(b)]
    expect(idsOf(x.train)).toEqual(idsOf(y.train))
    expect(idsOf(x.train)).toEqual([...idsOf(x.train)].sort())
    expect(await pixelsOf(x)).toEqual(await pixelsOf(y))
  })
})
