/** @file A metric over steps in as many parts as a chart shows: the least, the greatest and the mean of each. */
import type { Series } from './api.ts'
import type { Block } from './block.ts'

/** Which steps, and in how many parts at most. */
export interface SeriesRange {
  /** First and last step; all where left out. */
  readonly from?: number | undefined
  readonly to?: number | undefined
  readonly points: number
}

/** Rows in the order of their steps. */
type Rows = Readonly<Record<'step' | 'min' | 'max' | 'mean' | 'lines', Float64Array>>

/** The first row whose step is `at` or more. */
const firstFrom = ({ step, rows }: Block, at: number): number => {
  let [low, high] = [0, rows]
  while (low < high) {
    const middle = (low + high) >> 1
    if (step[middle] < at) low = middle + 1
    else high = middle
  }
  return low
}

/** The rows of a block in a range, as they lie there. */
const rowsIn = (block: Block, metric: string, { from, to }: SeriesRange): Rows => {
  const { step, linesPerRow, rows } = block
  const { min, max, mean } = block.column(metric)
  const first = from === undefined ? 0 : firstFrom(block, from)
  const end = to === undefined ? rows : Math.max(first, firstFrom(block, to + 1))
  const own = (column: Float64Array): Float64Array => column.subarray(first, end)
  const lines = new Float64Array(end - first).fill(linesPerRow)
  return { step: own(step), min: own(min), max: own(max), mean: own(mean), lines }
}

const names = ['step', 'min', 'max', 'mean', 'lines'] as const

/** The rows of several kinds of lines as one. */
const merged = (parts: readonly Rows[]): Rows => {
  if (parts.length === 1) return parts[0]
  const all = (name: (typeof names)[number]): Float64Array =>
    Float64Array.from(parts.flatMap((part) => [...part[name]]))
  const step = all('step')
  const order = Uint32Array.from(step.keys()).sort((a, b) => step[a] - step[b] || a - b)
  const [, min, max, mean, lines] = names.map((name) => {
    const column = all(name)
    return Float64Array.from(order, (row) => column[row])
  })
  return { step: Float64Array.from(order, (row) => step[row]), min, max, mean, lines }
}

/** The metric in parts of equally many lines; lines without a number in it do not count. */
export const seriesOf = (blocks: readonly Block[], metric: string, range: SeriesRange): Series => {
  const series = { step: [] as number[], min: [] as number[], max: [] as number[], mean: [] as number[] }
  if (blocks.length === 0) return { ...series, count: 0 }
  const rows = merged(blocks.map((block) => rowsIn(block, metric, range)))
  const { length } = rows.step
  const parts = Math.min(range.points, length)
  let count = 0
  for (let part = 0; part < parts; part++) {
    const first = Math.floor((part * length) / parts)
    const end = Math.floor(((part + 1) * length) / parts)
    let [min, max, sum, lines] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, 0]
    for (let i = first; i < end; i++) {
      const mean = rows.mean[i]
      if (Number.isNaN(mean)) continue
      if (rows.min[i] < min) min = rows.min[i]
      if (rows.max[i] > max) max = rows.max[i]
      sum += mean * rows.lines[i]
      lines += rows.lines[i]
    }
    if (lines === 0) continue
    series.step.push(rows.step[end - 1])
    series.min.push(min)
    series.max.push(max)
    series.mean.push(sum / lines)
    count += lines
  }
  return { ...series, count }
}
