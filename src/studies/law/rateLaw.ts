/**
 * @file How the latent's rate depends on the loss factor c_lf and the bias b of the decoder's sigmoid weight, and which
 * of them gives a wanted rate.
 *
 * The loss per image is R + c_lf·L_x with the decoder's weight sigmoid(b − λ) (Unified Latents, arXiv 2602.17270,
 * Figure 3). For independent Gaussian components and optimal networks a component that is known up to the variance
 * v = e^(−λ) costs −½·ln v nats of rate, and the derivative of the loss by v vanishes where the weight, smoothed by the
 * logistic density with which a denoiser at noise level λ' sees the component, is one: c_lf·G(b − λ) = 1, G being the
 * distribution function of the sum of two logistic variables. So everything above the variance e^(−λ*) is kept, with
 * λ* = b − u and G(u) = 1/c_lf. Images whose spectrum falls as a power of the frequency then have a rate that is a
 * power of e^(λ*), Shannon's reverse water-filling:
 *
 *   ln R = a + k·(b − u(c_lf)).
 *
 * Where runs show that it bends, rates are predicted by a polynomial of second order instead (rateSurface.ts).
 */
import { type Estimate, predictY, solveX } from './leastSquares.ts'
import { type RateEstimate, rateAt } from './rateEstimate.ts'
import { fitSurfaces, type Place, type RateSurface, termsAt } from './rateSurface.ts'

/** Below this |u| the closed form loses digits and its series is used. */
const seriesBelow = 0.1

/** G(−t) for t ≥ 0, exact to rounding relative to itself. */
const lowerTail = (t: number): number => {
  if (t < seriesBelow) return 0.5 - t * (1 / 6 - t ** 2 * (1 / 180 - t ** 2 * (1 / 5040 - t ** 2 / 151_200)))
  const missing = -Math.expm1(-t)
  return (Math.exp(-t) * (t - missing)) / missing ** 2
}

/**
 * G(u) = e^u·(e^u − 1 − u)/(e^u − 1)², the distribution function of the sum of two standard logistic variables: the
 * sigmoid weight as a component feels it, over all noise levels at once. G(0) = 1/2, G(−u) = 1 − G(u).
 */
export const smoothedSigmoid = (u: number): number => (u < 0 ? lowerTail(-u) : 1 - lowerTail(u))

/**
 * u(c_lf), the solution of G(u) = 1/c_lf: an ideal encoder keeps each component down to the noise level λ* = b − u.
 * @throws for c_lf ≤ 1, which keeps nothing: a bit of the latent costs more than the decoder can gain by it
 */
export const keptNoise = (lossFactor: number): number => {
  if (!(lossFactor > 1) || !Number.isFinite(lossFactor))
    throw new Error(
      `a loss factor of ${lossFactor} puts nothing into the latent; decoder.lossFactor must be above 1`,
    )
  // The smaller of G(u) and G(−u) is found, because it keeps its digits.
  const tail = Math.min(1, lossFactor - 1) / lossFactor
  let [low, high] = [0, 1]
  while (lowerTail(high) > tail) high *= 2
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2
    if (lowerTail(middle) > tail) low = middle
    else high = middle
  }
  const t = (low + high) / 2
  return lossFactor < 2 ? t : -t
}

/** The loss factor whose u is given: 1/G(u). */
const lossFactorOf = (u: number): number => 1 / smoothedSigmoid(u)

/** The two settings that decide the rate. */
export interface RateSetting {
  /** c_lf, above 1. */
  readonly lossFactor: number
  /** b, in units of log-SNR. */
  readonly bias: number
}

/** A measured rate. */
export interface RatePoint extends RateSetting {
  /** Latent bits per image element. */
  readonly bitsPerPixel: number
  /** Its standard error. */
  readonly error?: number | undefined
}

/** ln R = a + k·(b − u(c_lf)), fitted. */
export interface RateLaw {
  readonly a: number
  readonly k: number
  /** Standard errors; null when unknown. */
  readonly aError: number | null
  readonly kError: number | null
  /** The line itself. */
  readonly line: RateSurface
  /** What rates are predicted by: the line, or what predicts settings left out clearly better. */
  readonly surface: RateSurface
  /** Bias and loss factor that occur most often among the points. */
  readonly usual: RateSetting
  /** Least and greatest b − u(c_lf) among the points. */
  readonly keptRange: readonly [number, number]
  /** Greatest loss factor among the points. */
  readonly greatestLossFactor: number
  /** Largest |predicted/measured − 1| among the points. */
  readonly largestMisfit: number
}

/** One way to reach a rate: a setting, of which one part was solved for. */
export interface RateProposal extends RateSetting {
  readonly solvedFor: 'lossFactor' | 'bias'
  /** Values of the solved part that the law cannot tell from the best, at 95%; null when unknown or unbounded. */
  readonly low: number | null
  readonly high: number | null
}

/** How to reach a rate. */
export interface RatePlan {
  /** The proposal: one of the two alternatives. */
  readonly proposal: RateProposal
  /** Rate to expect there. */
  readonly rate: RateEstimate
  /** Why the bias is proposed and not the loss factor, in a few words; null when the loss factor is. */
  readonly whyBias: string | null
  /** The loss factor at the given or usual bias; null where the rate does not rise with it. */
  readonly atBias: RateProposal | null
  /** The bias at the given or usual loss factor; null where the rate does not rise with it. */
  readonly atLossFactor: RateProposal | null
}

/** Loss factors that a plan proposes, and up to the greatest that was measured: close to 1 the rate is all slope, far above the prior hardly counts. */
export const sensibleLossFactors: readonly [number, number] = [1.05, 8]

const placeOf = ({ lossFactor, bias }: RateSetting): Place => ({ noise: keptNoise(lossFactor), bias })

/** The value that occurs most often; of several the middle one. */
const mostCommon = (values: readonly number[]): number => {
  const counts = new Map<number, number>()
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1)
  const most = Math.max(...counts.values())
  const tied = [...counts.keys()].filter((value) => counts.get(value) === most).sort((x, y) => x - y)
  return tied[Math.floor((tied.length - 1) / 2)]
}

/**
 * Fits the law. Two settings give the line through them, with errors if theirs are known; three or more show by their
 * scatter how well it holds, four or more may bend it.
 * @param weights `equal` (the default: runs are usually measured on the same images, so that their scatter about the
 * law is not their standard error), or `errors`: by 1/(error/rate)²
 * @throws when fewer than two settings differ in b − u(c_lf), for c_lf ≤ 1, and for a rate that is not above 0
 */
export const fitRateLaw = (points: readonly RatePoint[], weights: 'equal' | 'errors' = 'equal'): RateLaw => {
  const flat = points.find(({ bitsPerPixel }) => !(bitsPerPixel > 0))
  if (flat !== undefined)
    throw new Error(
      `a run with a rate of ${flat.bitsPerPixel} bits/pixel has collapsed and follows no law; leave it out`,
    )
  const places = points.map((point) => ({
    ...placeOf(point),
    logRate: Math.log(point.bitsPerPixel),
    error: point.error === undefined ? undefined : point.error / point.bitsPerPixel,
  }))
  const kept = places.map(({ noise, bias }) => bias - noise)
  if (kept.every((x) => Math.abs(x - kept[0]) < 1e-9)) {
    const settings = points.length === 1 ? 'there is one setting' : 'all runs have the same b − u(c_lf)'
    throw new Error(
      `${points.length === 0 ? 'there are no runs' : settings}, but a rate law takes two that differ in it; train another with a different decoder.lossFactor or decoder.bias`,
    )
  }
  const { line, best } = fitSurfaces(places, weights)
  const [a, k] = line.fit.coefficients
  const errorOf = (i: number): number | null =>
    line.fit.covariance === null ? null : Math.sqrt(line.fit.covariance[i][i])
  return {
    ...{ a, k, aError: errorOf(0), kError: errorOf(1) },
    line,
    surface: best,
    usual: {
      lossFactor: mostCommon(points.map(({ lossFactor }) => lossFactor)),
      bias: mostCommon(points.map(({ bias }) => bias)),
    },
    keptRange: [Math.min(...kept), Math.max(...kept)],
    greatestLossFactor: Math.max(...points.map(({ lossFactor }) => lossFactor)),
    largestMisfit: Math.max(
      ...places.map((place) =>
        Math.abs(Math.expm1(predictY(best.fit, termsAt(best, place)).value - place.logRate)),
      ),
    ),
  }
}

const beyond = (value: number, [least, most]: readonly [number, number]): boolean =>
  value < least - 1e-9 || value > most + 1e-9

/** Whether rates are predicted by more than the line. */
export const isBent = ({ line, surface }: RateLaw): boolean => surface.terms.length > line.terms.length

/** Whether no run is near: a line asks for b − u(c_lf) among the measured ones, a bent law for u(c_lf). */
const isExtrapolated = (law: RateLaw, { noise, bias }: Place): boolean =>
  // That bias and loss factor stand for each other is the law's boldest claim: where no run had the bias, it is a guess.
  beyond(bias, law.surface.biasRange) ||
  (isBent(law) ? beyond(noise, law.surface.noiseRange) : beyond(bias - noise, law.keptRange))

/** Rate to expect of one new run, in bits/pixel, with the 95% interval. @throws for c_lf ≤ 1 */
export const predictRate = (law: RateLaw, setting: RateSetting): RateEstimate => {
  const place = placeOf(setting)
  return rateAt(law.surface.fit, termsAt(law.surface, place), isExtrapolated(law, place))
}

/** Places that are passed through as one part of the setting changes: where x = b − u(c_lf) is the given one. */
type Path = (x: number) => Place

/**
 * The x on a path at which ln R is y; null where ln R does not rise from end to end.
 * @param edges least and greatest x of the path within the measured ranges
 */
const alongPath = (
  surface: RateSurface,
  path: Path,
  edges: readonly [number, number],
  y: number,
): Estimate | null => {
  const rowAt = (x: number): number[] => termsAt(surface, path(x))
  const value = (x: number): number => predictY(surface.fit, rowAt(x)).value
  const [least, most] = edges
  // Within the edges the slope is a line, beyond them it stays: it is above 0 throughout if it is at both.
  if (!(value(least) > value(least - 1) && value(most + 1) > value(most))) return null
  return solveX(surface.fit, rowAt, y, (least + most) / 2)
}

/** The loss factor for ln R = y at a bias. */
const lossFactorFor = ({ surface }: RateLaw, bias: number, y: number): RateProposal | null => {
  const [least, most] = surface.noiseRange
  const x = alongPath(surface, (x) => ({ noise: bias - x, bias }), [bias - most, bias - least], y)
  if (x === null) return null
  const at = (value: number | null): number | null => (value === null ? null : lossFactorOf(bias - value))
  return {
    solvedFor: 'lossFactor',
    lossFactor: lossFactorOf(bias - x.value),
    bias,
    low: at(x.low),
    high: at(x.high),
  }
}

/** The bias for ln R = y at a loss factor. */
const biasFor = ({ surface }: RateLaw, lossFactor: number, y: number): RateProposal | null => {
  const noise = keptNoise(lossFactor)
  const [least, most] = surface.biasRange
  const x = alongPath(surface, (x) => ({ noise, bias: x + noise }), [least - noise, most - noise], y)
  if (x === null) return null
  const at = (value: number | null): number | null => (value === null ? null : value + noise)
  return { solvedFor: 'bias', lossFactor, bias: x.value + noise, low: at(x.low), high: at(x.high) }
}

/** Why the bias is to be planned, in a few words; null when the loss factor is. */
const whyTheBias = (
  law: RateLaw,
  given: Partial<RateSetting>,
  atBias: RateProposal | null,
): string | null => {
  if (given.lossFactor !== undefined) return 'the loss factor is given'
  const bias = given.bias ?? law.usual.bias
  if (atBias === null) return `at bias ${bias} the rate does not rise with the loss factor`
  const [least, usualMost] = sensibleLossFactors
  const most = Math.max(usualMost, law.greatestLossFactor)
  return atBias.lossFactor >= least && atBias.lossFactor <= most
    ? null
    : `at bias ${bias} the loss factor would be ${atBias.lossFactor.toPrecision(4)}, outside ${least} to ${most}`
}

/**
 * The setting that gives a rate: the loss factor at the given (or the points' usual) bias, or the bias where the loss
 * factor is given or would leave {@link sensibleLossFactors} and those that were measured.
 * @param bitsPerPixel the wanted rate, above 0
 * @throws when both settings are given, when the rate is not above 0, and for a law whose rate does not rise
 */
export const planRate = (
  law: RateLaw,
  bitsPerPixel: number,
  given: { readonly bias?: number | undefined; readonly lossFactor?: number | undefined } = {},
): RatePlan => {
  if (!(bitsPerPixel > 0) || !Number.isFinite(bitsPerPixel))
    throw new Error(`a rate of ${bitsPerPixel} bits/pixel cannot be planned; give a number above 0`)
  if (given.bias !== undefined && given.lossFactor !== undefined)
    throw new Error('bias and loss factor are both given, so the rate is fixed by them; give one of the two')
  if (!(law.k > 0))
    throw new Error(
      `the runs' rate does not rise with the loss factor (k = ${law.k.toPrecision(3)}), so the law does not hold for them; look for a collapsed or unfinished run`,
    )
  const y = Math.log(bitsPerPixel)
  const atBias = lossFactorFor(law, given.bias ?? law.usual.bias, y)
  const atLossFactor = biasFor(law, given.lossFactor ?? law.usual.lossFactor, y)
  const whyBias = whyTheBias(law, given, atBias)
  const proposal = whyBias === null ? atBias : atLossFactor
  if (proposal === null)
    throw new Error(
      `${whyBias}, and at loss factor ${given.lossFactor ?? law.usual.lossFactor} the rate does not rise with the bias, so ${bitsPerPixel} bits/pixel cannot be planned; give another bias or loss factor`,
    )
  return { proposal, rate: predictRate(law, proposal), whyBias, atBias, atLossFactor }
}
