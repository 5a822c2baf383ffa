/** @file Kernel Inception distance and precision/recall against numpy, and what both must obey. */
import { describe, expect, it } from 'vitest'
import { streamKey } from '../../src/engine/host/random.ts'
import { compareFeatureSets } from '../../src/metrics/compareFeatures.ts'
import { drawSubset, pickRows } from '../../src/metrics/featureSet.ts'
import { kid, kidOfWholeSets } from '../../src/metrics/kid.ts'
import { precisionRecall } from '../../src/metrics/precisionRecall.ts'
import { goldenNumbers, goldenSet, goldenTensors, normalSet } from './support.ts'

const tensors = goldenTensors()
const numbers = goldenNumbers()
const pair = (name: 'full' | 'short') =>
  [goldenSet(tensors, `${name}/real`), goldenSet(tensors, `${name}/fake`)] as const

describe('kid', () => {
  it.each(['full', 'short'] as const)('agrees with numpy (%s)', (name) => {
    const [real, fake] = pair(name)
    expect(kidOfWholeSets(real, fake)).toBeCloseTo(numbers[name].kid, 10)
    expect(kidOfWholeSets(fake, real)).toBeCloseTo(numbers[name].kid, 10)
  })

  it('takes small sets whole, and still has an error', () => {
    const [real, same] = [normalSet(1, 80, 6), normalSet(2, 80, 6)]
    const { mean, error, subsetSize } = kid(real, same)
    expect(subsetSize).toBe(80)
    expect(mean).toBeCloseTo(kidOfWholeSets(real, same), 12)
    expect(error).toBeGreaterThan(0)
    expect(Math.abs(mean)).toBeLessThan(4 * error)
  })

  it('computes many subsets in one pass over all pairs, to the same result as one by one', () => {
    const [real, fake] = [normalSet(3, 600, 5), normalSet(4, 500, 5, { shift: 0.2 })]
    const [subsetSize, seed] = [40, 5]
    const oneByOne = (subsets: number): number => {
      let sum = 0
      for (let i = 0; i < subsets; i++) {
        const r = drawSubset(streamKey(seed, 'kid real', subsetSize, i), real.count, subsetSize)
        const f = drawSubset(streamKey(seed, 'kid fake', subsetSize, i), fake.count, subsetSize)
        sum += kidOfWholeSets(pickRows(real, r), pickRows(fake, f))
      }
      return sum / subsets
    }
    // 300 subsets have more pairs than the whole sets, two have fewer.
    for (const subsets of [2, 300]) {
      const found = kid(real, fake, { subsetSize, seed, subsets })
      expect(found.mean).toBeCloseTo(oneByOne(subsets), 10)
      expect(found).toEqual(kid(real, fake, { subsetSize, seed, subsets }))
    }
  })

  it('states an error that the spread of fresh sets bears out', () => {
    const runs = Array.from({ length: 40 }, (_, i) =>
      kid(normalSet(100 + i, 200, 4), normalSet(200 + i, 200, 4, { shift: 0.4 }), {
        subsetSize: 60,
        subsets: 50,
      }),
    )
    const mean = runs.reduce((sum, r) => sum + r.mean / runs.length, 0)
    const spread = Math.sqrt(runs.reduce((sum, r) => sum + (r.mean - mean) ** 2 / (runs.length - 1), 0))
    const stated = runs.reduce((sum, r) => sum + r.error / runs.length, 0)
    expect(stated / spread).toBeGreaterThan(0.7)
    expect(stated / spread).toBeLessThan(1.5)
  })

  it('refuses what it cannot compare', () => {
    expect(() => kid(normalSet(1, 9, 3), normalSet(1, 9, 4))).toThrow(/3 numbers .* 4/)
    expect(() => kid(normalSet(1, 3, 3), normalSet(1, 9, 3))).toThrow(/KID: 3 images; it takes 4 or more/)
  })
})

describe('drawSubset', () => {
  it('draws each number once, in order, and all equally often', () => {
    const hits = new Float64Array(10)
    for (let i = 0; i < 2000; i++) {
      const subset = drawSubset(streamKey(1, 'subset', i), 10, 4)
      expect([...new Set(subset)]).toEqual([...subset].sort((a, b) => a - b))
      for (const j of subset) hits[j]++
    }
    for (const n of hits) expect(Math.abs(n - 800)).toBeLessThan(100) // 4.6 standard deviations
  })
})

describe('precisionRecall', () => {
  it.each(['full', 'short'] as const)('agrees with numpy (%s)', (name) => {
    const { precision, recall } = numbers[name]
    expect(precisionRecall(...pair(name))).toEqual({ precision, recall })
    const [real, fake] = pair(name)
    expect(precisionRecall(fake, real)).toEqual({ precision: recall, recall: precision })
  })

  it('is 1 for the same images and 0 for distant ones, over several blocks', () => {
    const set = normalSet(5, 300, 300)
    expect(precisionRecall(set, { ...set })).toEqual({ precision: 1, recall: 1 })
    const far = normalSet(6, 300, 300, { shift: 50 })
    expect(precisionRecall(set, far)).toEqual({ precision: 0, recall: 0 })
  })

  it('tells too little variety from too little realism', () => {
    const [wide, narrow] = [normalSet(7, 300, 8), normalSet(8, 300, 8, { spread: 0.3 })]
    const { precision, recall } = precisionRecall(wide, narrow)
    expect(precision).toBeGreaterThan(0.95)
    expect(recall).toBeLessThan(0.2)
  })

  it('needs more than k images', () => {
    expect(() => precisionRecall(normalSet(1, 3, 2), normalSet(1, 9, 2))).toThrow(/3 images; it takes 4/)
  })
})

describe('compareFeatureSets', () => {
  it('gathers every number, and the same again', () => {
    const [real, fake] = pair('full')
    const comparison = compareFeatureSets(real, fake, { seed: 1 })
    expect(comparison).toMatchObject({ realCount: 60, fakeCount: 50, precision: 0.82 })
    expect(comparison.frechet).toBeCloseTo(numbers.full.frechet, 7)
    expect(comparison.bias).toBe(comparison.frechet - comparison.frechetExtrapolated!)
    const quick = compareFeatureSets(real, fake, { seed: 1, fitBias: false })
    expect(quick).toEqual({ ...comparison, frechetExtrapolated: null, bias: null })
    expect(compareFeatureSets(real, fake, { seed: 1 })).toEqual(comparison)
  })
})
