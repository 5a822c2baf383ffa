/** @file The rate law against the paper's Table 2, lines that are known, and its own inverse; best rates by budget. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fillNormal, streamKey } from '../../src/engine/host/random.ts'
import {
  type FitPoint,
  leastSquares,
  predictY,
  solveX,
  studentQuantile,
} from '../../src/studies/law/leastSquares.ts'
import { fitBudget, planBudget } from '../../src/studies/law/rateBudget.ts'
import {
  fitRateLaw,
  isBent,
  keptNoise,
  planRate,
  predictRate,
  type RatePoint,
  smoothedSigmoid,
} from '../../src/studies/law/rateLaw.ts'

/** Table 2 of arXiv 2602.17270: loss factor and bits/pixel on ImageNet-512, one bias throughout. */
const table2: readonly RatePoint[] = [
  [1.3, 0.035],
  [1.5, 0.059],
  [1.7, 0.083],
  [1.9, 0.101],
  [2.1, 0.116],
].map(([lossFactor, bitsPerPixel]) => ({ lossFactor: lossFactor, bias: -3, bitsPerPixel: bitsPerPixel }))

/** Points on the law ln R = −2 + 0.6·(b − u) exactly, times `factor`. */
const onLaw = (lossFactor: number, bias: number, factor = 1): RatePoint => ({
  lossFactor,
  bias,
  bitsPerPixel: factor * Math.exp(-2 + 0.6 * (bias - keptNoise(lossFactor))),
})

describe('smoothedSigmoid', () => {
  it('is the weight of a component: the sigmoid averaged over the logistic density', () => {
    for (const u of [-7, -1.3, -0.1, 0, 0.05, 0.2, 3, 12]) {
      let [sum, step] = [0, 1e-3]
      for (let x = -60; x < 60; x += step)
        sum += (step * (1 / (1 + Math.exp(x - u)))) / (2 + 2 * Math.cosh(x))
      expect(smoothedSigmoid(u) / sum, `${u}`).toBeCloseTo(1, 6)
    }
    expect(smoothedSigmoid(0)).toBe(0.5)
  })

  it('rises throughout, without a step where the series ends, and is symmetric', () => {
    let before = 0
    for (let u = -40; u < 30; u += 1 / 128) {
      const value = smoothedSigmoid(u)
      expect(value).toBeGreaterThan(before)
      expect(value + smoothedSigmoid(-u)).toBeCloseTo(1, 15)
      before = value
    }
    expect(smoothedSigmoid(0.1 + 1e-9) - smoothedSigmoid(0.1 - 1e-9)).toBeCloseTo(
      2e-9 * (1 / 6 - 0.01 / 60),
      14,
    )
    expect(smoothedSigmoid(-700)).toBeGreaterThan(0)
    expect(smoothedSigmoid(700)).toBe(1)
  })
})

describe('keptNoise', () => {
  it.each([
    [1.3, 1.786],
    [1.5, 1.036],
    [1.7, 0.534],
    [1.9, 0.158],
    [2, 0],
    [2.1, -0.143],
  ])('of %d is %d', (lossFactor, u) => expect(keptNoise(lossFactor)).toBeCloseTo(u, 3))

  it('solves G(u)·c_lf = 1 from just above 1 to very large, falling', () => {
    let before = Number.POSITIVE_INFINITY
    for (const c of [1 + 1e-12, 1.0001, 1.05, 1.9, 1.999, 2.001, 8, 1e3, 1e12, 1e200]) {
      const u = keptNoise(c)
      expect(u).toBeLessThan(before)
      expect(smoothedSigmoid(u) * c).toBeCloseTo(1, 12)
      before = u
    }
  })

  it.each([1, 0.5, 0, Number.NaN, Number.POSITIVE_INFINITY])('refuses %d', (c) => {
    expect(() => keptNoise(c)).toThrow(/decoder\.lossFactor must be above 1/)
  })
})

/** Terms of a line. */
const lineAt = (x: number): number[] => [1, x]
const onLine = (y: readonly number[], xs = y.map((_, i) => i)): FitPoint[] =>
  y.map((value, i) => ({ row: lineAt(xs[i]), y: value }))

describe('least squares', () => {
  it.each([
    [1, 12.7062],
    [2, 4.30265],
    [3, 3.18245],
    [5, 2.57058],
    [10, 2.22814],
    [100, 1.98397],
  ])("Student's t with %d degrees of freedom reaches %d", (n, t) => {
    expect(studentQuantile(n)).toBeCloseTo(t, 4)
  })

  it('of a line agree with the formulas of a textbook', () => {
    // Mean x 2.5, mean y 3.1, Σ(x − 2.5)² = 5, Σ(x − 2.5)·(y − 3.1) = 3.9; 2 degrees of freedom.
    const fit = leastSquares(onLine([2, 2.5, 3.7, 4.2], [1, 2, 3, 4]))
    expect(fit.coefficients).toEqual([expect.closeTo(1.15, 12), expect.closeTo(0.78, 12)])
    const s2 = [2, 2.5, 3.7, 4.2].reduce((sum, y, i) => sum + (y - 1.15 - 0.78 * (i + 1)) ** 2, 0) / 2
    expect(fit.residualSd! ** 2).toBeCloseTo(s2, 12)
    expect(fit.covariance).toEqual([
      [expect.closeTo(s2 * (1 / 4 + 2.5 ** 2 / 5), 12), expect.closeTo((-s2 * 2.5) / 5, 12)],
      [expect.closeTo((-s2 * 2.5) / 5, 12), expect.closeTo(s2 / 5, 12)],
    ])
    const half = 4.30265 * Math.sqrt(s2 * (1 + 1 / 4 + (6 - 2.5) ** 2 / 5))
    const { value, high } = predictY(fit, lineAt(6))
    expect(high! - value).toBeCloseTo(half, 4)
  })

  it('find any polynomial, and what every point left out is missed by', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: -3, max: 3, noNaN: true }), { minLength: 4, maxLength: 4 }),
        fc.array(fc.double({ min: -0.1, max: 0.1, noNaN: true }), { minLength: 7, maxLength: 7 }),
        (coefficients, noise) => {
          const rowAt = (x: number): number[] => [1, x, x ** 2, x ** 3]
          const exact = noise.map((_, i) => ({
            row: rowAt(i / 2),
            y: rowAt(i / 2).reduce((sum, v, j) => sum + v * coefficients[j], 0),
          }))
          for (const [j, c] of leastSquares(exact).coefficients.entries())
            expect(c).toBeCloseTo(coefficients[j], 9)
          const points = exact.map(({ row, y }, i) => ({ row, y: y + noise[i] }))
          for (const [i, off] of leastSquares(points).leftOut.entries()) {
            const others = leastSquares(points.filter((_, n) => n !== i))
            expect(off).toBeCloseTo(points[i].y - predictY(others, points[i].row).value, 9)
          }
        },
      ),
    )
    // The far point alone holds the slope: without it there is none.
    const alone = leastSquares([...onLine([1, 2, 3], [0, 0, 0]), { row: lineAt(5), y: 1 }])
    expect(alone.leftOut).toEqual([-1.5, 0, 1.5, null].map((v) => (v === null ? v : expect.closeTo(v, 9))))
  })

  it('hold 95% of new points in their intervals, in both directions', () => {
    let [inY, inX, trials] = [0, 0, 1500]
    for (let trial = 0; trial < trials; trial++) {
      const noise = new Float32Array(6)
      fillNormal(noise, streamKey(7, 'line', trial))
      const at = (i: number, x: number): number => 1 + 2 * x + 0.3 * noise[i]
      const fit = leastSquares(onLine([0, 1, 2, 3, 4].map((x, i) => at(i, x))))
      const y = at(5, 2.7)
      const [p, q] = [predictY(fit, lineAt(2.7)), solveX(fit, lineAt, y, 2)]
      if (p.low! < y && y < p.high!) inY++
      if (q.low! < 2.7 && 2.7 < q.high!) inX++
    }
    expect(inY / trials).toBeGreaterThan(0.93)
    expect(inY / trials).toBeLessThan(0.97)
    expect(inX).toBe(inY)
  })

  it('weigh by error', () => {
    const points = [0, 1, 2].map((x) => ({
      ...{ row: lineAt(x), y: x === 2 ? 5 : x },
      error: x === 2 ? 1e6 : 0.1,
    }))
    expect(leastSquares(points, 'errors').coefficients[1]).toBeCloseTo(1, 6)
    expect(leastSquares(points).coefficients[1]).toBeCloseTo(2.5, 12)
    const unknown = { row: lineAt(0), y: 0 }
    expect(() => leastSquares([unknown, points[1], points[2]], 'errors')).toThrow(/every point/)
  })

  it('say where the points do not determine the terms', () => {
    expect(() => leastSquares(onLine([1, 2], [3, 3]))).toThrow(/^2 points do not determine 2 terms; give/)
    expect(() => leastSquares(onLine([1]))).toThrow(/^1 point does not determine 2 terms/)
  })

  it('have no interval in x where y could be the same everywhere', () => {
    const fit = leastSquares(onLine([0, 5, -4, 7]))
    expect(fit.coefficients[1]).toBeGreaterThan(0)
    expect(solveX(fit, lineAt, 1, 0)).toMatchObject({ low: null, high: null })
  })
})

describe('fitRateLaw', () => {
  it("gives the paper's Table 2 within 4.6%, and they do not show a bend", () => {
    const law = fitRateLaw(table2)
    expect(law.k).toBeCloseTo(0.629, 3)
    for (const [i, rate] of [0.0361, 0.0578, 0.0792, 0.1003, 0.1212].entries()) {
      const { lossFactor, bias, bitsPerPixel } = table2[i]
      expect(Math.exp(law.a + law.k * (bias - keptNoise(lossFactor)))).toBeCloseTo(rate, 3)
      expect(Math.abs(rate / bitsPerPixel - 1)).toBeLessThan(0.046)
    }
    expect(law.kError).toBeGreaterThan(0)
    expect(law.line.fit).toMatchObject({ points: 5, errorsFrom: 'scatter' })
    expect(isBent(law)).toBe(false)
    expect(law.largestMisfit).toBeLessThan(0.046)
    expect(law.usual).toEqual({ lossFactor: 1.7, bias: -3 })
  })

  it('predicts the last row of Table 2 from the others, within its interval', () => {
    const rate = predictRate(fitRateLaw(table2.slice(0, 4)), table2[4])
    expect(rate.extrapolated).toBe(true)
    expect(rate.low).toBeLessThan(0.116)
    expect(rate.high).toBeGreaterThan(0.116)
    expect(Math.abs(rate.bitsPerPixel / 0.116 - 1)).toBeLessThan(0.1)
  })

  it('goes through two runs exactly, with the errors that they have', () => {
    const two = [onLaw(1.5, 1), onLaw(3, 2)]
    const unknown = fitRateLaw(two)
    expect([unknown.a, unknown.k]).toEqual([expect.closeTo(-2, 12), expect.closeTo(0.6, 12)])
    expect(unknown).toMatchObject({ aError: null, kError: null, line: { fit: { errorsFrom: 'unknown' } } })
    expect(predictRate(unknown, two[0])).toMatchObject({ low: null, high: null })
    const known = fitRateLaw(two.map((p) => ({ ...p, error: 0.02 * p.bitsPerPixel })))
    const distance = 1 - keptNoise(3) + keptNoise(1.5)
    expect(known.kError).toBeCloseTo((0.02 * Math.SQRT2) / distance, 12)
    // At a run: its own error, and that of the new one.
    const rate = predictRate(known, two[0])
    expect(Math.log(rate.high! / rate.bitsPerPixel)).toBeCloseTo(1.959964 * 0.02 * Math.SQRT2, 6)
  })

  it('refuses runs that differ in nothing, in one sentence', () => {
    expect(() => fitRateLaw([])).toThrow(/^there are no runs, but/)
    expect(() => fitRateLaw([onLaw(2, 1)])).toThrow(/^there is one setting, but/)
    const same = onLaw(2, 1)
    const traded = onLaw(3, 1 + keptNoise(3))
    expect(() => fitRateLaw([same, same, traded])).toThrow(/^all runs have the same b − u\(c_lf\), but/)
    expect(() => fitRateLaw([same, { ...same, bitsPerPixel: 0 }])).toThrow(/has collapsed/)
  })
})

describe('a law that bends', () => {
  /** ln R of second order, rising in both settings over what is measured here. */
  const logRate = (lossFactor: number, bias: number): number => {
    const x = bias - keptNoise(lossFactor)
    return -2 + 0.5 * x - 0.03 * x ** 2 - 0.1 * bias + 0.02 * bias * x - 0.02 * bias ** 2
  }
  const at = (lossFactor: number, bias: number, factor = 1): RatePoint => ({
    ...{ lossFactor, bias },
    bitsPerPixel: factor * Math.exp(logRate(lossFactor, bias)),
  })
  const grid = [0, 1, 2].flatMap((bias) => [1.5, 3, 6].map((c) => at(c, bias)))
  const law = fitRateLaw(grid)

  it('is found where settings at three biases show it, and predicts between them', () => {
    expect([isBent(law), law.surface.terms.length]).toEqual([true, 6])
    expect(law.largestMisfit).toBeLessThan(1e-9)
    expect(law.surface.largestLeftOut).toBeLessThan(1e-9)
    expect(law.line.largestLeftOut).toBeGreaterThan(0.05)
    for (const [c, b] of [
      [2, 0.5],
      [4.5, 1.7],
    ])
      expect(predictRate(law, at(c, b))).toMatchObject({
        bitsPerPixel: expect.closeTo(at(c, b).bitsPerPixel, 9),
        extrapolated: false,
      })
  })

  it('has as many terms as the settings can tell apart', () => {
    const sizes = (points: readonly RatePoint[]): number => fitRateLaw(points).surface.terms.length
    expect(sizes(grid.filter(({ bias }) => bias === 1))).toBe(2) // three settings: none is left to test a bend by
    expect(sizes([1.5, 2, 3, 6].map((c) => at(c, 1)))).toBe(3)
    expect(sizes([1, 2].flatMap((bias) => [1.5, 2, 3, 6].map((c) => at(c, bias))))).toBe(5)
    // On the line, or within a hundredth of it, nothing is added; and nothing for scatter that no term explains.
    expect(sizes([1.5, 2, 3, 4, 6].map((c) => onLaw(c, 1)))).toBe(2)
    expect(sizes([1.5, 2, 3, 4, 6].map((c, i) => onLaw(c, 1, i % 2 === 0 ? 1.05 : 0.95)))).toBe(2)
  })

  it('goes on straight beyond what was measured', () => {
    const rate = (u: number, b: number): number =>
      Math.log(predictRate(law, { lossFactor: 1 / smoothedSigmoid(u), bias: b }).bitsPerPixel)
    const [far, b] = [keptNoise(6), 1]
    const slope = (rate(far - 1e-5, b) - rate(far, b)) / 1e-5
    expect((rate(far, b) - rate(far + 1e-5, b)) / 1e-5).toBeCloseTo(slope, 4)
    expect(rate(far - 3, b) - rate(far, b)).toBeCloseTo(3 * slope, 4)
    expect(predictRate(law, { lossFactor: 6.1, bias: 1 }).extrapolated).toBe(true)
    expect(predictRate(law, { lossFactor: 3, bias: 2.1 }).extrapolated).toBe(true)
    // The edge in b, at a fixed loss factor.
    const up = (rate(0, 2.00001) - rate(0, 2)) / 1e-5
    expect((rate(0, 2) - rate(0, 1.99999)) / 1e-5).toBeCloseTo(up, 4)
    expect(rate(0, 5) - rate(0, 2)).toBeCloseTo(3 * up, 4)
  })

  it('is undone by a plan at every bias, also as JSON', () => {
    const copy = JSON.parse(JSON.stringify(law)) as typeof law
    fc.assert(
      fc.property(
        fc.double({ min: 0.02, max: 0.6, noNaN: true }),
        fc.double({ min: -1, max: 3, noNaN: true }),
        (rate, bias) => {
          const { atBias, atLossFactor } = planRate(law, rate, { bias })
          for (const way of [atBias!, atLossFactor!])
            expect(predictRate(law, way).bitsPerPixel / rate).toBeCloseTo(1, 9)
          expect(planRate(copy, rate, { bias })).toEqual(planRate(law, rate, { bias }))
        },
      ),
    )
  })

  it('proposes nothing where the rate does not rise from end to end', () => {
    // Over b it turns at 1.
    const turning = [0, 1, 2].flatMap((bias) =>
      [1.5, 3, 6].map((lossFactor) => ({
        ...{ lossFactor, bias },
        bitsPerPixel: Math.exp(-2 - 0.4 * keptNoise(lossFactor) - 0.3 * (bias - 1) ** 2),
      })),
    )
    const plan = planRate(fitRateLaw(turning), 0.15)
    expect(plan.atLossFactor).toBeNull()
    expect(plan.proposal).toBe(plan.atBias)
    expect(() => planRate(fitRateLaw(turning), 0.15, { lossFactor: 3 })).toThrow(
      /^the loss factor is given, and at loss factor 3 the rate does not rise with the bias, so 0\.15 bits/,
    )
    // Over c_lf it turns between 1.5 and 6.
    const folded = [1.5, 2, 3, 4, 6, 7].map((lossFactor) => ({
      ...{ lossFactor, bias: 1 },
      bitsPerPixel: Math.exp(-2 - 0.05 * keptNoise(lossFactor) - 0.2 * (keptNoise(lossFactor) + 1) ** 2),
    }))
    const bent = fitRateLaw(folded)
    expect(planRate(bent, 0.1)).toMatchObject({
      atBias: null,
      whyBias: 'at bias 1 the rate does not rise with the loss factor',
      proposal: { solvedFor: 'bias' },
      rate: { extrapolated: true },
    })
  })
})

describe('planRate', () => {
  it('is undone by predictRate', () => {
    const law = fitRateLaw(table2)
    fc.assert(
      fc.property(
        fc.double({ min: 1e-3, max: 3, noNaN: true }),
        fc.option(fc.double({ min: -6, max: 4, noNaN: true }), { nil: undefined }),
        (rate, bias) => {
          const plan = planRate(law, rate, { bias })
          expect(plan.rate.bitsPerPixel / rate).toBeCloseTo(1, 9)
          expect(predictRate(law, plan.atLossFactor!).bitsPerPixel / rate).toBeCloseTo(1, 9)
          if (plan.whyBias === null) expect(plan.proposal).toBe(plan.atBias)
        },
      ),
    )
  })

  it("proposes the table's own loss factors, the interval around them", () => {
    const law = fitRateLaw(table2)
    const { proposal, atLossFactor, rate } = planRate(law, 0.083)
    expect(proposal).toMatchObject({ solvedFor: 'lossFactor', bias: -3 })
    expect(proposal.lossFactor).toBeCloseTo(1.74, 2)
    expect(proposal.low).toBeLessThan(1.7)
    expect(proposal.high).toBeGreaterThan(1.75)
    expect(atLossFactor).toMatchObject({ solvedFor: 'bias', lossFactor: 1.7 })
    expect(rate.extrapolated).toBe(false)
    // The ends of the setting's interval are where the rate's interval ends at the wanted rate.
    expect(predictRate(law, { bias: -3, lossFactor: proposal.low! }).high).toBeCloseTo(0.083, 9)
    expect(predictRate(law, { bias: -3, lossFactor: proposal.high! }).low).toBeCloseTo(0.083, 9)
    expect(predictRate(law, { lossFactor: 1.7, bias: atLossFactor!.low! }).high).toBeCloseTo(0.083, 9)
  })

  it('turns to the bias where the loss factor is given or would go too far', () => {
    const law = fitRateLaw([onLaw(1.5, 1), onLaw(3, 1), onLaw(2, 1), onLaw(2, 2)])
    const far = planRate(law, 10)
    expect(far.proposal).toBe(far.atLossFactor)
    expect(far.whyBias).toMatch(/^at bias 1 the loss factor would be \d+\.\d+, outside 1\.05 to 8$/)
    expect(far.proposal.bias).toBeCloseTo((Math.log(10) + 2) / 0.6 + keptNoise(2), 9)
    expect(far.rate.extrapolated).toBe(true)
    expect(planRate(law, 0.2, { lossFactor: 1.5 })).toMatchObject({
      whyBias: 'the loss factor is given',
      proposal: { lossFactor: 1.5, bias: expect.closeTo((Math.log(0.2) + 2) / 0.6 + keptNoise(1.5), 9) },
    })
  })

  it('stays with the loss factor as far as runs have it', () => {
    const law = fitRateLaw([onLaw(2, 1), onLaw(8, 1), onLaw(32, 1)])
    const wanted = onLaw(20, 1).bitsPerPixel
    expect(planRate(law, wanted)).toMatchObject({
      whyBias: null,
      proposal: { solvedFor: 'lossFactor', bias: 1, lossFactor: expect.closeTo(20, 6) },
    })
    expect(planRate(law, onLaw(40, 1).bitsPerPixel).whyBias).toMatch(/outside 1\.05 to 32$/)
    // Of runs at low loss factors alone, 8 is the bound.
    expect(planRate(fitRateLaw([onLaw(2, 1), onLaw(4, 1)]), wanted).whyBias).toMatch(/outside 1\.05 to 8$/)
  })

  it('refuses what has no answer', () => {
    const law = fitRateLaw(table2)
    expect(() => planRate(law, 0)).toThrow(/above 0/)
    expect(() => planRate(law, 1, { bias: 1, lossFactor: 2 })).toThrow(/give one of the two/)
    const falling = fitRateLaw([onLaw(1.5, 1, 9), onLaw(3, 1)])
    expect(() => planRate(falling, 1)).toThrow(/does not rise with the loss factor/)
  })
})

describe('fitBudget', () => {
  /** Distances with their least at ln R = ln(best), three or more rates around it. */
  const runs = (flops: number, best: number, rates: readonly number[], noise: readonly number[] = []) =>
    rates.map((factor, i) => ({
      trainingFlops: flops,
      bitsPerPixel: best * factor,
      frechet: 3 + 2 * Math.log(factor) ** 2 + (noise[i] ?? 0),
    }))
  const around = [0.5, 0.8, 1.7]

  it('finds the vertices and the power law through them', () => {
    const law = fitBudget([1e15, 1e16, 1e17].flatMap((c) => runs(c, 0.2 * (c / 1e15) ** 0.25, around)))
    expect(law.missing).toBeNull()
    expect(law.optima.map(({ bitsPerPixel }) => bitsPerPixel)).toEqual(
      [0, 1, 2].map((n) => expect.closeTo(0.2 * 10 ** (n / 4), 9)),
    )
    expect(law.optima[0]).toMatchObject({ runs: 3, logError: null, frechet: expect.closeTo(3, 9) })
    expect(law.line!.coefficients[1]).toBeCloseTo(0.25, 9)
    expect(planBudget(law, 1e16)).toMatchObject({
      bitsPerPixel: expect.closeTo(0.2 * 10 ** 0.25, 9),
      extrapolated: false,
    })
    expect(planBudget(law, 1e18)).toMatchObject({ extrapolated: true })
  })

  it("has the error of the vertex from the runs' scatter about the parabola", () => {
    const five = [0.5, 0.75, 1, 1.4, 2]
    const noise = [0.02, -0.03, 0.01, 0.03, -0.02]
    const points = [...runs(1e15, 0.2, five, noise), ...runs(1e17, 0.4, five, noise)]
    const law = fitBudget(points)
    for (const { logError } of law.optima) expect(logError).toBeGreaterThan(0.005)
    expect(law.line!.errorsFrom).toBe('points')
    const { low, high } = planBudget(law, 1e16)
    expect(low).toBeLessThan(Math.sqrt(0.08))
    expect(high).toBeGreaterThan(Math.sqrt(0.08))
  })

  it('says what is missing', () => {
    const missing = (points: Parameters<typeof fitBudget>[0]): string => {
      const law = fitBudget(points)
      expect(() => planBudget(law, 1e16)).toThrow(law.missing!)
      return law.missing!
    }
    expect(missing([])).toMatch(/^a law .* takes two budgets.*\(there are none\)$/)
    const one = runs(1e15, 0.2, around)
    expect(missing(one)).toMatch(/\(1\.00e\+15 FLOPs: best at 0\.200 bits\/pixel\)$/)
    expect(missing([...one, ...runs(1e17, 0.4, [1, 2])])).toMatch(/1\.00e\+17 FLOPs: 2 rates, three are/)
    expect(missing([...one, ...runs(1e17, 0.4, [2, 3, 4])])).toMatch(/lies below all measured ones/)
    expect(missing([...one, ...runs(1e17, 0.4, [0.2, 0.3, 0.4])])).toMatch(/lies above all/)
    const upside = runs(1e17, 0.4, around).map((p) => ({ ...p, frechet: -p.frechet }))
    expect(missing([...one, ...upside])).toMatch(/do not curve upwards/)
    expect(() => fitBudget([{ ...one[0], trainingFlops: 0 }])).toThrow(/must be above 0/)
  })
})
