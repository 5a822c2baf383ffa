/** @file Features on their way to a metric: in a file meanwhile, a part in memory at a time. */
import { existsSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { float32 } from '../../src/engine/host/tensor.ts'
import type { FeatureNetwork } from '../../src/features/network.ts'
import { storedFeatures, withFeatures, writeFeatures } from '../../src/measure/features.ts'
import { compareFeatureSets } from '../../src/metrics/compareFeatures.ts'
import { featureSet, type Rows } from '../../src/metrics/featureSet.ts'
import { temporaryFolder } from '../data/temporary.ts'
import { normalSet, rowsOf } from '../metrics/support.ts'

const dimension = 5

/** A network that knows the features of image i, whose red is i, and what it is asked for at a time. */
const knowing = (rows: Rows): FeatureNetwork & { readonly asked: number[] } => {
  const asked: number[] = []
  return {
    ...{ name: 'known', dimension, asked, describe: () => 'known', dispose: async () => {} },
    features: async (pixels) => {
      asked.push(pixels.length / 3)
      return Float32Array.from({ length: (pixels.length / 3) * dimension }, (_, k) => {
        const image = pixels[3 * Math.floor(k / dimension)]
        return rows[image * dimension + (k % dimension)]
      })
    },
  }
}

/** Images of one pixel [n, 3, 1, 1] whose red byte is their number. */
const read = async (first: number, n: number) =>
  float32(
    [n, 3, 1, 1],
    Array.from({ length: 3 * n }, (_, k) => (2 * (first + Math.floor(k / 3))) / 255 - 1),
  )

describe('features of images', () => {
  const [real, fake] = [normalSet(1, 60, dimension), normalSet(2, 45, dimension, { shift: 0.2 })]
  const single = (set: typeof real) => featureSet(Float32Array.from(rowsOf(set)), dimension)
  let folder: string
  beforeEach(async () => {
    folder = await temporaryFolder()
    vi.stubEnv('UL_CACHE', folder)
  })
  afterEach(() => vi.unstubAllEnvs())

  it.each([1, 7, 100])(
    'are compared from files, of %i images at a time, as in memory, bit for bit',
    async (atOnce) => {
      const networks = [real, fake].map((set) => knowing(rowsOf(set)))
      const stored = await writeFeatures(path.join(folder, 'real'), networks[0], { count: 60, atOnce, read })
      expect(rowsOf(stored)).toEqual(rowsOf(single(real)))
      const found = await withFeatures(networks[1], { count: 45, atOnce, read }, (made) =>
        compareFeatureSets(stored, made, { seed: 3 }),
      )
      expect(found).toEqual(compareFeatureSets(single(real), single(fake), { seed: 3 }))
      expect(Math.max(...networks.flatMap(({ asked }) => asked))).toBe(Math.min(atOnce, 60))
      expect(readdirSync(folder)).toEqual(['real'])
    },
  )

  it('name the image whose features are no numbers, and leave nothing behind', async () => {
    const rows = rowsOf(single(fake)).slice()
    rows[31 * dimension + 2] = Number.NaN
    const file = path.join(folder, 'bad')
    const seen = { count: 45, atOnce: 10, read }
    await expect(writeFeatures(file, knowing(rows), seen)).rejects.toThrow('image 31 has NaN as feature 2')
    await expect(withFeatures(knowing(rows), seen, () => 1)).rejects.toThrow('image 31 has NaN')
    expect(existsSync(file)).toBe(false)
    expect(readdirSync(folder)).toEqual([])
  })

  it('that a file does not have are asked for in a sentence', async () => {
    const file = path.join(folder, 'real')
    await writeFeatures(file, knowing(rowsOf(real)), { count: 8, atOnce: 8, read })
    expect(() => storedFeatures(file).rows(6, 9)).toThrow('there are no rows 6 to 8')
  })
})
