import { tmpdir } from 'node:os'
import path from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { listEmoji, normaliseCodePoints } from '../../src/data/formats/emoji.ts'
import { LOOKALIKE_RMSE, lookalikeClusters, motifKey, THUMBNAIL } from '../../src/data/formats/emojiSplit.ts'
import type { DataSplit, ImageSource } from '../../src/data/images/source.ts'
import { openData } from '../../src/data/open.ts'

const SIZE = 32
// shared by all runs of the tests: the key of a pack changes whenever its content would
const cacheDir = path.join(tmpdir(), 'unified-latents-test-cache')

let full: DataSplit
let plain: DataSplit

beforeAll(async () => {
  full = await openData({ source: 'emoji', size: SIZE, cacheDir })
  plain = await openData({ source: 'emoji', size: SIZE, cacheDir, skinTones: false })
})

const idsOf = (source: ImageSource): string[] => Array.from({ length: source.count }, (_, i) => source.id(i))

const indexOf = (source: ImageSource, id: string): number => idsOf(source).indexOf(id)

/** 16×16 means of all images of a source, 0..1. [n, 768] */
const thumbnails = async (source: ImageSource): Promise<Float32Array[]> => {
  const all = await source.read(Array.from({ length: source.count }, (_, i) => i))
  const factor = SIZE / THUMBNAIL
  return Array.from({ length: source.count }, (_, n) => {
    const out = new Float32Array(THUMBNAIL * THUMBNAIL * 3)
    for (let y = 0; y < SIZE; y++) {
      for (let x = 0; x < SIZE * 3; x++) {
        const to = (Math.floor(y / factor) * THUMBNAIL + Math.floor(x / 3 / factor)) * 3 + (x % 3)
        out[to] += all[(n * SIZE + y) * SIZE * 3 + x] / (255 * factor * factor)
      }
    }
    return out
  })
}

describe('names', () => {
  test('one spelling of code points', () => {
    expect(normaliseCodePoints('0023-fe0f-20e3')).toBe('23-20e3')
    expect(normaliseCodePoints('1F9D1 200D 2695 FE0F')).toBe('1f9d1-200d-2695')
    const england = '1f3f4-e0067-e0062-e0065-e006e-e0067-e007f'
    expect(normaliseCodePoints('1f3f4-e0067_e0062_e0065_e006e_e0067')).toBe(england)
    expect(normaliseCodePoints(england.toUpperCase())).toBe(england)
  })

  test('3,375 distinct images in 9 groups', async () => {
    const { files, groups } = await listEmoji()
    expect(files.length).toBe(3375)
    expect(new Set(files.map(({ id }) => id)).size).toBe(3375)
    const sizes = groups.map((group) => [group, files.filter((file) => file.group === group).length])
    expect(sizes).toEqual([
      ['Smileys & Emotion', 166],
      ['People & Body', 1881],
      ['Animals & Nature', 157],
      ['Food & Drink', 128],
      ['Travel & Places', 218],
      ['Activities', 85],
      ['Objects', 261],
      ['Symbols', 223],
      ['Flags', 256],
    ])
  })
})

describe('images', () => {
  test('a caption, a class and the right pixels', async () => {
    const source = indexOf(full.train, '1f34e') >= 0 ? full.train : full.validation
    const apple = indexOf(source, '1f34e')
    expect(source.caption(apple)).toBe('red apple')
    expect(source.classes[source.label(apple)]).toBe('Food & Drink')
    const pixels = await source.read([apple])
    expect([...pixels.subarray(0, 3)]).toEqual([255, 255, 255]) // transparent corner
    const [r, g, b] = pixels.subarray((SIZE * SIZE * 3) / 2 + SIZE * 1.5)
    expect(r).toBeGreaterThan(150)
    expect(Math.max(g, b)).toBeLessThan(120)
  })

  test('none is skipped or blank', async () => {
    expect(full.skipped).toEqual([])
    for (const thumbnail of await thumbnails(full.validation))
      expect(Math.min(...thumbnail)).toBeLessThan(0.95)
  })
})

describe('the split', () => {
  test('has the documented sizes, and is the same without skin tones', () => {
    expect([full.train.count, full.validation.count]).toEqual([3084, 291])
    expect(plain.train.count + plain.validation.count).toBe(1855)
    const held = new Set(idsOf(full.validation))
    for (const id of idsOf(plain.validation)) expect(held.has(id)).toBe(true)
    for (const id of idsOf(plain.train)) expect(held.has(id)).toBe(false)
    for (const id of [...idsOf(plain.train), ...idsOf(plain.validation)]) expect(id).not.toMatch(/1f3f[b-f]/)
  })

  test('no image of validation has a look-alike or the same motif in training', async () => {
    const [train, validation] = [await thumbnails(full.train), await thumbnails(full.validation)]
    let nearest = Number.POSITIVE_INFINITY
    for (const a of validation) {
      for (const b of train) {
        let sum = 0
        for (let i = 0; i < a.length && sum < nearest; i++) sum += (a[i] - b[i]) ** 2
        nearest = Math.min(nearest, sum)
      }
    }
    expect(Math.sqrt(nearest / (THUMBNAIL * THUMBNAIL * 3))).toBeGreaterThanOrEqual(LOOKALIKE_RMSE)
    const motifs = new Set(idsOf(full.train).map((id) => motifKey(id.split('-'))))
    for (const id of idsOf(full.validation)) expect(motifs.has(motifKey(id.split('-'))), id).toBe(false)
  })

  test('clusters are transitive and named by their smallest key', () => {
    const flat = (value: number): number[] => new Array(768).fill(value)
    // steps of 10/255 = 0.039 link, 11/255 = 0.043 does not
    const images = Uint8Array.from([flat(0), flat(10), flat(20), flat(31), flat(200)].flat())
    expect(lookalikeClusters(images, ['d', 'b', 'c', 'a', 'd'])).toEqual(['b', 'b', 'b', 'a', 'b'])
  })

  test('motif keys drop skin, gender and hair', () => {
    const woman = motifKey(['1f469', '1f3fd', '200d', '1f9b0'])
    expect(woman).toBe(motifKey(['1f468']))
    expect(motifKey(['1f467'])).toBe('C')
    expect(motifKey(['1f3c3', '1f3fb', '200d', '2640', 'fe0f', '200d', '27a1'])).toBe('1f3c3')
  })
})
