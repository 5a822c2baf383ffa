/**
 * @file Which latent rate is best for a base model of a given training budget. Larger base models do better with more
 * bits in the latent (Unified Latents, arXiv 2602.17270, Table 2). The route is that of isoFLOP curves (Hoffmann et al.
 * 2022, arXiv 2203.15556, approach 2): at each budget a parabola of the Fréchet distance over ln R gives the best rate
 * as its vertex, then ln R* = p + q·ln C through the vertices of several budgets.
 */

import { mean } from '../../metrics/mean.ts'
import { fitLine, type Line, type RateEstimate, rateAt } from './lineFit.ts'

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
  /** ln R* over ln C; null when fewer than two budgets have an optimum. */
  readonly line: Line | null
  /** What is missing for a law, in one sentence; null when there is one. */
  readonly missing: string | null
}

/** Budgets within this factor of the smallest among them count as one. */
const sameBudget = 1.05

/** Inverse of a symmetric 3×3 matrix by cofactors. */
const inverse3 = (m: readonly (readonly number[])[]): number[][] => {
  const minor = (i: number, j: number): number => {
    const [r, s] = [0, 1, 2].filter((n) => n !== i) as [number, number]
    const [c, d] = [0, 1, 2].filter((n) => n !== j) as [number, number]
    return m[r][c] * m[s][d] - m[r][d] * m[s][c]
  }
  const sign = (i: number, j: number): number => ((i + j) % 2 === 0 ? 1 : -1)
  const determinant = [0, 1, 2].reduce((sum, j) => sum + sign(0, j) * m[0][j] * minor(0, j), 0)
  return [0, 1, 2].map((i) => [0, 1, 2].map((j) => (sign(i, j) * minor(j, i)) / determinant))
}

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
  const rows = logs.map((y) => [1, y - centre, (y - centre) ** 2])
  const normal = [0, 1, 2].map((i) => [0, 1, 2].map((j) => rows.reduce((s, r) => s + r[i] * r[j], 0)))
  const right = [0, 1, 2].map((i) => rows.reduce((s, r, n) => s + r[i] * points[n].frechet, 0))
  const inverse = inverse3(normal)
  const [f, g, h] = inverse.map((row) => row.reduce((s, v, j) => s + v * right[j], 0)) as [
    number,
    number,
    number,
  ]
  if (!(h > 0)) return none('the distances do not curve upwards over the rate')
  const vertex = -g / (2 * h)
  const best = centre + vertex
  if (best < Math.min(...logs)) return none('the best rate lies below all measured ones')
  if (best > Math.max(...logs)) return none('the best rate lies above all measured ones')
  const residual = rows.reduce((s, r, n) => s + (points[n].frechet - f - g * r[1] - h * r[2]) ** 2, 0)
  // Vertex −g/(2h): derivatives −1/(2h) by g and g/(2h²) by h.
  const [dg, dh] = [-1 / (2 * h), g / (2 * h ** 2)]
  const spread = dg ** 2 * inverse[1][1] + 2 * dg * dh * inverse[1][2] + dh ** 2 * inverse[2][2]
  return {
    trainingFlops,
    runs,
    bitsPerPixel: Math.exp(best),
    logError: runs > 3 ? Math.sqrt((residual / (runs - 3)) * spread) : null,
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
  const line = fitLine(
    found.map(({ trainingFlops, bitsPerPixel, logError }) => ({
      x: Math.log(trainingFlops),
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
  return rateAt(law.line, Math.log(trainingFlops))
}
