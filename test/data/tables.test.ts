/** @file Labels of tables and arrays as people have them, odd members of tars, and files that must be unpacked first. */
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import type { DataSplit } from '../../src/data/images/source.ts'
import { openData } from '../../src/data/open.ts'
import { summaryLines } from '../../src/data/summary.ts'
import { npy, npz } from './arrays.ts'
import { goldenPng } from './golden.ts'
import { type ParquetColumn, parquetFile } from './parquetFile.ts'
import { temporaryFolder, writeFiles } from './temporary.ts'

const opened = async (
  source: string,
  files: Readonly<Record<string, Uint8Array | string>>,
  given = '',
): Promise<DataSplit> => {
  const folder = await temporaryFolder()
  await writeFiles(folder, files)
  return openData({ source, path: path.join(folder, given), size: 8, cacheDir: path.join(folder, '.cache') })
}

const failure = (attempt: Promise<unknown>): Promise<string> =>
  attempt.then(
    () => 'no error',
    (error: Error) => error.message,
  )

/** Class names by the number at the end of an id, or of the file. */
const labels = ({ train, validation }: DataSplit): Readonly<Record<number, string>> =>
  Object.fromEntries(
    [train, validation].flatMap((half) =>
      Array.from({ length: half.count }, (_, i) => [
        Number(/(\d+)$/.exec(half.id(i))![1]),
        half.classes[half.label(i)] ?? '–',
      ]),
    ),
  )

describe('a column of labels in Parquet', () => {
  const table = async (...columns: readonly ParquetColumn[]): Promise<Buffer> => {
    const count = columns[0].values.length
    const values = await Promise.all(Array.from({ length: count }, (_, i) => goldenPng(i)))
    return parquetFile([{ name: 'image', type: 'bytes', values }, ...columns])
  }
  const column = (type: ParquetColumn['type'], values: ParquetColumn['values'], name = 'label') => ({
    ...{ name, type, values },
  })

  test.each([
    ['double', [0, 1, 2, 1], ['0', '1', '2', '1']],
    ['float', [3, 5, 5, 3], ['3', '5', '5', '3']],
    ['boolean', [true, false, false, true], ['true', 'false', 'false', 'true']],
    ['int64', [7, 7, 8, 9], ['7', '7', '8', '9']],
    ['text', ['b', 'a', 'b', 'c'], ['b', 'a', 'b', 'c']],
  ] as const)('of %s', async (type, values, expected) => {
    const data = await opened('parquet', { 'a.parquet': await table(column(type, values)) })
    expect(labels(data)).toEqual({ ...expected })
    expect(data.summary.classes).toBe(`${new Set(expected).size} classes by column label`)
  })

  test.each([
    ['double', [0, 1, null, 1]],
    ['double', [0, 1, Number.NaN, 1]],
    ['boolean', [false, true, null, true]],
    ['int32', [0, 1, null, 1]],
    ['text', ['0', '1', null, '1']],
  ] as const)('of %s with one missing: %j', async (type, values) => {
    const data = await opened('parquet', { 'a.parquet': await table(column(type, values)) })
    expect(Object.keys(labels(data))).toEqual(['0', '1', '3'])
    expect(data.skipped).toEqual([{ file: 'a.parquet/2', reason: 'has no label, unlike others' }])
  })

  test.each(['target', 'label', 'class'])('of numbers that are not whole is not used: %s', async (name) => {
    const values = [0.5, 1, 2, 0.25]
    const data = await opened('parquet', { 'a.parquet': await table(column('double', values, name)) })
    expect(data.train.classes).toEqual([])
    expect(data.train.count + data.validation.count).toBe(4)
    expect(data.summary.classes).toBe(`no classes (column ${name} is not used: 0.5 is no whole number)`)
  })

  test('a column called split says the halves', async () => {
    const split = column('text', ['train', 'train', 'Valid', 'test'], 'split')
    const data = await opened('parquet', { 'a.parquet': await table(column('int32', [0, 1, 1, 0]), split) })
    expect([data.train.count, data.validation.count, data.validation.id(0)]).toEqual([2, 1, 'a.parquet/2'])
    expect(data.summary.split).toBe('trained on train, held out Valid, test left out')
  })
})

describe('arrays', () => {
  const grey = (count: number, at: (i: number) => number = (i) => i % 256): Buffer =>
    npy(
      '|u1',
      `(${count}, 8, 8)`,
      Uint8Array.from({ length: count * 64 }, (_, i) => at(i)),
    )
  const numbers = (values: readonly number[], descr = '|u1'): Buffer => {
    const data = descr === '<f8' ? new Float64Array(values) : new Uint8Array(values)
    return npy(descr, `(${values.length},)`, new Uint8Array(data.buffer))
  }

  test.each([
    ['imgs', 'labels'],
    ['images', 'labels'],
    ['X', 'y'],
  ])('files of one array each: %s and %s', async (pictures, names) => {
    const files = Object.fromEntries(
      [
        ['train', 6, [0, 1, 2, 0, 1, 2]],
        ['test', 5, [2, 1, 0, 2, 1]],
      ].flatMap(([half, count, values]) => [
        [`set-${half}-${pictures}.npz`, npz({ arr_0: grey(count as number) })],
        [`set-${half}-${names}.npz`, npz({ arr_0: numbers(values as number[]) })],
      ]),
    )
    const data = await opened('npy', files)
    expect([data.train.count, data.validation.count]).toEqual([6, 5])
    expect(Array.from({ length: 5 }, (_, i) => data.validation.label(i))).toEqual([2, 1, 0, 2, 1])
    const one = await opened('npy', files, `set-test-${pictures}.npz`)
    expect(labels(one)).toEqual({ 0: '2', 1: '1', 2: '0', 3: '2', 4: '1' })
  })

  test('labels that pandas or MATLAB made floats of, and one array beside others that are none of images', async () => {
    const imgs = grey(5)
    const more = {
      latents_classes: npy('<f8', '(5, 6)', new Uint8Array(240)),
      metadata: npy('|O', '()', new Uint8Array(1)),
    }
    const dsprites = await opened('npy', { 'dsprites.npz': npz({ imgs, ...more }) })
    expect([dsprites.train.count + dsprites.validation.count, dsprites.train.classes]).toEqual([5, []])
    const floats = await opened('npy', { 'images.npy': imgs, 'labels.npy': numbers([4, 2, 4, 2, 4], '<f8') })
    expect(labels(floats)).toEqual({ 0: '4', 1: '2', 2: '4', 3: '2', 4: '4' })
  })

  test.each([
    ['uint8', '|u1'],
    ['bool', '|b1'],
  ])('masks of 0 and 1 in %s are black and white, and said to be', async (_, descr) => {
    const data = Uint8Array.from({ length: 5 * 64 }, (_, i) => i % 2)
    const split = await opened('npy', { 'images.npy': npy(descr, '(5, 8, 8)', data) })
    const pixels = await split.train.read([0])
    expect([...pixels.subarray(0, 6)]).toEqual([0, 0, 0, 255, 255, 255])
    expect(summaryLines(split).at(-1)).toContain('images: 0 and 1 read as black and white; no classes')
  })

  test('dark images are no masks, and black ones neither', async () => {
    for (const most of [0, 2]) {
      const split = await opened('npy', { 'images.npy': grey(5, (i) => (i === 300 ? most : 0)) })
      expect(summaryLines(split).at(-1)).not.toContain('black and white')
    }
  })

  test.each([3, 4])('files of one image of %i planes each are refused', async (planes) => {
    const one = npy('|u1', `(${planes}, 8, 8)`, new Uint8Array(planes * 64))
    expect(await failure(opened('npy', { '0.npy': one, '1.npy': one }))).toMatch(
      new RegExp(`0\\.npy: byte 8: found shape \\(${planes}, 8, 8\\), one image of ${planes} planes`),
    )
  })
})

/** A tar of members: contents, or what a link leads to. */
const tarOf = (
  members: readonly (readonly [name: string, content: Uint8Array | string, link?: '1' | '2'])[],
): Buffer => {
  const blocks = members.flatMap(([name, content, link]) => {
    const data = Buffer.from(link === undefined ? content : '')
    const header = Buffer.alloc(512)
    header.write(name)
    header.write(`${data.length.toString(8).padStart(11, '0')}\0`, 124)
    header.write('        ', 148)
    header.write(link ?? '0', 156)
    if (link !== undefined) header.write(String(content), 157)
    header.write('ustar\x0000', 257)
    const sum = header.reduce((a, b) => a + b, 0)
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
    return [header, data, Buffer.alloc((512 - (data.length % 512)) % 512)]
  })
  return Buffer.concat([...blocks, Buffer.alloc(1024)])
}

const png = await goldenPng(1)

describe('tars', () => {
  test.each([
    ['1', 'd/0.png', 'd/0.png'],
    ['2', '0.png', 'd/0.png'],
    ['2', '../d/0.png', 'd/0.png'],
  ] as const)('a link of type %s to %s is followed', async (type, target, end) => {
    const tar = tarOf([
      [end, png],
      ['d/0.cls', '0'],
      ['d/1.png', target, type],
      ['d/1.cls', '1'],
      ['d/2.png', 'd/1.png'.slice(type === '1' ? 0 : 2), type],
      ['d/2.cls', '0'],
    ])
    const data = await opened('webdataset', { 'a.tar': tar })
    expect(labels(data)).toEqual({ 0: '0', 1: '1', 2: '0' })
    for (const half of [data.train, data.validation])
      for (let i = 0; i < half.count; i++) expect(await half.read([i])).toEqual(await data.train.read([0]))
  })

  test('links that lead nowhere, or in a circle, are skipped by name', async () => {
    const tar = tarOf([
      ['0.png', png],
      ['1.png', 'gone.png', '1'],
      ['2.png', '3.png', '2'],
      ['3.png', '2.png', '2'],
    ])
    const { skipped } = await opened('webdataset', { 'a.tar': tar })
    expect(skipped).toEqual([
      { file: 'a.tar/1.png', reason: 'is a link to gone.png, which is not there' },
      { file: 'a.tar/2.png', reason: 'is a link to 3.png, which is not there' },
      { file: 'a.tar/3.png', reason: 'is a link to 2.png, which is not there' },
    ])
  })

  test.each([
    ['further dots', ['cat.0001', 'cat.0002', 'cat.0003']],
    ['versions', ['shot.v1.5.1', 'shot.v1.5.2', 'other.v2.0.3']],
  ])('keys with %s are images each, with their labels', async (_, names) => {
    const tar = tarOf(
      names.flatMap((name, i): (readonly [string, Uint8Array | string])[] => [
        [`${name}.png`, png],
        [`${name}.cls`, String(i % 2)],
      ]),
    )
    const data = await opened('webdataset', { 'a.tar': tar })
    expect(data.train.count + data.validation.count).toBe(3)
    expect(data.skipped).toEqual([])
    expect(data.train.classes).toEqual(['0', '1'])
  })

  test('companions of an image, and what else is not read, are counted by kind', async () => {
    const tar = tarOf([
      ['0.png', png],
      ['0.mask.png', png],
      ['0.pose.npy', 'x'],
      ['1.png', png],
      ['1.mask.png', png],
      ['2.txt', 'no image'],
    ])
    const { summary, train, validation } = await opened('webdataset', { 'a.tar': tar })
    expect(train.count + validation.count).toBe(2)
    expect(summary.ignored).toEqual({ '.mask.png beside another': 2, '.npy': 1, 'keys without an image': 1 })
  })

  test.each([
    ['a mark at its start', '\uFEFF{"label": 1}', '1'],
    ['NaN', '{"label": 1, "score": NaN, "box": [-Infinity, Infinity], "caption": "a NaN \\" b"}', '1'],
    ['no label in it', '{"score": 2}', null],
    ['a fault', '{"label": 1', null],
  ])('.json with %s costs no image', async (_, json, label) => {
    const others = ['1', '2', '3'].flatMap((key): (readonly [string, Uint8Array | string])[] => [
      [`${key}.png`, png],
      [`${key}.json`, json],
    ])
    const data = await opened('webdataset', { 'a.tar': tarOf(others) })
    expect(data.train.count + data.validation.count).toBe(3)
    expect(data.train.classes).toEqual(label === null ? [] : [label])
    expect(data.summary.ignored).toEqual(json.endsWith('1') ? { 'unreadable .json': 3 } : {})
  })

  test('one that ends within what fills up its last member is told so', async () => {
    const whole = tarOf([['0.png', png]])
    for (const cut of [1, 120, 220]) {
      const file = whole.subarray(0, whole.length - 1024 - cut)
      expect(await failure(opened('webdataset', { 'a.tar': file }))).toMatch(
        `found the end of the file ${cut} bytes before, within what fills up the last member`,
      )
    }
  })
})

describe('files that must be unpacked first', () => {
  test.each([
    ['cifar', 'cifar-10-binary.tar.gz', /this is a tar packed by gzip; unpack it first \(tar xf\) and give/],
    ['cifar', 'cifar.tgz', /this is a tar packed by gzip/],
    ['webdataset', 'shard.tar.gz', /this is a tar packed by gzip/],
    ['manifest', 'list.jsonl.gz', /this is a file packed by gzip; unpack it first$/],
    ['folder', 'photos.zip', /photos\.zip" is a file packed by gzip; unpack it first$/],
  ])('%s: %s', async (source, name, expected) => {
    const files = { [name]: gzipSync(Buffer.alloc(100)) }
    expect(await failure(opened(source, files, name))).toMatch(expected)
  })

  test('in a folder they are named by kind', async () => {
    expect(await failure(opened('webdataset', { '0.tar.gz': 'x', '1.tar.gz': 'x' }))).toMatch(
      /only files of other kinds \(2 \.tar\.gz \(unpack first\)\)/,
    )
  })
})
