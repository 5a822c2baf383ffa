/** @file A rate by a fit of ln R. */
import { type Fit, predictY } from './leastSquares.ts'

/** A rate that a fit of ln R predicts, bits/pixel, with its 95% interval; bounds are null when unknown. */
export interface RateEstimate {
  readonly bitsPerPixel: number
  readonly low: number | null
  readonly high: number | null
  /** Whether the place lies outside the range of the points. */
  readonly extrapolated: boolean
}

/** e^y of a new point of a fit of ln R. @param row the terms there */
export const rateAt = (fit: Fit, row: readonly number[], extrapolated: boolean): RateEstimate => {
  const { value, low, high } = predictY(fit, row)
  return {
    bitsPerPixel: Math.exp(value),
    low: low === null ? null : Math.exp(low),
    high: high === null ? null : Math.exp(high),
    extrapolated,
  }
}
