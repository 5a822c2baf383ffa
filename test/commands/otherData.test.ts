/** @file A run met with other data than it was trained on: refused by name; and what is said of data when it is read. */
import { cpSync, existsSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { checkpointOf, inWork, jsonOf, makeImages, sentenceOf, tinyTraining, ul } from './ul.ts'

const images = await makeImages('changing')
const trained = await ul(tinyTraining(images, 'of-changing'))
const run = inWork('of-changing')

describe('ul train', () => {
  it('says in four lines at most what was read, ignored and skipped, and how it was decided', () => {
    expect(trained.code).toBe(0)
    const said = trained.stderr.split('\n').filter((line) => /^data: (?!decoding)/.test(line))
    expect(said).toEqual([
      expect.stringMatching(/^data: 2\d images to train on, \d held out, from 25 files$/),
      'data: skipped 1: 1 × is no image (PNG, JPEG, WebP, AVIF, GIF or TIFF) (discs/broken.png)',
      'data: 2 classes by folder; a tenth held out by a hash of names',
    ])
  })
})

const from = (kind: string): string => join(images, kind)

/** Changes of the images, how they are undone, and what is said of them. */
const changes: readonly (readonly [string, () => void, () => void, string])[] = [
  [
    'a class more',
    () => cpSync(from('discs'), from('a1'), { recursive: true }),
    () => rmSync(from('a1'), { recursive: true }),
    'of its classes a1 new',
  ],
  [
    'two classes more, of which an index would be out of bounds',
    () => ['a1', 'a2'].forEach((name) => void cpSync(from('discs'), from(name), { recursive: true })),
    () => ['a1', 'a2'].forEach((name) => void rmSync(from(name), { recursive: true })),
    'of its classes a1, a2 new',
  ],
  [
    'a class of another name',
    () => renameSync(from('discs'), from('rings')),
    () => renameSync(from('rings'), from('discs')),
    'of its classes rings new, discs gone',
  ],
  [
    'an image of another name',
    () => renameSync(join(from('stripes'), 'stripes-3.png'), join(from('stripes'), 'stripes-33.png')),
    () => renameSync(join(from('stripes'), 'stripes-33.png'), join(from('stripes'), 'stripes-3.png')),
    'other names or labels of its training images',
  ],
]

describe.each(changes)('%s', (_, change, undo, difference) => {
  it('is refused by evaluate, with samples and without, and by train', async () => {
    change()
    try {
      const said = `${run}: the data is not what this run began with: ${difference}; restore the data, or `
      expect(await finalSentence(['evaluate', run])).toBe(`${said}train on it as it is now`)
      expect(await finalSentence(['evaluate', run, '--samples', '8'])).toBe(`${said}train on it as it is now`)
      expect(await finalSentence(tinyTraining(images, run))).toBe(`${said}train into another --out`)
    } finally {
      undo()
    }
    expect((await jsonOf(['evaluate', run])).at(-1)).toMatchObject({ event: 'done' })
  })
})

/** The sentence that a command fails with, after what it said of the data. */
const finalSentence = async (args: readonly string[]): Promise<string> => {
  const { code, stderr } = await ul(args)
  expect(code).toBe(2)
  return stderr.trimEnd().split('\n').at(-1)!.replace(/^ul: /, '')
}

describe('data with many classes', () => {
  it('is drawn in grids of twenty rows, while training, at the end and on the contact sheet', async () => {
    expect(existsSync(checkpointOf(run, 'stage1', 20))).toBe(true)
    const folder = inWork('many')
    for (let i = 0; i < 60; i++)
      cpSync(join(from('discs'), `discs-${i % 12}.png`), join(folder, `c${i}`, 'x.png'))
    expect((await ul([...tinyTraining(folder, 'of-many'), '--set', 'data.balance=false'])).code).toBe(0)
    const rows = 20
    for (const [name, scale, gap] of [
      ['samples.png', 4, 2],
      ['samples-000000010.png', 2, 2],
    ] as const) {
      const png = readFileSync(inWork('of-many', 'samples', name))
      expect(png.readUInt32BE(20), name).toBe(rows * (16 * scale + gap) - gap)
    }
    expect(readFileSync(inWork('of-many', 'report.html'), 'utf8')).toContain(
      'One row for each of 20 of 60 classes',
    )
    expect(await sentenceOf(2, ['sample', 'of-many', '--class', 'zebra crossing'])).toMatch(/ and 41 more$/)
  })
})
