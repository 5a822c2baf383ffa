/**
 * @file A straight line through measured points by least squares, with what is known of its errors: Student's t where
 * the points' scatter shows them, the points' own standard errors where two points leave no scatter.
 */

/** One measured point. */
export interface LinePoint {
  readonly x: number
  readonly y: number
  /** Standard error of y, if known. */
  readonly error?: number | undefined
}

/** A fitted line y = intercept + slope·x. */
export interface Line {
  readonly intercept: number
  readonly slope: number
  /** Number of points. */
  readonly points: number
  /** Smallest and largest x among them. */
  readonly xRange: readonly [number, number]
  /**
   * Where the errors come from: the scatter about the line (three points or more), the standard errors of two points
   * (they say nothing of how well a line describes the matter), or nowhere.
   */
  readonly errorsFrom: 'scatter' | 'points' | 'unknown'
  /** Standard deviation about the line, over points − 2 degrees of freedom; null below three points. */
  readonly residualSd: number | null
  /** Covariance of (intercept, slope): [var, cov, var]; null when unknown. */
  readonly covariance: readonly [number, number, number] | null
  /** Variance of one new point about the true line; null when unknown. */
  readonly newPointVariance: number | null
  /** How many standard errors a two-sided 95% interval reaches to each side. */
  readonly quantile: number
}

/** A value with its 95% interval; the bounds are null when unknown. */
export interface Estimate {
  readonly value: number
  readonly low: number | null
  readonly high: number | null
}

/** Probability that |t| stays below √n·tan θ for n degrees of freedom (Abramowitz & Stegun 1964, 26.7.3 and 26.7.4). */
const shareWithin = (theta: number, n: number): number => {
  const [sin, cos] = [Math.sin(theta), Math.cos(theta)]
  let term = n % 2 === 0 ? 1 : cos
  let sum = n === 1 ? 0 : term
  for (let i = n % 2 === 0 ? 1 : 2; i <= n - 3; i += 2) {
    term *= (i / (i + 1)) * cos * cos
    sum += term
  }
  return n % 2 === 0 ? sin * sum : (2 / Math.PI) * (theta + sin * sum)
}

/** Half-width of the two-sided 95% interval of Student's t, in standard errors. @param degrees a whole number from 1 on */
export const studentQuantile = (degrees: number): number => {
  let [low, high] = [0, Math.PI / 2]
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2
    if (shareWithin(middle, degrees) < 0.95) low = middle
    else high = middle
  }
  return Math.sqrt(degrees) * Math.tan((low + high) / 2)
}

/** The same for a normal distribution. */
const normalQuantile = 1.959964

/**
 * Least squares.
 * @param weights `equal`, or `errors`: each point by 1/error², relative to the others
 * @throws when all x are equal, below two points, and when weights are asked for that are not there
 */
export const fitLine = (points: readonly LinePoint[], weights: 'equal' | 'errors' = 'equal'): Line => {
  const n = points.length
  const xs = points.map(({ x }) => x)
  const xRange = [Math.min(...xs), Math.max(...xs)] as const
  if (n < 2 || xRange[1] - xRange[0] <= 1e-9 * Math.max(1, Math.abs(xRange[0])))
    throw new Error(`a line needs points at two or more places, these are ${n} at one`)
  const errors = points.map(({ error }) => error ?? 0)
  const known = errors.every((error) => error > 0)
  if (weights === 'errors' && !known)
    throw new Error('weights by error need an error above 0 for every point')
  // Two points fix the line whatever their weights, and with theirs intercept and slope have errors.
  const weighted = weights === 'errors' || (n === 2 && known)
  const raw = errors.map((error) => (weighted ? 1 / error ** 2 : 1))
  const scale = n === 2 ? 1 : n / raw.reduce((a, b) => a + b, 0)
  const w = raw.map((value) => value * scale)
  const total = (of: (i: number) => number): number => w.reduce((sum, weight, i) => sum + weight * of(i), 0)
  const [sum, meanX, meanY] = [total(() => 1), total((i) => xs[i]), total((i) => points[i].y)]
  const [cx, cy] = [meanX / sum, meanY / sum]
  const spread = total((i) => (xs[i] - cx) ** 2)
  const slope = total((i) => (xs[i] - cx) * (points[i].y - cy)) / spread
  const errorsFrom = n > 2 ? 'scatter' : known ? 'points' : 'unknown'
  const residual = total((i) => (points[i].y - cy - slope * (xs[i] - cx)) ** 2) / Math.max(1, n - 2)
  const unit = errorsFrom === 'scatter' ? residual : 1
  return {
    intercept: cy - slope * cx,
    slope,
    points: n,
    xRange,
    errorsFrom,
    residualSd: n > 2 ? Math.sqrt(residual) : null,
    covariance:
      errorsFrom === 'unknown'
        ? null
        : [unit * (1 / sum + cx ** 2 / spread), (-unit * cx) / spread, unit / spread],
    newPointVariance:
      errorsFrom === 'scatter'
        ? residual
        : errorsFrom === 'points'
          ? errors.reduce((a, error) => a + error ** 2, 0) / n
          : null,
    quantile: n > 2 ? studentQuantile(n - 2) : normalQuantile,
  }
}

/** y of a new point at x, with its 95% prediction interval. */
export const predictY = (line: Line, x: number): Estimate => {
  const value = line.intercept + line.slope * x
  if (line.covariance === null || line.newPointVariance === null) return { value, low: null, high: null }
  const [v0, v01, v1] = line.covariance
  const half = line.quantile * Math.sqrt(v0 + 2 * x * v01 + x ** 2 * v1 + line.newPointVariance)
  return { value, low: value - half, high: value + half }
}

/**
 * The x of a new point with the given y, and every x whose prediction interval holds that y (Fieller 1954). The bounds
 * are null when that is no interval: the slope could be 0.
 */
export const solveX = (line: Line, y: number): Estimate => {
  const value = (y - line.intercept) / line.slope
  if (line.covariance === null || line.newPointVariance === null) return { value, low: null, high: null }
  const [v0, v01, v1] = line.covariance
  const q2 = line.quantile ** 2
  // (y − intercept − slope·x)² ≤ q²·(v0 + 2·x·v01 + x²·v1 + new): a quadratic a·x² − 2·b·x + c ≤ 0.
  const rest = y - line.intercept
  const a = line.slope ** 2 - q2 * v1
  const b = line.slope * rest + q2 * v01
  const c = rest ** 2 - q2 * (v0 + line.newPointVariance)
  if (a <= 0) return { value, low: null, high: null }
  const root = Math.sqrt(Math.max(0, b ** 2 - a * c))
  return { value, low: (b - root) / a, high: (b + root) / a }
}

/** A rate that a line of ln R predicts, bits/pixel, with its 95% interval; bounds are null when unknown. */
export interface RateEstimate {
  readonly bitsPerPixel: number
  readonly low: number | null
  readonly high: number | null
  /** Whether x, or the setting behind it, lies outside the range of the points. */
  readonly extrapolated: boolean
}

/** e^y of a new point at x of a line of ln R. */
export const rateAt = (line: Line, x: number): RateEstimate => {
  const { value, low, high } = predictY(line, x)
  const [least, most] = line.xRange
  return {
    bitsPerPixel: Math.exp(value),
    low: low === null ? null : Math.exp(low),
    high: high === null ? null : Math.exp(high),
    extrapolated: x < least - 1e-9 || x > most + 1e-9,
  }
}
