/** @file Curves as inline SVG: axes, grid, several series and a legend. Colours come from the page's style. */
import { escapeMarkup } from './escape.ts'
import { formatNumber, linearTicks, logTicks } from './ticks.ts'

/** One line of a plot. */
export interface Series {
  readonly name: string
  /** (x, y) in drawing order. Points that are not finite, and y ≤ 0 on a logarithmic axis, interrupt the line. */
  readonly points: readonly (readonly [number, number])[]
  /** Standard error of y, one for each point; drawn as a vertical line from y − error to y + error where above 0. */
  readonly errors?: readonly number[]
}

/** A plot. Labels carry the unit, as in `rate / bits per pixel`. */
export interface Curve {
  readonly title: string
  readonly xLabel: string
  readonly yLabel: string
  readonly logY?: boolean
  readonly series: readonly Series[]
}

/** The drawing's size in its own pixels, and the distances from its edges to the plot area. */
export const curveSize = { width: 560, height: 280, left: 52, right: 14, top: 10, bottom: 44 } as const

/** Number of line styles in the page's style; later series start again, dashed. */
export const seriesColours = 6

/** Series with at most this many points get a mark at each. */
const mostMarks = 30

/** How values map to the drawing. */
export interface CurveFrame {
  /** Horizontal pixel of a value. */
  readonly x: (value: number) => number
  /** Vertical pixel of a value, growing downwards. */
  readonly y: (value: number) => number
  readonly xTicks: readonly number[]
  readonly yTicks: readonly number[]
}

/** Beyond 10^±300, distances between numbers leave the range of doubles. */
const [smallest, largest] = [1e-300, 1e300]

/** Logarithms that have a normal number: smaller ones are 0 on a thread on which ONNX Runtime ran, which turns them off. */
const [leastLog, mostLog] = [-307, 308]

const isDrawn = (logY: boolean, [x, y]: readonly [number, number]): boolean =>
  Math.abs(x) < largest && Math.abs(y) < largest && (!logY || y > smallest)

/** The ends of a point's error bar: none without an error, and no lower one where a logarithmic axis has no place for it. */
const barEnds = ({ points, errors }: Series, index: number, logY: boolean): number[] => {
  const [[x, y], error] = [points[index], errors?.[index] ?? 0]
  if (!(error > 0)) return []
  return [y - error, y + error].filter((end) => isDrawn(logY, [x, end]))
}

/** Smallest and largest of the values, widened by `margin` where only rounding tells them apart; [1, 2] without values. */
const extent = (values: readonly number[], margin?: number): [number, number] => {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  for (const value of values) {
    low = Math.min(low, value)
    high = Math.max(high, value)
  }
  if (low > high) return [1, 2]
  const rounding = 1e-9 * Math.max(Math.abs(low), Math.abs(high))
  if (high - low > Math.max(smallest, rounding)) return [low, high]
  const room = margin ?? (Math.abs(low) > smallest ? Math.abs(low) / 4 : 1)
  return [low - room, high + room]
}

/**
 * Axes that hold every point of a curve with its error bar. x runs from the first value to the last. y has a margin of 5 %, and starts
 * at zero where the values come near it.
 */
export const curveFrame = ({ series, logY = false }: Curve): CurveFrame => {
  const points = series.flatMap((s) => s.points.filter((point) => isDrawn(logY, point)))
  const ends = series.flatMap((s) =>
    s.points.flatMap((point, i) => (isDrawn(logY, point) ? barEnds(s, i, logY) : [])),
  )
  const { width, height, left, right, top, bottom } = curveSize
  const scale = logY ? Math.log10 : (v: number): number => v
  const [x0, x1] = extent(points.map(([x]) => x))
  // Half a decade where all values are equal: log y says nothing about their size.
  let [y0, y1] = extent([...points.map(([, y]) => y), ...ends].map(scale), logY ? 0.5 : undefined)
  const margin = (y1 - y0) / 20
  const nearZero = !logY && y0 >= 0 && y0 < y1 / 3
  y0 = nearZero ? 0 : y0 - margin
  y1 += margin
  if (logY) [y0, y1] = [Math.max(y0, leastLog), Math.min(y1, mostLog)]
  return {
    x: (value) => left + ((value - x0) / (x1 - x0)) * (width - left - right),
    y: (value) => top + ((y1 - scale(value)) / (y1 - y0)) * (height - top - bottom),
    xTicks: linearTicks(x0, x1, 6),
    yTicks: logY ? logTicks(10 ** y0, 10 ** y1, 5) : linearTicks(y0, y1, 6),
  }
}

/** Keeps first, lowest, highest and last of the neighbours in one pixel column: the same image in fewer points. */
const thin = (points: readonly (readonly [number, number])[]): (readonly [number, number])[] => {
  if (points.length <= 2 * curveSize.width) return [...points]
  const kept = new Set<number>()
  for (let start = 0; start < points.length; ) {
    let [end, low, high] = [start, start, start]
    for (; end < points.length && Math.floor(points[end][0]) === Math.floor(points[start][0]); end++) {
      if (points[end][1] < points[low][1]) low = end
      if (points[end][1] > points[high][1]) high = end
    }
    for (const index of [start, Math.min(low, high), Math.max(low, high), end - 1]) kept.add(index)
    start = end
  }
  return [...kept].map((index) => points[index])
}

const pixel = (x: number): string => String(Number(x.toFixed(1)))

/** Runs of points without an interruption, in pixels. */
const runsOf = ({ points }: Series, frame: CurveFrame, logY: boolean): [number, number][][] => {
  const runs: [number, number][][] = [[]]
  for (const point of points) {
    if (isDrawn(logY, point)) runs.at(-1)!.push([frame.x(point[0]), frame.y(point[1])])
    else runs.push([])
  }
  return runs.filter((run) => run.length > 0)
}

const styleOf = (index: number): string =>
  `s${index % seriesColours}${Math.floor(index / seriesColours) % 2 === 1 ? ' dashed' : ''}`

const seriesSvg = (series: Series, index: number, frame: CurveFrame, logY: boolean): string => {
  const runs = runsOf(series, frame, logY)
  const lines = runs.map((run) => {
    const places = thin(run).map(([x, y]) => `${pixel(x)} ${pixel(y)}`)
    return `M${places.join('L')}${run.length === 1 ? 'h0' : ''}` // round caps make a dot of a line without length
  })
  const path = lines.length > 0 ? `<path d="${lines.join('')}"/>` : ''
  const drawn = series.points.filter((point) => isDrawn(logY, point))
  const marks = drawn.length > mostMarks ? [] : drawn
  const circles = marks.map(([x, y]) => {
    const name = `${escapeMarkup(series.name)}: ${formatNumber(y)} at ${formatNumber(x)}`
    return `<circle cx="${pixel(frame.x(x))}" cy="${pixel(frame.y(y))}" r="3"><title>${name}</title></circle>`
  })
  const bars = series.points.flatMap(([x, y], i) => {
    const ends = isDrawn(logY, [x, y]) ? barEnds(series, i, logY) : []
    if (ends.length === 0) return []
    const from = ends.length === 2 ? frame.y(ends[0]) : curveSize.height - curveSize.bottom
    return [`<path class="error" d="M${pixel(frame.x(x))} ${pixel(from)}V${pixel(frame.y(ends.at(-1)!))}"/>`]
  })
  const density = drawn.length > curveSize.width ? ' dense' : ''
  return `<g class="series ${styleOf(index)}${density}">${path}${bars.join('')}${circles.join('')}</g>`
}

/** The plot area of a curve as an `<svg>` element, without title and legend. */
export const curveSvg = (curve: Curve): string => {
  const { width, height, left, right, top, bottom } = curveSize
  const { logY = false, series } = curve
  const frame = curveFrame(curve)
  const [end, floor] = [width - right, height - bottom]
  const empty = series.every((s) => !s.points.some((point) => isDrawn(logY, point)))
  const xTicks = frame.xTicks.map((tick) => {
    const x = pixel(frame.x(tick))
    const mark = `<path class="tick" d="M${x} ${floor}v4"/>`
    return `${mark}<text x="${x}" y="${floor + 17}" text-anchor="middle">${formatNumber(tick, 6)}</text>`
  })
  const yTicks = frame.yTicks.map((tick) => {
    const y = pixel(frame.y(tick))
    const text = `<text x="${left - 8}" y="${y}" dy="0.34em" text-anchor="end">${formatNumber(tick, 6)}</text>`
    return `<path class="grid" d="M${left} ${y}H${end}"/>${text}`
  })
  const axis = `<path class="axis" d="M${left} ${floor}H${end}"/>`
  const xLabel = `<text x="${end}" y="${height - 6}" text-anchor="end">${escapeMarkup(curve.xLabel)}</text>`
  const content = empty
    ? `<text x="${(left + end) / 2}" y="${(top + floor) / 2}" text-anchor="middle">no data yet</text>`
    : [...yTicks, ...xTicks, ...series.map((s, i) => seriesSvg(s, i, frame, logY))].join('')
  const label = `role="img" aria-label="${escapeMarkup(curve.title)}"`
  return `<svg class="plot" viewBox="0 0 ${width} ${height}" ${label}>${axis}${content}${xLabel}</svg>`
}

/** A curve as a `<figure>`: title, y label, legend with each series' last value, plot. */
export const curveFigure = (curve: Curve): string => {
  const legend = curve.series.map(({ name, points }, index) => {
    const last = points.findLast((point) => isDrawn(curve.logY ?? false, point))
    const value = last === undefined ? '' : ` <b>${formatNumber(last[1])}</b>`
    return `<li class="${styleOf(index)}"><i></i>${escapeMarkup(name)}${value}</li>`
  })
  const unit = escapeMarkup(curve.yLabel) + (curve.logY ? ', logarithmic' : '')
  return `<figure class="curve"><figcaption><h3>${escapeMarkup(curve.title)}</h3><ul class="legend">${legend.join('')}</ul><p>${unit}</p></figcaption>${curveSvg(curve)}</figure>`
}
