/** @file A metric's parts as they come from the server: growing at the end, fetched anew when it must be, ready to draw. */
import type { Series } from '../../../../src/studio/api.ts'

/** Nothing yet. */
export const noSeries: Series = { step: [], min: [], max: [], mean: [], count: 0 }

/** The last step that is known; −1 of nothing. */
export const lastStep = ({ step }: Series): number => step.at(-1) ?? -1

/**
 * A series with what came since. Parts of the tail up to the last known step are left out.
 * @param tail asked for from the step behind `lastStep`
 */
export const extended = (series: Series, tail: Series): Series => {
  const first = tail.step.findIndex((step) => step > lastStep(series))
  if (first < 0) return series
  const join = (name: 'step' | 'min' | 'max' | 'mean'): number[] => [
    ...series[name],
    ...tail[name].slice(first),
  ]
  return {
    step: join('step'),
    min: join('min'),
    max: join('max'),
    mean: join('mean'),
    count: series.count + tail.count,
  }
}

/** Whether so much was added in small parts that the series has grown out of what is drawn, `points` parts. */
export const isOutgrown = ({ step }: Series, points: number): boolean => step.length > 2 * points

/** How many lines of the log each part stands for, on average. */
export const linesPerPart = ({ step, count }: Series): number[] =>
  step.map(() => Math.max(count / step.length, 1))

/** A series whose parts stand for more or fewer lines of the log. */
export interface DetailedSeries extends Series {
  readonly lines: readonly number[]
}

/** A series with more detail in some of its steps: the parts before them, those of the detail, the parts behind. */
export const withDetail = (
  series: Series,
  detail: Series,
): Series & { readonly lines: readonly number[] } => {
  const [first, last] = [detail.step[0] ?? Number.POSITIVE_INFINITY, lastStep(detail)]
  const before = series.step.filter((step) => step < first).length
  const behind = series.step.findIndex((step) => step > last)
  const put = (own: readonly number[], inner: readonly number[]): number[] => [
    ...own.slice(0, before),
    ...inner,
    ...(behind < before ? [] : own.slice(behind)),
  ]
  return {
    step: put(series.step, detail.step),
    min: put(series.min, detail.min),
    max: put(series.max, detail.max),
    mean: put(series.mean, detail.mean),
    count: series.count,
    lines: put(linesPerPart(series), linesPerPart(detail)),
  }
}

/** Values as they can be drawn: on a logarithmic axis there is no place for zero and below, and the line has a gap. */
export const drawable = (values: readonly number[], log: boolean): (number | null)[] =>
  values.map((value) => (Number.isFinite(value) && (!log || value > 0) ? value : null))

/** The value of the part at or before a step; null before the first. Steps grow. */
export const valueAt = (
  steps: readonly number[],
  values: readonly (number | null)[],
  step: number,
): number | null => {
  let [low, high] = [0, steps.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (steps[middle] <= step) low = middle + 1
    else high = middle
  }
  return values[low - 1] ?? null
}
