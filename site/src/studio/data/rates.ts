/** @file The slider of the planner: places from 0 to 1 on a logarithmic scale of rates around those that were measured. */
import type { ScatterPoint } from '../../../../src/studio/api.ts'

/** Least and greatest rate that can be asked for, bits per pixel. */
export type Rates = readonly [number, number]

/** A quarter beyond the rates that runs have; null where none has one. */
export const ratesAround = (points: readonly ScatterPoint[]): Rates | null => {
  const rates = points.map(({ figures }) => figures.bitsPerPixel).filter((rate) => rate > 0)
  return rates.length === 0 ? null : [Math.min(...rates) / 1.25, Math.max(...rates) * 1.25]
}

/** The rate at a place, with three digits that count. */
export const rateAt = ([low, high]: Rates, place: number): number =>
  Number((low * (high / low) ** place).toPrecision(3))

/** The place of a rate, within 0 and 1. */
export const placeOf = ([low, high]: Rates, rate: number): number =>
  high > low ? Math.min(Math.max(Math.log(rate / low) / Math.log(high / low), 0), 1) : 0
