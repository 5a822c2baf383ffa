/** @file What of the comparison of two feature sets is not in the tests of its metrics. */
import { afterEach, describe, expect, it, vi } from 'vitest'
import { fillNormal, streamKey } from '../../src/engine/host/random.ts'
import { compareFeatureSets } from '../../src/metrics/compareFeatures.ts'
import { type FeatureSet, featureSet } from '../../src/metrics/featureSet.ts'
import { featureStatistics, frechetDistance } from '../../src/metrics/frechet.ts'
import { precisionRecall } from '../../src/metrics/precisionRecall.ts'

vi.mock(import('../../src/metrics/precisionRecall.ts'))
afterEach(() => vi.resetAllMocks())

const normals = (count: number, name: string): FeatureSet => {
  const data = new Float32Array(2 * count)
  fillNormal(data, streamKey(0, name), 0, data.length)
  return featureSet(data, 2)
}

/** The rows of a set, as text. */
const rows = ({ count, data }: FeatureSet): string[] =>
  Array.from({ length: count }, (_, i) => `${data[2 * i]},${data[2 * i + 1]}`)

describe('compareFeatureSets', () => {
  it('takes precision and recall of 10,000 images a side at most, the rest of all', () => {
    // Their own values are tested elsewhere; of 10,000 images they would take seconds.
    vi.mocked(precisionRecall).mockReturnValue({ precision: 0.25, recall: 0.75 })
    const [real, few] = [normals(20_000, 'real'), normals(9, 'fake')]
    const compared = [1, 1, 2].map((seed) => compareFeatureSets(real, few, { seed, fitBias: false }))
    for (const { frechet, ...rest } of compared) {
      expect(rest).toMatchObject({ realCount: 20_000, fakeCount: 9, precision: 0.25, recall: 0.75 })
      expect(frechet).toBe(frechetDistance(featureStatistics(real), featureStatistics(few)))
    }
    expect(compared[1]).toEqual(compared[0])
    const taken = vi.mocked(precisionRecall).mock.calls
    expect(taken.map(([, fake]) => fake)).toEqual([few, few, few])
    const all = new Set(rows(real))
    const [first, again, other] = taken.map(([half]) => new Set(rows(half)))
    for (const half of [first!, other!]) {
      expect(half.size).toBe(10_000) // no image twice
      expect([...half].every((row) => all.has(row))).toBe(true)
    }
    expect(again).toEqual(first)
    // Half of one draw is in the other, within five standard deviations of 50.
    const shared = [...first!].filter((row) => other!.has(row)).length
    expect(Math.abs(shared - 5000)).toBeLessThan(250)
  })
})
