/** @file The page, the table and the picture about finished runs side by side. */
import type { Sweep } from '../config/sweepFile.ts'
import type { Curve, Series } from '../run/curve.ts'
import { curvesPng } from '../run/curvePicture.ts'
import { renderReport } from '../run/html.ts'
import { type ComparedSetting, compareRuns, figureNames } from './compareRuns.ts'

type Plot = Sweep['plots'][number]

/** What is drawn where nobody says: quality over rate, and generation over rate. */
const usualPlots: readonly Plot[] = [
  { x: 'bits/pixel', y: 'PSNR' },
  { x: 'bits/pixel', y: 'rFID' },
  { x: 'bits/pixel', y: 'gFID' },
]

/** A figure, or the value of a key that differs; keys may be given by their last part. */
const numberOf = ({ values, figures }: ComparedSetting, name: string): number | undefined => {
  const known = figures.get(name)
  if (known !== undefined) return known.mean
  const key = [...values.keys()].find((k) => k === name || k.endsWith(`.${name}`))
  const text = key === undefined ? undefined : values.get(key)
  return text === undefined || !Number.isFinite(Number(text)) ? undefined : Number(text)
}

const settingOf = ({ values }: ComparedSetting, name: string): string => {
  const key = [...values.keys()].find((k) => k === name || k.endsWith(`.${name}`))
  return key === undefined ? '' : values.get(key)!
}

const curveOf = ({ x, y, series }: Plot, settings: readonly ComparedSetting[]): Curve => {
  const groups = new Map<string, [number, number][]>()
  for (const setting of settings) {
    const [at, value] = [numberOf(setting, x), numberOf(setting, y)]
    if (at === undefined || value === undefined) continue
    const name = series === undefined ? y : `${series} ${settingOf(setting, series)}`
    groups.set(name, [...(groups.get(name) ?? []), [at, value]])
  }
  const lines = [...groups].map(
    ([name, points]): Series => ({ name, points: points.sort(([a], [b]) => a - b) }),
  )
  return { title: `${y} over ${x}`, xLabel: x, yLabel: y, series: lines }
}

const digits = (value: number): string =>
  Math.abs(value) >= 1e6 ? value.toExponential(2) : String(Number(value.toPrecision(4)))

const cell = (figure: { readonly mean: number; readonly error: number } | undefined): string => {
  if (figure === undefined) return '–'
  const { mean, error } = figure
  return error === 0 ? digits(mean) : `${digits(mean)} ± ${Number(error.toPrecision(2))}`
}

const csvCell = (text: string): string => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)

/** What `ul report` writes. */
export interface CompareReport {
  readonly html: string
  /** Means and standard errors, one row for each setting. */
  readonly csv: string
  readonly png: Uint8Array
  /** The table for a terminal, in Markdown. */
  readonly text: string
}

/** Compares the finished runs below directories. @param sweep title, findings and plots, where there is a file of them */
export const compareReport = async (dirs: readonly string[], sweep: Sweep | null): Promise<CompareReport> => {
  const { keys, settings, protocol } = compareRuns(dirs)
  const shown = figureNames.filter((name) => settings.some(({ figures }) => figures.has(name)))
  const head = [...keys, 'runs', ...shown]
  const rows = settings.map(({ values, runs, figures }) => [
    ...keys.map((key) => values.get(key)!),
    String(runs),
    ...shown.map((name) => cell(figures.get(name))),
  ])
  const plots = sweep !== null && sweep.plots.length > 0 ? sweep.plots : usualPlots
  const curves = plots
    .map((plot) => curveOf(plot, settings))
    .filter(({ series }) => series.some(({ points }) => points.length > 1))
  const title = sweep?.title ?? 'Runs side by side'
  const html = renderReport({
    title,
    summary: [
      { label: 'settings', value: String(settings.length) },
      { label: 'runs', value: String(settings.reduce((n, { runs }) => n + runs, 0)) },
    ],
    sections: [
      ...(sweep?.paper === undefined ? [] : [{ heading: 'In the paper', text: sweep.paper }]),
      ...(sweep?.found === undefined ? [] : [{ heading: 'Here', text: sweep.found }]),
      { heading: 'Curves', curves },
      { heading: 'Figures', text: 'Mean ± standard error over seeds.', table: { head, rows } },
      { heading: 'How it was measured', text: protocol },
    ],
  })
  const csvHead = [...keys, 'runs', ...shown.flatMap((name) => [name, `${name} error`])]
  const csvRows = settings.map(({ values, runs, figures }) => [
    ...keys.map((key) => values.get(key)!),
    String(runs),
    ...shown.flatMap((name) => {
      const figure = figures.get(name)
      return figure === undefined ? ['', ''] : [String(figure.mean), String(figure.error)]
    }),
  ])
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return {
    html,
    csv: `${[csvHead, ...csvRows].map((row) => row.map(csvCell).join(',')).join('\n')}\n`,
    png: await curvesPng(curves),
    text: [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n'),
  }
}
