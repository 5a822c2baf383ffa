/**
 * @file What every kind of data promises, checked on each: counts, classes, labels, captions, ids, exact pixels, and
 * reading in any order and at once, packed and streaming alike. The files are those of each format's own tool.
 */

import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { gunzipSync } from 'node:zlib'
import { beforeAll, describe, expect, test } from 'vitest'
import type { DataSplit, ImageSource } from '../../src/data/images/source.ts'
import { openData } from '../../src/data/open.ts'
import { resizeSquare } from '../../src/engine/host/squares.ts'
import { goldenData, goldenImage, goldenNames, goldenPng, writeShards } from './golden.ts'
import { temporaryFolder, writeFiles } from './temporary.ts'

/** A data set and what it holds. */
interface Case {
  readonly title: string
  readonly source: string
  readonly path?: () => string | Promise<string>
  readonly size: number
  /** Images of both sides together, or of each when the data has its own split. */
  readonly counts: number | readonly [train: number, validation: number]
  readonly classes: readonly string[]
  /** What image `id` is; null when only the promises without a reference are to be checked. */
  readonly reference:
    | ((id: string) => { readonly pixels: Uint8Array; readonly label: number; readonly caption: string })
    | null
}

/** Number at the end of an id. */
const last = (id: string): number => Number(/(\d+)$/.exec(id.replace(/\.png$/, ''))![1])

const golden = (i: number, caption = '', label = i % 3) => ({ pixels: goldenImage(i), label, caption })

/** From an id that counts within its array or file: where that one's first image stands among all. */
const counting =
  (starts: Readonly<Record<string, number>>, caption: (i: number) => string = () => '') =>
  (id: string) => {
    const i = last(id) + starts[id.slice(0, id.lastIndexOf('/'))]
    return golden(i, caption(i))
  }

const folderOfImages = async (): Promise<string> => {
  const folder = await temporaryFolder()
  for (let i = 0; i < 30; i++) {
    await writeFiles(folder, { [`${goldenNames[i % 3]}/number_${i}.png`]: await goldenPng(i) })
  }
  return folder
}

/** train/metadata.jsonl with class names, test/metadata.jsonl with numbers of classes. */
const listsOfImages = async (): Promise<string> => {
  const folder = await temporaryFolder()
  for (const [half, from, count] of [
    ['train', 0, 24],
    ['test', 24, 6],
  ] as const) {
    const lines: string[] = []
    for (let i = from; i < from + count; i++) {
      await writeFiles(folder, { [`${half}/images/${i}.png`]: await goldenPng(i) })
      const known = half === 'train' ? { class_name: goldenNames[i % 3] } : { label: i % 3 }
      lines.push(JSON.stringify({ file_name: `images/${i}.png`, text: `image\n${i}`, ...known }))
    }
    await writeFiles(folder, { [`${half}/metadata.jsonl`]: `${lines.join('\n')}\n` })
  }
  await writeFiles(folder, { 'classes.txt': goldenNames.join('\n') })
  return folder
}

const shards = async (): Promise<string> => {
  const folder = path.join(await temporaryFolder(), 'shards')
  await writeShards(folder)
  return folder
}

let fashion: { train: Uint8Array; t10k: Uint8Array; trainLabels: Uint8Array; t10kLabels: Uint8Array }

beforeAll(async () => {
  fashion = {
    train: gunzipSync(await readFile(goldenData('idx', 'train-images-idx3-ubyte.gz'))).subarray(16),
    t10k: (await readFile(goldenData('idx', 't10k-images-idx3-ubyte'))).subarray(16),
    trainLabels: gunzipSync(await readFile(goldenData('idx', 'train-labels-idx1-ubyte.gz'))).subarray(8),
    t10kLabels: (await readFile(goldenData('idx', 't10k-labels-idx1-ubyte'))).subarray(8),
  }
})

const greyToRgb = (grey: Uint8Array): Uint8Array =>
  Uint8Array.from({ length: grey.length * 3 }, (_, i) => grey[Math.floor(i / 3)])

const caption = (i: number): string => `image ${i}`
/** As tools/data_golden.py wrote it into the Parquet files. */
const goldenCaption = (i: number): string => `picture ${i}`
const fashionNames = 't-shirt,trouser,pullover,dress,coat,sandal,shirt,sneaker,bag,ankle boot'.split(',')

const cases: readonly Case[] = [
  { title: 'emoji', source: 'emoji', size: 16, counts: [3084, 291], classes: [], reference: null },
  {
    title: 'folder',
    source: 'folder',
    path: folderOfImages,
    size: 8,
    counts: 30,
    classes: goldenNames,
    reference: (id) => golden(last(id), `number ${last(id)}`),
  },
  {
    title: 'manifest: lists of JSON lines beside the images',
    source: 'manifest',
    path: listsOfImages,
    size: 8,
    counts: [24, 6],
    classes: goldenNames,
    reference: (id) => golden(last(id), `image ${last(id)}`),
  },
  {
    title: 'webdataset: shards by GNU tar',
    source: 'webdataset',
    path: shards,
    size: 8,
    counts: [24, 6],
    classes: goldenNames,
    reference: (id) => golden(last(id), caption(last(id))),
  },
  {
    title: 'webdataset: one shard',
    source: 'webdataset',
    path: async () => path.join(await shards(), 'train-1.tar'),
    size: 8,
    counts: 12,
    classes: goldenNames,
    reference: (id) => golden(last(id), caption(last(id))),
  },
  {
    title: 'parquet as Hugging Face writes it',
    source: 'parquet',
    path: () => goldenData('parquet'),
    size: 8,
    counts: [24, 6],
    classes: goldenNames,
    reference: counting(
      { 'train-00000-of-00001.parquet': 0, 'validation-00000-of-00001.parquet': 24 },
      goldenCaption,
    ),
  },
  {
    title: 'parquet with columns of plain bytes and class names',
    source: 'parquet',
    path: () => goldenData('parquet-plain'),
    size: 8,
    counts: 24,
    classes: goldenNames,
    reference: counting({ 'part.parquet': 0, 'part2.parquet': 0 }),
  },
  {
    title: 'cifar-10',
    source: 'cifar',
    path: () => goldenData('cifar10'),
    size: 8,
    counts: [10, 4],
    classes: [...goldenNames, ...'defghij'],
    reference: (id) => {
      const i = last(id) + { data_batch_1: 0, data_batch_2: 6, test_batch: 10 }[id.split('.')[0]]!
      return {
        ...golden(i),
        pixels: resizeSquare({ width: 32, height: 32, pixels: goldenImage(i, 32) }, 8),
      }
    },
  },
  {
    title: 'cifar-100, at its own size',
    source: 'cifar',
    path: () => goldenData('cifar100'),
    size: 32,
    counts: [4, 2],
    classes: [...goldenNames, ...Array.from({ length: 97 }, (_, i) => `class ${i + 3}`)],
    reference: (id) => {
      const i = last(id) + (id.startsWith('test') ? 4 : 0)
      return { ...golden(i), pixels: goldenImage(i, 32) }
    },
  },
  {
    title: 'idx, plain and gzipped',
    source: 'idx',
    path: () => goldenData('idx'),
    size: 28,
    counts: [20, 10],
    classes: fashionNames,
    reference: (id) => {
      const [pixels, labels] = id.startsWith('t10k')
        ? [fashion.t10k, fashion.t10kLabels]
        : [fashion.train, fashion.trainLabels]
      const i = last(id)
      const grey = pixels.subarray(i * 784, (i + 1) * 784)
      return { pixels: greyToRgb(grey), label: labels[i], caption: '' }
    },
  },
  {
    title: 'npy: a folder',
    source: 'npy',
    path: () => goldenData('npy'),
    size: 8,
    counts: 30,
    classes: ['0', '1', '2'],
    reference: counting({ images: 0 }),
  },
  {
    title: 'npy: a file with its labels beside it',
    source: 'npy',
    path: () => goldenData('npy', 'images.npy'),
    size: 8,
    counts: 30,
    classes: ['0', '1', '2'],
    reference: counting({ images: 0 }),
  },
  {
    title: 'npy: floats, planes and class names',
    source: 'npy',
    path: () => goldenData('npy-floats'),
    size: 8,
    counts: [6, 4],
    classes: goldenNames,
    reference: counting({ x_train: 0, x_test: 6 }),
  },
  {
    title: 'npy: grey halves without labels',
    source: 'npy',
    path: () => goldenData('npy-grey', 'faces.npy'),
    size: 8,
    counts: 6,
    classes: [],
    reference: (id) => ({ pixels: greyToRgb(goldenImage(last(id), 8, 1)), label: -1, caption: '' }),
  },
  {
    title: 'npz, stored',
    source: 'npy',
    path: () => goldenData('npz'),
    size: 8,
    counts: [24, 6],
    classes: ['0', '1', '2'],
    reference: counting({ 'set.npz/x_train': 0, 'set.npz/x_test': 24 }),
  },
  {
    title: 'npz, compressed, without names',
    source: 'npy',
    path: () => goldenData('npz-packed', 'set.npz'),
    size: 8,
    counts: 30,
    classes: ['0', '1', '2'],
    reference: counting({ 'set.npz/arr_0': 0 }),
  },
]

const all = ({ count }: ImageSource): number[] => Array.from({ length: count }, (_, i) => i)
const idsOf = (source: ImageSource): string[] => all(source).map((i) => source.id(i))
const rejection = (attempt: Promise<unknown>): Promise<string> =>
  attempt.then(
    () => 'no error',
    (error: Error) => error.message,
  )

describe.each(cases)('$title', ({ source, path: make, size, counts, classes, reference }) => {
  let cacheDir: string
  let open: (packBytes?: number) => Promise<DataSplit>
  let data: DataSplit

  beforeAll(async () => {
    // the emoji are decoded into the shared cache, once for all tests
    cacheDir = await temporaryFolder()
    const given = await make?.()
    open = (packBytes) =>
      openData({ source, path: given, size, packBytes, ...(source === 'emoji' ? {} : { cacheDir }) })
    data = await open()
  })

  test('counts, classes, labels and captions', () => {
    const { train, validation, skipped } = data
    expect(skipped).toEqual([])
    if (typeof counts === 'number') {
      expect(train.count + validation.count).toBe(counts)
      expect(Math.min(train.count, validation.count)).toBeGreaterThan(0)
    } else expect([train.count, validation.count]).toEqual(counts)
    for (const half of [train, validation]) {
      expect(half.size).toBe(size)
      expect(half.name).not.toBe('')
      if (source !== 'emoji') expect(half.classes).toEqual(classes)
      for (const i of all(half)) {
        const label = half.label(i)
        expect(half.classes.length === 0 ? label === -1 : label >= 0 && label < half.classes.length).toBe(
          true,
        )
        if (!reference) continue
        const { label: wanted, caption } = reference(half.id(i))
        expect([half.id(i), label, half.caption(i)]).toEqual([half.id(i), wanted, caption])
      }
    }
  })

  test('ids are unique, the two sides share none, and both stay the same', async () => {
    const ids = [...idsOf(data.train), ...idsOf(data.validation)]
    expect(new Set(ids).size).toBe(ids.length)
    const again = await open()
    expect([...idsOf(again.train), ...idsOf(again.validation)]).toEqual(ids)
  })

  test('pixels equal the reference, two opens give equal bytes, and so does streaming', async () => {
    const [again, streaming] = [await open(), await open(0)]
    for (const side of ['train', 'validation'] as const) {
      const half = data[side]
      const indices = all(half).slice(0, 100)
      const pixels = await half.read(indices)
      expect(pixels.length).toBe(indices.length * size * size * 3)
      if (reference) {
        for (const i of indices) {
          const image = pixels.subarray(i * size * size * 3, (i + 1) * size * size * 3)
          expect(image, half.id(i)).toEqual(reference(half.id(i)).pixels)
        }
      }
      expect(await again[side].read(indices)).toEqual(pixels)
      expect(idsOf(streaming[side])).toEqual(idsOf(half))
      expect(await streaming[side].read(indices)).toEqual(pixels)
    }
  })

  test('reads several at once, repeated and in any order', async () => {
    for (const half of [data.train, (await open(0)).train]) {
      const each = size * size * 3
      const indices = all(half).slice(0, 20)
      const whole = await half.read(indices)
      const backwards = [...indices].reverse()
      const reads = await Promise.all([half.read(backwards), ...indices.map((i) => half.read([i, 0, i]))])
      backwards.forEach((i, k) => {
        expect(reads[0].subarray(k * each, (k + 1) * each)).toEqual(whole.subarray(i * each, (i + 1) * each))
      })
      for (const i of indices) {
        const one = whole.subarray(i * each, (i + 1) * each)
        expect(reads[i + 1]).toEqual(new Uint8Array(Buffer.concat([one, whole.subarray(0, each), one])))
      }
      expect(await half.read([])).toEqual(new Uint8Array(0))
    }
  })

  test('refuses an index that is not one of its own', async () => {
    for (const half of [data.train, (await open(0)).validation]) {
      for (const index of [half.count, -1, 0.5]) {
        expect(await rejection(half.read([0, index]))).toMatch(/no image .+; pass 0 to \d+/)
      }
    }
  })
})
