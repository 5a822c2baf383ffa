/** @file From runs' series to what uPlot draws: aligned columns, a line and a band for each run. */
import uPlot from 'uplot'
import { formatNumber, logTicks } from '../../../../src/report/ticks.ts'
import { type DetailedSeries, drawable } from '../data/series.ts'
import { smooth } from '../data/smooth.ts'

/** One run's curve. */
export interface Curve {
  readonly run: string
  readonly series: DetailedSeries
}

/** How curves are drawn. */
export interface CurveStyle {
  readonly log: boolean
  /** Whether a smooth line is drawn over the values. */
  readonly isSmooth: boolean
}

/** Columns of a run: the line, what it was before smoothing, the least and the greatest of each part. */
export const columnsPerRun = 4

/**
 * Steps of all runs, and each run's columns over them; what a run lacks there is bridged, a gap of its own stays.
 * @param log whether there is no place for values up to zero
 * @param weight of smoothing; 0 for none
 */
export const columnsOf = (curves: readonly Curve[], log: boolean, weight: number): uPlot.AlignedData => {
  if (curves.length === 0) return [[]]
  const tables = curves.map(({ series }): uPlot.AlignedData => {
    const { step, mean, min, max, lines } = series
    const raw = drawable(mean, log)
    const line = weight === 0 ? raw : smooth(raw, lines, weight)
    return [[...step], line, raw, drawable(min, log), drawable(max, log)]
  })
  return tables.length === 1 ? tables[0] : uPlot.join(tables)
}

/** A colour of the design, which a canvas must have as a value. */
const colourOf = (element: Element, name: string): string =>
  getComputedStyle(element).getPropertyValue(name).trim()

/** How one run looks. */
export interface RunLook {
  readonly colour: number
  readonly round: number
}

const runSeries = (colour: string, { round }: RunLook, isSmooth: boolean): uPlot.Series[] => {
  const none: uPlot.Series = { points: { show: false }, width: 0, stroke: 'transparent' }
  const dash = round === 0 ? {} : { dash: [6 / round, 3] }
  const isSingle = (u: uPlot, i: number): boolean => (u.data[i]?.length ?? 0) < 40
  return [
    { stroke: colour, width: 2, ...dash, points: { show: isSingle, size: 5, fill: colour } },
    isSmooth ? { stroke: `${colour}55`, width: 1, points: { show: false } } : none,
    none,
    none,
  ]
}

/** The look of a chart that does not change with its data. */
export const chartOptions = (
  element: HTMLElement,
  looks: readonly RunLook[],
  { log, isSmooth }: CurveStyle,
): Pick<uPlot.Options, 'axes' | 'series' | 'bands' | 'legend' | 'padding'> => {
  const [ink, line] = ['--ink-soft', '--line'].map((name) => colourOf(element, name))
  const colours = looks.map(({ colour }) => colourOf(element, `--series-${colour}`))
  const axis: uPlot.Axis = {
    stroke: ink,
    grid: { stroke: line, width: 1 },
    ticks: { show: false },
    font: `12px ${getComputedStyle(element).fontFamily}`,
    gap: 6,
    values: (_, ticks) => ticks.map((tick) => formatNumber(tick)),
  }
  const logAxis: uPlot.Axis = {
    splits: (_u, _axis, low, high) => logTicks(low, high, 5),
    filter: (_, ticks) => ticks,
  }
  return {
    legend: { show: false },
    padding: [8, 20, 0, 0],
    axes: [
      { ...axis, grid: { show: false }, size: 30 },
      { ...axis, size: 52, space: 36, ...(log ? logAxis : {}) },
    ],
    series: [{}, ...looks.flatMap((look, i) => runSeries(colours[i], look, isSmooth))],
    bands: looks.map((_, i) => {
      const first = i * columnsPerRun
      return { series: [first + 4, first + 3] as uPlot.Band.Bounds, fill: `${colours[i]}26` }
    }),
  }
}
