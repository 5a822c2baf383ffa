/** @file Fréchet distances: known values, SciPy's, invariants, and the bias of small sets. */
import { describe, expect, it } from 'vitest'
import { featureSet } from '../../src/metrics/featureSet.ts'
import {
  type FeatureStatistics,
  featureStatistics,
  frechetDistance,
  smallSampleBias,
} from '../../src/metrics/frechet.ts'
import {
  positiveFactor,
  productWithTranspose,
  symmetricEigenvalues,
} from '../../src/metrics/linearAlgebra.ts'
import { goldenNumbers, goldenSet, goldenTensors, normalSet, rowsOf } from './support.ts'

const gaussian = (mean: readonly number[], covariance: readonly number[][]): FeatureStatistics => ({
  count: 100,
  dimension: mean.length,
  mean: Float64Array.from(mean),
  covariance: Float64Array.from(covariance.flat()),
})

const diagonal = (d: number, value: number): number[][] =>
  Array.from({ length: d }, (_, i) => Array.from({ length: d }, (_, j) => (i === j ? value : 0)))

const tensors = goldenTensors()
const numbers = goldenNumbers()

describe('frechetDistance', () => {
  it('of Gaussians whose distance is known', () => {
    const d = 7
    const [zeros, ones] = [Array<number>(d).fill(0), Array<number>(d).fill(1)]
    const unit = gaussian(zeros, diagonal(d, 1))
    expect(frechetDistance(unit, unit)).toBeCloseTo(0, 12)
    expect(frechetDistance(unit, gaussian(ones, diagonal(d, 1)))).toBeCloseTo(d, 9)
    expect(frechetDistance(unit, gaussian(zeros, diagonal(d, 4)))).toBeCloseTo(d, 9)
    const a = gaussian([0, 0], [[2, 1], [1, 2]]) // biome-ignore format: matrices
    const b = gaussian([1, -2], [[1, 0], [0, 3]]) // biome-ignore format: matrices
    expect(frechetDistance(a, b)).toBeCloseTo(5.516685226452, 9)
    const c = gaussian([1, 2, 3], [[4, 1, 0], [1, 3, 1], [0, 1, 2]]) // biome-ignore format: matrices
    const e = gaussian([0, 0, 1], [[1, 0.5, 0], [0.5, 2, 0.25], [0, 0.25, 1.5]]) // biome-ignore format: matrices
    expect(frechetDistance(c, e)).toBeCloseTo(10.219499714722, 9)
    expect(frechetDistance(e, c)).toBeCloseTo(10.219499714722, 9)
  })

  it.each(['full', 'short'] as const)('agrees with SciPy and numpy (%s rank)', (name) => {
    const [real, fake] = ['real', 'fake'].map((side) =>
      featureStatistics(goldenSet(tensors, `${name}/${side}`)),
    ) as [FeatureStatistics, FeatureStatistics]
    expect(frechetDistance(real, fake)).toBeCloseTo(numbers[name].frechet, 7)
    expect(frechetDistance(fake, real)).toBeCloseTo(numbers[name].frechet, 7)
    expect(frechetDistance(real, real)).toBeCloseTo(0, 9)
  })

  it('does not change when both sets are rotated and moved', () => {
    const [d, angle] = [6, 0.7]
    const turned = (data: Float32Array | Float64Array): Float64Array => {
      const out = Float64Array.from(data, (x) => x + 1000)
      for (let i = 0; i < out.length; i += d) {
        for (let j = 0; j + 1 < d; j++) {
          const [x, y] = [out[i + j], out[i + j + 1]]
          out[i + j] = Math.cos(angle) * x - Math.sin(angle) * y
          out[i + j + 1] = Math.sin(angle) * x + Math.cos(angle) * y
        }
      }
      return out
    }
    const sets = [normalSet(1, 50, d), normalSet(2, 40, d, { shift: 0.5, spread: 2 })]
    const [a, b] = sets.map(featureStatistics)
    const [c, e] = sets.map((set) => featureStatistics(featureSet(turned(rowsOf(set)), d)))
    expect(frechetDistance(c, e)).toBeCloseTo(frechetDistance(a, b), 8)
  })

  it('refuses what it cannot compare', () => {
    const of = (d: number) => featureStatistics(normalSet(1, 5, d))
    expect(() => frechetDistance(of(3), of(4))).toThrow(/3 numbers an image on one side, 4 on the other/)
    expect(() => featureStatistics(normalSet(1, 1, 3))).toThrow(/covariance: 1 images; it takes 2 or more/)
    expect(() => featureSet(Float32Array.of(1, 2, 3, Number.NaN), 2)).toThrow(/image 1 has NaN as feature 1/)
    expect(() => featureSet(new Float32Array(5), 2)).toThrow(/5 numbers are not rows of 2/)
  })
})

describe('smallSampleBias', () => {
  it('finds the bias of equal Gaussians, whose distance is 0', () => {
    const { raw, extrapolated, bias, points } = smallSampleBias(normalSet(3, 500, 32), normalSet(4, 500, 32))
    expect(raw).toBeGreaterThan(0.8)
    expect(Math.abs(extrapolated)).toBeLessThan(0.2 * raw)
    expect(bias).toBe(raw - extrapolated)
    expect(points.map(({ share }) => share)).toEqual([...points.map(({ share }) => share)].sort().reverse())
  })

  it('leaves fixed statistics alone, and gives the same number for the same seed', () => {
    const [real, fake] = [featureStatistics(normalSet(5, 300, 8)), normalSet(6, 90, 8)]
    const first = smallSampleBias(real, fake, { seed: 3 })
    expect(first.raw).toBe(frechetDistance(real, featureStatistics(fake)))
    expect(smallSampleBias(real, fake, { seed: 3 })).toEqual(first)
    expect(smallSampleBias(real, fake, { seed: 4 }).extrapolated).not.toBe(first.extrapolated)
  })

  it('keeps pairs together: a set against itself has neither distance nor bias', () => {
    const set = normalSet(7, 40, 12)
    const { raw, extrapolated } = smallSampleBias(set, set)
    expect([raw, extrapolated].every((x) => Math.abs(x) < 1e-9)).toBe(true)
  })
})

describe('linear algebra', () => {
  it('multiplies odd sizes, over several panels', () => {
    const [m, n, k] = [5, 7, 601]
    const [a, b] = [rowsOf(normalSet(8, m, k)), rowsOf(normalSet(9, n, k))] as [Float64Array, Float64Array]
    const product = productWithTranspose(a, b, m, n, k)
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < n; j++) {
        let sum = 0
        for (let p = 0; p < k; p++) sum += a[i * k + p] * b[j * k + p]
        expect(product[i * n + j]).toBeCloseTo(sum, 10)
      }
    }
  })

  it('finds the eigenvalues of the second difference', () => {
    const n = 40
    const matrix = new Float64Array(n * n)
    for (let i = 0; i < n; i++) {
      matrix[i * n + i] = 2
      if (i > 0) matrix[i * n + i - 1] = -1
    }
    const wanted = Array.from({ length: n }, (_, i) => 2 - 2 * Math.cos(((i + 1) * Math.PI) / (n + 1)))
    for (const [i, value] of symmetricEigenvalues(matrix, n).entries())
      expect(value).toBeCloseTo(wanted[i], 12)
    expect([...symmetricEigenvalues(new Float64Array(9), 3)]).toEqual([0, 0, 0])
    expect([...symmetricEigenvalues(Float64Array.of(5), 1)]).toEqual([5])
  })

  it('factors a singular matrix', () => {
    const [rows, n] = [4, 9]
    const a = rowsOf(normalSet(10, n, rows)) as Float64Array
    const matrix = productWithTranspose(a, a, n, n, rows)
    const { factor, rank } = positiveFactor(matrix, n)
    expect(rank).toBe(rows)
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        let sum = 0
        for (let r = 0; r < rank; r++) sum += factor[r * n + i] * factor[r * n + j]
        expect(sum).toBeCloseTo(matrix[i * n + j], 12)
      }
    }
    expect(positiveFactor(new Float64Array(4), 2).rank).toBe(0)
  })
})
