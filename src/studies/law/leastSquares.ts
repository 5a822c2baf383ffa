/**
 * @file Least squares over rows of terms (a line, a parabola, a surface), with what is known of its errors: Student's t where the
 * points' scatter shows them, the points' own standard errors where there are no more points than terms.
 */

/** One measured point. */
export interface FitPoint {
  /** Values of the terms there, the constant's 1 among them. */
  readonly row: readonly number[]
  readonly y: number
  /** Standard error of y, if known. */
  readonly error?: number | undefined
}

/** Fitted: y is the sum of coefficients times terms. */
export interface Fit {
  readonly coefficients: readonly number[]
  /** Number of points. */
  readonly points: number
  /**
   * Where the errors come from: the scatter about the fit (more points than terms), the standard errors of as many points
   * as terms (they say nothing of how well the terms describe the matter), or nowhere.
   */
  readonly errorsFrom: 'scatter' | 'points' | 'unknown'
  /** Standard deviation about the fit, over points − terms degrees of freedom; null without any. */
  readonly residualSd: number | null
  /** Covariance of the coefficients; null when unknown. */
  readonly covariance: readonly (readonly number[])[] | null
  /** Variance of one new point about the true fit; null when unknown. */
  readonly newPointVariance: number | null
  /** How many standard errors a two-sided 95% interval reaches to each side. */
  readonly quantile: number
  /**
   * For each point its y less what the fit of all others says there (Allen 1974, doi 10.1080/00401706.1974.10489157); null
   * where they do not determine one.
   */
  readonly leftOut: readonly (number | null)[]
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

/** A column shorter than this share of itself, once the columns before it are taken out, depends on them. */
const dependent = 1e-9

const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, v, i) => sum + v * b[i], 0)

/** Columns as an orthonormal basis and the upper triangle of their coordinates; null where they depend on each other. */
const orthogonal = (
  columns: readonly (readonly number[])[],
): { readonly basis: readonly number[][]; readonly triangle: readonly number[][] } | null => {
  const basis: number[][] = []
  const triangle = columns.map(() => columns.map(() => 0))
  for (const [j, column] of columns.entries()) {
    let rest = [...column]
    for (const [i, unit] of basis.entries()) {
      const share = dot(unit, rest)
      triangle[i][j] = share
      rest = rest.map((v, n) => v - share * unit[n])
    }
    const length = Math.sqrt(dot(rest, rest))
    if (!(length > dependent * Math.sqrt(dot(column, column)))) return null
    triangle[j][j] = length
    basis.push(rest.map((v) => v / length))
  }
  return { basis, triangle }
}

/** Inverse of an upper triangle. */
const inverted = (triangle: readonly (readonly number[])[]): number[][] => {
  const inverse = triangle.map((row) => row.map(() => 0))
  for (let j = 0; j < triangle.length; j++)
    for (let i = j; i >= 0; i--) {
      let sum = i === j ? 1 : 0
      for (let k = i + 1; k <= j; k++) sum -= triangle[i][k] * inverse[k][j]
      inverse[i][j] = sum / triangle[i][i]
    }
  return inverse
}

const columnsOf = (points: readonly FitPoint[], weights: readonly number[]): number[][] =>
  (points[0]?.row ?? []).map((_, j) => points.map(({ row }, i) => Math.sqrt(weights[i]) * row[j]))

/** Whether points determine a coefficient for each of their terms. */
export const isDetermined = (points: readonly FitPoint[]): boolean =>
  points.length >= (points[0]?.row.length ?? 1) &&
  orthogonal(
    columnsOf(
      points,
      points.map(() => 1),
    ),
  ) !== null

/**
 * Least squares, by orthogonal columns.
 * @param weights `equal`, or `errors`: each point by 1/error², relative to the others
 * @throws when the points do not determine all terms, and when weights are asked for that are not there
 */
export const leastSquares = (points: readonly FitPoint[], weights: 'equal' | 'errors' = 'equal'): Fit => {
  const n = points.length
  const terms = points[0]?.row.length ?? 0
  const degrees = n - terms
  const errors = points.map(({ error }) => error ?? 0)
  const known = errors.every((error) => error > 0)
  if (weights === 'errors' && !known)
    throw new Error('weights by error need an error above 0 for every point')
  // As many points as terms fix the coefficients whatever their weights, and by theirs these have errors.
  const weighted = weights === 'errors' || (degrees === 0 && known)
  const raw = errors.map((error) => (weighted ? 1 / error ** 2 : 1))
  const scale = degrees === 0 ? 1 : n / raw.reduce((a, b) => a + b, 0)
  const w = raw.map((value) => value * scale)
  const parts = n < terms || n === 0 ? null : orthogonal(columnsOf(points, w))
  if (parts === null)
    throw new Error(
      `${n} ${n === 1 ? 'point does' : 'points do'} not determine ${terms} ${terms === 1 ? 'term' : 'terms'}; give points at more places`,
    )
  const inverse = inverted(parts.triangle)
  const right = parts.basis.map((unit) =>
    dot(
      unit,
      points.map(({ y }, i) => Math.sqrt(w[i]) * y),
    ),
  )
  const coefficients = inverse.map((row) => dot(row, right))
  const residuals = points.map(({ row, y }) => y - dot(coefficients, row))
  const variance = residuals.reduce((sum, r, i) => sum + w[i] * r ** 2, 0) / Math.max(1, degrees)
  const errorsFrom = degrees > 0 ? 'scatter' : known ? 'points' : 'unknown'
  const unit = errorsFrom === 'scatter' ? variance : 1
  return {
    coefficients,
    points: n,
    errorsFrom,
    residualSd: degrees > 0 ? Math.sqrt(variance) : null,
    covariance:
      errorsFrom === 'unknown' ? null : inverse.map((row) => inverse.map((other) => unit * dot(row, other))),
    newPointVariance:
      errorsFrom === 'scatter'
        ? variance
        : errorsFrom === 'points'
          ? errors.reduce((a, error) => a + error ** 2, 0) / n
          : null,
    quantile: degrees > 0 ? studentQuantile(degrees) : normalQuantile,
    leftOut: residuals.map((residual, i) => {
      const own = parts.basis.reduce((sum, column) => sum + column[i] ** 2, 0)
      return own > 1 - dependent ? null : residual / (1 - own)
    }),
  }
}

/** y of a new point with these terms, with its 95% prediction interval. */
export const predictY = (fit: Fit, row: readonly number[]): Estimate => {
  const value = dot(fit.coefficients, row)
  if (fit.covariance === null || fit.newPointVariance === null) return { value, low: null, high: null }
  const spread = dot(
    row,
    fit.covariance.map((line) => dot(line, row)),
  )
  const half = fit.quantile * Math.sqrt(Math.max(0, spread) + fit.newPointVariance)
  return { value, low: value - half, high: value + half }
}

/** How far from its start a root is looked for, in doublings of 1/64. */
const doublings = 48

/** Where a function that is below 0 at `from` and not at `to` reaches 0. */
const rootBetween = (f: (x: number) => number, from: number, to: number): number => {
  let [below, above] = [from, to]
  for (let i = 0; i < 200; i++) {
    const middle = (below + above) / 2
    if (middle === below || middle === above) break
    if (f(middle) < 0) below = middle
    else above = middle
  }
  return (below + above) / 2
}

/** The root of a function that has one in this direction and keeps its sign beyond; null when it has none. */
const rootTowards = (f: (x: number) => number, from: number, direction: 1 | -1): number | null => {
  const sign = f(from) < 0 ? 1 : -1
  const at = (i: number): number => from + (direction * 2 ** i) / 64
  if (sign * f(at(doublings)) < 0) return null
  let before = from
  for (let i = 0; i <= doublings; i++) {
    const here = at(i)
    if (sign * f(here) >= 0) return rootBetween((x) => sign * f(x), before, here)
    before = here
  }
  return null
}

/**
 * The x of a new point with the given y, and every x whose prediction interval holds that y (for a line: Fieller 1954). The
 * bounds are null when that is no interval: y could be the same everywhere.
 * @param rowAt terms at x, for which the fit rises in x from end to end
 * @param start where to begin to look
 */
export const solveX = (
  fit: Fit,
  rowAt: (x: number) => readonly number[],
  y: number,
  start: number,
): Estimate => {
  const off = (x: number): number => predictY(fit, rowAt(x)).value - y
  const value = rootTowards(off, start, off(start) < 0 ? 1 : -1)
  if (value === null)
    throw new Error(`no place was found where the fit is ${y}; it does not rise from end to end`)
  const bounds = predictY(fit, rowAt(value))
  if (bounds.low === null) return { value, low: null, high: null }
  const low = rootTowards((x) => predictY(fit, rowAt(x)).high! - y, value, -1)
  const high = rootTowards((x) => predictY(fit, rowAt(x)).low! - y, value, 1)
  return low === null || high === null ? { value, low: null, high: null } : { value, low, high }
}
