/** @file Which half names say, which folders are classes, and what of both is said: one rule for folders, containers and columns. */
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { withHalves } from '../../src/data/formats/containers.ts'
import { folderLayout } from '../../src/data/formats/folderSplit.ts'
import { splitByHash } from '../../src/data/formats/records.ts'
import type { DataSplit, ImageSource } from '../../src/data/images/source.ts'
import { openData } from '../../src/data/open.ts'
import { summaryLines } from '../../src/data/summary.ts'
import { flatPng, temporaryFolder, writeFiles } from './temporary.ts'

/** What a folder with an image at each of the paths is read as: `half class` of each image, null for those left out. */
const layout = (paths: readonly string[]): Readonly<Record<string, string | null>> => {
  const { images, leftOut } = folderLayout(paths)
  return Object.fromEntries([
    ...images.map(({ id, label, half }) => [id, `${half} ${label ?? '–'}`] as const),
    ...leftOut.map((id) => [id, null] as const),
  ])
}

/** The same of containers of these names, without the class. */
const halves = (names: readonly string[]): Readonly<Record<string, string>> =>
  Object.fromEntries(
    withHalves(names, (name) => name).kept.map((item) => [
      Object.values(item).slice(0, -1).join(''),
      item.half,
    ]),
  )

/** Names of the half to train on, of the half held out, and of what is left out. */
const vocabularies: readonly (readonly [train: string, held: string, ...leftOut: string[]])[] = [
  ['train', 'val', 'test'],
  ['train', 'valid', 'test'],
  ['train', 'test'],
  ['Train', 'Valid'],
  ['TRAIN', 'TEST'],
  ['training', 'validation', 'testing'],
  ['Training', 'Testing'],
  ['train2017', 'val2017', 'test2017'],
  ['train_images', 'test_images'],
  ['trainval', 'test'],
  ['ImageNetTrain', 'ImageNetVal'],
]

describe.each(vocabularies)('%s beside %s', (train, held, ...extra) => {
  test('is a split of folders, with classes below it', () => {
    const of = (half: string): string[] => [`${half}/cat/1.png`, `${half}/dog/1.png`]
    expect(layout([train, held, ...extra].flatMap(of))).toEqual({
      [`${train}/cat/1.png`]: 'train cat',
      [`${train}/dog/1.png`]: 'train dog',
      [`${held}/cat/1.png`]: 'validation cat',
      [`${held}/dog/1.png`]: 'validation dog',
      ...Object.fromEntries(extra.flatMap(of).map((id) => [id, null])),
    })
  })

  test('is one without classes, in a folder around it, and inside of classes', () => {
    expect(layout([`${train}/1.png`, `${held}/1.png`])).toEqual({
      [`${train}/1.png`]: 'train –',
      [`${held}/1.png`]: 'validation –',
    })
    expect(layout([`pets/${train}/cat/1.png`, `pets/${held}/cat/1.png`])).toEqual({
      [`pets/${train}/cat/1.png`]: 'train cat',
      [`pets/${held}/cat/1.png`]: 'validation cat',
    })
    expect(layout([`cat/${train}/1.png`, `cat/${held}/1.png`, `dog/${train}/1.png`])).toEqual({
      [`cat/${train}/1.png`]: 'train cat',
      [`cat/${held}/1.png`]: 'validation cat',
      [`dog/${train}/1.png`]: 'train dog',
    })
  })

  test('is the same split of containers', () => {
    const names = [train, held, ...extra]
    const expected = [
      [train, 'train'],
      [held, 'validation'],
    ]
    expect(Object.values(halves(names.map((name) => `${name}-00000.parquet`)))).toEqual(
      expected.map(([, half]) => half),
    )
    expect(withHalves(names, (name) => `set/${name}/0.tar`).kept.map(({ half }) => half)).toEqual(
      expected.map(([, half]) => half),
    )
  })
})

describe('folders', () => {
  test("of YOLO's kinds are a split, and images/ is no class", () => {
    expect(layout(['train/images/1.jpg', 'valid/images/2.jpg', 'test/images/3.jpg'])).toEqual({
      'train/images/1.jpg': 'train –',
      'valid/images/2.jpg': 'validation –',
      'test/images/3.jpg': null,
    })
    expect(layout(['images/train/1.jpg', 'images/val/2.jpg'])).toEqual({
      'images/train/1.jpg': 'train –',
      'images/val/2.jpg': 'validation –',
    })
  })

  test('called like a split are classes where nothing else says that they are one', () => {
    const classes = (names: readonly string[]): unknown[] =>
      Object.values(layout(names.map((name) => `${name}/1.png`)))
    expect(classes(['bus', 'car', 'train'])).toEqual(['train bus', 'train car', 'train train'])
    expect(classes(['invalid', 'valid'])).toEqual(['train invalid', 'train valid'])
    expect(classes(['cat', 'dog', 'test'])).toEqual(['train cat', 'train dog', 'train test'])
    expect(classes(['bus', 'car', 'passenger_train', 'tram', 'test_tube'])).toHaveLength(5)
    expect(classes(['bus', 'car', 'passenger_train', 'tram', 'test_tube'])).not.toContain(null)
  })

  test('a held-out folder beside the classes that it holds is one', () => {
    expect(layout(['cat/1.png', 'dog/1.png', 'test/cat/2.png'])).toEqual({
      'cat/1.png': 'train cat',
      'dog/1.png': 'train dog',
      'test/cat/2.png': 'validation cat',
    })
  })

  test('that hold everything are looked into; a class by itself stays one', () => {
    expect(layout(['pets/cat/1.png', 'pets/dog/1.png'])).toEqual({
      'pets/cat/1.png': 'train cat',
      'pets/dog/1.png': 'train dog',
    })
    expect(layout(['pets/cat/1.png', 'pets/cat/2.png', 'pets/dog/1.png', 'cover.png'])).toMatchObject({
      'pets/dog/1.png': 'train dog',
      'cover.png': 'train –',
    })
    expect(layout(['cat/1.png', 'cat/2.png'])['cat/1.png']).toBe('train cat')
    expect(layout(['train/cat/1.png', 'train/dog/2.png'])['train/dog/2.png']).toBe('train dog')
  })
})

/** A folder of images at these paths, opened. */
const opened = async (ids: readonly string[]): Promise<DataSplit> => {
  const folder = await temporaryFolder()
  for (const [i, id] of ids.entries()) await writeFiles(folder, { [id]: await flatPng([i, 2 * i, 100]) })
  return openData({ source: 'folder', path: folder, size: 4, cacheDir: path.join(folder, '.cache') })
}

const idsOf = (source: ImageSource): string[] => Array.from({ length: source.count }, (_, i) => source.id(i))
const many = (folder: string, count: number): string[] =>
  Array.from({ length: count }, (_, i) => `${folder}/${i}.png`)
const unlabelled = 'has no label, unlike others'

describe('a few images without a class take none away', () => {
  test.each([
    ['a stray one', ['cat', 'dog'], ['preview.png']],
    ['two beside the split', ['train/cat', 'train/dog'], ['train/a.png', 'train/b.png']],
    ['two beside a folder around the classes', ['pets/cat', 'pets/dog'], ['a.png', 'pets/b.png']],
  ])('%s', async (_, folders, stray) => {
    const data = await opened([...folders.flatMap((folder) => many(folder, 4)), ...stray])
    expect(data.train.classes).toEqual(['cat', 'dog'])
    expect(data.train.count + data.validation.count).toBe(8)
    expect(data.skipped).toEqual(stray.map((file) => ({ file, reason: unlabelled })))
    expect(summaryLines(data)).toContainEqual(
      expect.stringContaining(`skipped ${stray.length}: ${stray.length} × ${unlabelled}`),
    )
  })

  test('a flat test folder is left out, and a tenth of the rest held out', async () => {
    const data = await opened([...many('train/cat', 4), ...many('train/dog', 4), ...many('test', 5)])
    expect(data.train.classes).toEqual(['cat', 'dog'])
    expect([...idsOf(data.train), ...idsOf(data.validation)].every((id) => id.startsWith('train/'))).toBe(
      true,
    )
    expect(data.validation.count).toBeGreaterThan(0)
    expect(data.skipped).toHaveLength(5)
    expect(data.summary).toMatchObject({
      classes: '2 classes by folder',
      split: 'a tenth held out by a hash of names, since nothing in test has a label',
    })
  })

  test('many do: then folders are no classes, and no image is lost', async () => {
    const data = await opened(['cat/0.png', ...['a.png', 'b.png', 'c.png']])
    expect(data.train.classes).toEqual([])
    expect(data.train.count + data.validation.count).toBe(4)
    expect(data.summary.classes).toBe('no classes (only 1 of 4 images have a folder)')
  })
})

describe('the split by hash', () => {
  test('leaves a class of one image in training, and says so', async () => {
    // dog/0.png hashes below a tenth and would be held out
    const data = await opened([...many('cat', 8), 'dog/0.png'])
    expect(idsOf(data.train)).toContain('dog/0.png')
    expect(data.validation.count).toBe(1)
    expect(summaryLines(data).at(-1)).toContain('the only image of dog is trained on')
  })

  test('leaves one image of every class, whatever the hash, and otherwise is what it was', () => {
    for (let n = 0; n < 300; n++) {
      const labels = Array.from({ length: 40 }, (_, i) => (i < 20 ? 0 : 1 + ((i * 7) % 12)))
      const texts = labels.map((_, i) => `${n}/${i}`)
      const { train, validation } = splitByHash(texts, labels)
      expect(new Set(train.map((i) => labels[i])).size).toBe(13)
      const plain = splitByHash(texts)
      expect(validation.every((i) => plain.validation.includes(i)) || validation.length === 1).toBe(true)
    }
  })

  test('holds out a tenth of classes of one image each, and says what that means', async () => {
    const data = await opened(Array.from({ length: 30 }, (_, i) => `c${i}/0.png`))
    expect(data.validation.count).toBeGreaterThan(0)
    expect(data.train.count + data.validation.count).toBe(30)
    expect(data.summary.split).toMatch(/without an image to train on$/)
  })
})

describe('a column that says the split', () => {
  test.each([
    ['split', ['train', 'valid', 'test']],
    ['split', ['Training', 'validation', 'Testing']],
    ['split', ['train', 'test', 'unused']],
  ])('%s: %j', async (key, values) => {
    const folder = await temporaryFolder()
    const lines: string[] = []
    for (let i = 0; i < 12; i++) {
      await writeFiles(folder, { [`${i}.png`]: await flatPng([i, i, i]) })
      lines.push(JSON.stringify({ file_name: `${i}.png`, label: i % 2, [key]: values[i % 3] }))
    }
    await writeFiles(folder, { 'metadata.jsonl': lines.join('\n') })
    const data = await openData({ source: 'manifest', path: folder, size: 4, cacheDir: folder })
    const numbers = (source: ImageSource): number[] =>
      idsOf(source).map((id) => Number(path.basename(id, '.png')))
    expect(numbers(data.train)).toEqual([0, 3, 6, 9])
    expect(numbers(data.validation)).toEqual([1, 4, 7, 10])
    expect(data.summary.split).toBe(`trained on ${values[0]}, held out ${values[1]}, ${values[2]} left out`)
  })
})
