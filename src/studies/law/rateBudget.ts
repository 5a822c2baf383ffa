/**
 * @file Which latent rate is best for a base model of a given training budget. Larger base models do better with more
 * bits in the latent (Unified Latents, arXiv 2602.17270, Table 2). The route is that of isoFLOP curves (Hoffmann et al.
 * 2022, arXiv 2203.15556, approach 2): at each budget a parabola of the Fréchet distance over ln R gives the best rate
 * as its vertex, then ln R* = p + q·ln C through the vertices of several budgets.
 */

import { mean } from '../../metrics/mean.ts'
import { type Fit, leastSquares } from './leastSquares.ts'
import { type RateEstimate, rateAt } from './rateEstimate.ts'

/** One base model, trained and measured. */
export interface BudgetPoint {
  /** Rate of the latents that it was trained on. */
  readonly bitsPerPixel: number
  /** Floating-point operations of its training. */
  readonly trainingFlops: number
  /** Fréchet distance of its samples; smaller is better. */
  readonly frechet: number
}

/** The best rate at one budget. */
export interface BudgetOptimum {
  readonly trainingFlops: number
  readonly runs: number
  /** Rate at the parabola's vertex; null when the runs do not enclose one. */
  readonly bitsPerPixel: number | null
  /** Standard error of ln R*; null for three runs, through which the parabola is exact. */
  readonly logError: number | null
  /** Distance at the vertex. */
  readonly frechet: number | null
  /** Why there is no vertex, in a few words; null when there is one. */
  readonly lacks: string | null
}

/** What the runs say about budgets. */
export interface BudgetLaw {
  readonly optima: readonly BudgetOptimum[]
  /** ln R* by the terms 1 and ln C; null when fewer than two budgets have an optimum. */
  readonly line: Fit | null
  /** What is missing for a law, in one sentence; null when there is one. */
  readonly missing: string | null
}

/** Budgets within this factor of the smallest among them count as one. */
const sameBudget = 1.05

const optimumOf = (points: readonly BudgetPoint[]): BudgetOptimum => {
  const runs = points.length
  const trainingFlops = Math.exp(mean(points.map((p) => Math.log(p.trainingFlops))))
  const none = (lacks: string): BudgetOptimum => ({
    ...{ trainingFlops, runs, bitsPerPixel: null, logError: null, frechet: null },
    lacks,
  })
  const logs = points.map(({ bitsPerPixel }) => Math.log(bitsPerPixel))
  const different = new Set(logs.map((y) => y.toFixed(6))).size
  if (different < 3) return none(`${different} ${different === 1 ? 'rate' : 'rates'}, three are needed`)
  const centre = mean(logs)
  const fit = leastSquares(
    logs.map((y, n) => ({ row: [1, y - centre, (y - centre) ** 2], y: points[n].frechet })),
  )
  const [f, g, h] = fit.coefficients
  if (!(h > 0)) return none('the distances do not curve upwards over the rate')
  const vertex = -g / (2 * h)
  const best = centre + vertex
  if (best < Math.min(...logs)) return none('the best rate lies below all measured ones')
  if (best > Math.max(...logs)) return none('the best rate lies above all measured ones')
  // Vertex −g/(2h): derivatives −1/(2h) by g and g/(2h²) by h.
  const [dg, dh] = [-1 / (2 * h), g / (2 * h ** 2)]
  const { covariance } = fit
  return {
    trainingFlops,
    runs,
    bitsPerPixel: Math.exp(best),
    logError:
      covariance === null
        ? null
        : Math.sqrt(dg ** 2 * covariance[1][1] + 2 * dg * dh * covariance[1][2] + dh ** 2 * covariance[2][2]),
    frechet: f + g * vertex + h * vertex ** 2,
    lacks: null,
  }
}

const describe = ({ trainingFlops, bitsPerPixel, lacks }: BudgetOptimum): string =>
  `${trainingFlops.toPrecision(3)} FLOPs: ${lacks ?? `best at ${bitsPerPixel!.toPrecision(3)} bits/pixel`}`

/**
 * Best rates by budget, and their law where two or more budgets have one.
 * @throws when a rate, a budget or a distance is not above 0
 */
export const fitBudget = (points: readonly BudgetPoint[]): BudgetLaw => {
  for (const { bitsPerPixel, trainingFlops, frechet } of points) {
    if (!(bitsPerPixel > 0 && trainingFlops > 0 && Number.isFinite(frechet)))
      throw new Error(
        `a run of ${bitsPerPixel} bits/pixel, ${trainingFlops} FLOPs and distance ${frechet} cannot be used; rate and FLOPs must be above 0`,
      )
  }
  const groups: BudgetPoint[][] = []
  for (const point of [...points].sort((a, b) => a.trainingFlops - b.trainingFlops)) {
    const last = groups.at(-1)
    if (last !== undefined && point.trainingFlops <= sameBudget * last[0].trainingFlops) last.push(point)
    else groups.push([point])
  }
  const optima = groups.map(optimumOf)
  const found = optima.filter(({ bitsPerPixel }) => bitsPerPixel !== null)
  if (found.length < 2) {
    const state = optima.length === 0 ? 'there are none' : optima.map(describe).join('; ')
    return {
      optima,
      line: null,
      missing: `a law of the best rate takes two budgets, each with runs at three rates around its best (${state})`,
    }
  }
  const line = leastSquares(
    found.map(({ trainingFlops, bitsPerPixel, logError }) => ({
      row: [1, Math.log(trainingFlops)],
      y: Math.log(bitsPerPixel!),
      error: logError ?? undefined,
    })),
  )
  return { optima, line, missing: null }
}

/** The best rate for a base model of `trainingFlops`. @throws when the runs gave no law, saying what is missing */
export const planBudget = (law: BudgetLaw, trainingFlops: number): RateEstimate => {
  if (law.line === null) throw new Error(law.missing!)
  if (!(trainingFlops > 0))
    throw new Error(`a budget of ${trainingFlops} FLOPs is none; give a number above 0`)
  const measured = law.optima.filter(({ bitsPerPixel }) => bitsPerPixel !== null)
  const flops = measured.map((optimum) => optimum.trainingFlops)
  const [least, most] = [Math.min(...flops), Math.max(...flops)]
  const extrapolated = trainingFlops < least * (1 - 1e-9) || trainingFlops > most * (1 + 1e-9)
  return rateAt(law.line, [1, Math.log(trainingFlops)], extrapolated)
}
