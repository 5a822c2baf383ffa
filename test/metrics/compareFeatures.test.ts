/** @file What of the comparison of two feature sets is not in the tests of its metrics. */
import { describe, expect, it } from 'vitest'
import { streamKey } from '../../src/engine/host/random.ts'
import { compareFeatureSets } from '../../src/metrics/compareFeatures.ts'
import { drawSubset, pickRows } from '../../src/metrics/featureSet.ts'
import { featureStatistics, frechetDistance } from '../../src/metrics/frechet.ts'
import { kid } from '../../src/metrics/kid.ts'
import { precisionRecall } from '../../src/metrics/precisionRecall.ts'
import { normalSet } from './support.ts'

const most = 10_000

describe('compareFeatureSets', () => {
  it('takes precision and recall of 10,000 images a side, drawn by the seed, and the rest of all', () => {
    const [real, few] = [normalSet(1, 2 * most, 2), normalSet(2, 9, 2, { spread: 0.5 })]
    const seed = 1
    const { frechet, kid: own, ...rest } = compareFeatureSets(real, few, { seed, fitBias: false })
    expect(frechet).toBe(frechetDistance(featureStatistics(real), featureStatistics(few)))
    const { mean, error } = kid(real, few, { seed })
    expect(own).toEqual({ mean, error })
    const half = pickRows(real, drawSubset(streamKey(seed, 'nearest real'), real.count, most))
    expect(rest).toEqual({
      ...{ frechetExtrapolated: null, bias: null, realCount: 2 * most, fakeCount: 9 },
      ...precisionRecall(half, few),
    })
    // A share of so many images tells which they were.
    expect(rest.recall * most).toBeCloseTo(Math.round(rest.recall * most), 6)
    expect(rest.recall).toBeGreaterThan(0.1)
    expect(rest.recall).toBeLessThan(0.9)
  })
})
