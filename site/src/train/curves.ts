/** @file The curves of a run in the page, from its log. */
import { autoencoder, type MetricRecord, type StageCurve } from '../../../src/tab/page.ts'

/** Those of stage 1 that the page shows: rate, decoder loss, PSNR. */
export const curves: readonly StageCurve[] = autoencoder.curves.filter(({ metric }) => metric !== 'latentRms')

/** Steps and values of a curve. */
export interface Points {
  readonly steps: readonly number[]
  readonly values: readonly number[]
}

/** A metric's points in a log, in their order. */
export const curveOf = (log: readonly MetricRecord[], metric: string): Points => {
  const points = log.flatMap(({ step, [metric]: value }) =>
    typeof value === 'number' ? [[step, value] as const] : [],
  )
  return { steps: points.map(([step]) => step), values: points.map(([, value]) => value) }
}
