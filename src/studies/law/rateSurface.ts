/**
 * @file ln R as a polynomial of the kept noise level x = b − u(c_lf) and the bias b. The law of rateLaw.ts is its line in x. Finite
 * images and short training bend it, and a step of the bias counts for less than one of u: where enough settings were
 * measured, terms of second order are added, if settings that are left out are then clearly better predicted.
 */
import { type Fit, type FitPoint, isDetermined, leastSquares } from './leastSquares.ts'

/** Where a rate was measured or is asked for. */
export interface Place {
  /** u(c_lf). */
  readonly noise: number
  /** b. */
  readonly bias: number
}

/** A place and its ln R. */
export interface MeasuredPlace extends Place {
  readonly logRate: number
  /** Standard error of ln R, if known. */
  readonly error?: number | undefined
}

/** A term: the powers of x and of b. */
export type Term = readonly [byX: number, byBias: number]

/** A fitted polynomial of ln R, in terms of JSON. */
export interface RateSurface {
  readonly terms: readonly Term[]
  /** Least and greatest u and b that were measured. Beyond them the polynomial goes on straight, by its slope there. */
  readonly noiseRange: readonly [number, number]
  readonly biasRange: readonly [number, number]
  readonly fit: Fit
  /** Largest |predicted/measured − 1| of a rate by the fit to all other settings; null where these do not determine one. */
  readonly largestLeftOut: number | null
}

/** The law of rateLaw.ts. */
const line: readonly Term[] = [
  [0, 0],
  [1, 0],
]

/** What may be fitted, the fewest terms first. */
const shapes: readonly (readonly Term[])[] = [
  line,
  [...line, [2, 0]],
  [...line, [0, 1]],
  [...line, [2, 0], [0, 1]],
  [...line, [2, 0], [0, 1], [1, 1]],
  [...line, [2, 0], [0, 1], [1, 1], [0, 2]],
]

/** More terms have to bring the root mean square error at settings left out below this share of what it was. */
const clearlyBetter = 0.7
/** An error of ln R that needs no more terms. */
const goodEnough = 0.01

const inside = (value: number, [least, most]: readonly [number, number]): number =>
  Math.min(most, Math.max(least, value))

/** The terms at a place: beyond the measured ranges by their slopes at the edge. */
export const termsAt = (
  { terms, noiseRange, biasRange }: Pick<RateSurface, 'terms' | 'noiseRange' | 'biasRange'>,
  { noise, bias }: Place,
): number[] => {
  const b = inside(bias, biasRange)
  const x = b - inside(noise, noiseRange)
  const [dx, db] = [bias - noise - x, bias - b]
  const power = (base: number, exponent: number): number => (exponent === 0 ? 1 : base ** exponent)
  const slope = (base: number, exponent: number): number =>
    exponent === 0 ? 0 : exponent * power(base, exponent - 1)
  return terms.map(
    ([i, j]) => power(x, i) * power(b, j) + slope(x, i) * power(b, j) * dx + power(x, i) * slope(b, j) * db,
  )
}

const rangeOf = (values: readonly number[]): readonly [number, number] => [
  Math.min(...values),
  Math.max(...values),
]

const pointsOf = (
  surface: Pick<RateSurface, 'terms' | 'noiseRange' | 'biasRange'>,
  places: readonly MeasuredPlace[],
): FitPoint[] =>
  places.map((place) => ({ row: termsAt(surface, place), y: place.logRate, error: place.error }))

/** Root mean square of what settings left out are missed by; infinite where one cannot be left out. */
const leftOutError = ({ leftOut }: Fit): number =>
  Math.sqrt(
    leftOut.reduce<number>((sum, off) => sum + (off ?? Number.POSITIVE_INFINITY) ** 2, 0) / leftOut.length,
  )

/** Fits the given terms. @throws when the places do not determine them */
const surfaceOf = (
  terms: readonly Term[],
  places: readonly MeasuredPlace[],
  weights: 'equal' | 'errors',
): RateSurface => {
  const ranges = {
    noiseRange: rangeOf(places.map(({ noise }) => noise)),
    biasRange: rangeOf(places.map(({ bias }) => bias)),
  }
  const fit = leastSquares(pointsOf({ terms, ...ranges }, places), weights)
  const missed = fit.leftOut.flatMap((off) => (off === null ? [] : [Math.abs(Math.expm1(-off))]))
  const largestLeftOut = missed.length < places.length ? null : Math.max(...missed)
  return { terms, ...ranges, fit, largestLeftOut }
}

/**
 * The line of ln R over x, and what rates are predicted by: the line, or a polynomial of second order that predicts the settings
 * left out one by one clearly better.
 * @throws when the places are all at one x
 */
export const fitSurfaces = (
  places: readonly MeasuredPlace[],
  weights: 'equal' | 'errors',
): { readonly line: RateSurface; readonly best: RateSurface } => {
  const straight = surfaceOf(line, places, weights)
  let best = straight
  for (const terms of shapes.slice(1)) {
    // Without a point more than terms nothing says how well they hold.
    if (places.length <= terms.length || !isDetermined(pointsOf({ ...straight, terms }, places))) continue
    const surface = surfaceOf(terms, places, weights)
    const error = leftOutError(best.fit)
    if (error > goodEnough && leftOutError(surface.fit) < clearlyBetter * error) best = surface
  }
  return { line: straight, best }
}
