/** @file What of the comparison of two feature sets is not in the tests of its metrics. */
import { describe, expect, it } from 'vitest'
import { fillNormal, streamKey } from '../../src/engine/host/random.ts'
import { compareFeatureSets } from '../../src/metrics/compareFeatures.ts'
import { featureSet } from '../../src/metrics/featureSet.ts'

const normals = (count: number, name: string) => {
  const data = new Float32Array(2 * count)
  fillNormal(data, streamKey(0, name), 0, data.length)
  return featureSet(data, 2)
}

describe('compareFeatureSets', () => {
  it('takes precision and recall of 10,000 images a side at most, the rest of all', () => {
    const [real, few] = [normals(20_000, 'real'), normals(9, 'fake')]
    const options = { seed: 1, fitBias: false }
    const compared = compareFeatureSets(real, few, options)
    expect([compared.realCount, compared.fakeCount]).toEqual([20_000, 9])
    // Half of the real images, drawn by the seed: recall is a multiple of 1/10,000.
    expect(Math.round(compared.recall * 10_000)).toBeCloseTo(compared.recall * 10_000, 6)
    expect(compareFeatureSets(real, few, options)).toEqual(compared)
    const other = compareFeatureSets(real, few, { ...options, seed: 2 })
    expect(other.frechet).toBe(compared.frechet)
    expect(other.recall).not.toBe(compared.recall)
    expect(other.recall).toBeCloseTo(compared.recall, 1)
  })
})
