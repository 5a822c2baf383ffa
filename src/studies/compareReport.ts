/** @file The page, the table and the image about finished runs side by side. */
import type { Sweep } from '../config/sweepFile.ts'
import type { Curve, Series } from '../report/curve.ts'
import { curvesPng } from '../report/curvePng.ts'
import { renderReport } from '../report/html.ts'
import { type ComparedSetting, compareRuns, nameKeys } from './compareRuns.ts'
import { runValues } from './values.ts'

type Plot = Sweep['plots'][number]

/** What is drawn where nobody says: quality over rate, and generation over rate. */
const usualPlots: readonly Plot[] = [
  { x: 'bits/pixel', y: 'PSNR' },
  { x: 'bits/pixel', y: 'rFD' },
  { x: 'bits/pixel', y: 'gFD' },
]

/** The differing key of a name, which may be its last part. */
const keyOf = ({ values }: ComparedSetting, name: string): string | undefined =>
  [...values.keys()].find((key) => key === name || key.endsWith(`.${name}`))

/** A figure with its error, or the value of a key that differs. */
const numberOf = (
  setting: ComparedSetting,
  name: string,
): { readonly mean: number; readonly error: number } | undefined => {
  const known = setting.figures.get(name)
  if (known !== undefined) return known
  const key = keyOf(setting, name)
  const value = key === undefined ? Number.NaN : Number(setting.values.get(key))
  return Number.isFinite(value) ? { mean: value, error: 0 } : undefined
}

/** A setting in a plot. */
interface Place {
  readonly at: number
  readonly value: number
  readonly error: number
  readonly values: ComparedSetting['values']
}

/** Whether places that agree in `by` agree in the value of a key. */
const follows = (places: readonly Place[], key: string, by: (place: Place) => string): boolean => {
  const seen = new Map<string, string>()
  return places.every((place) => {
    const [group, value] = [by(place), place.values.get(key)!]
    if (!seen.has(group)) seen.set(group, value)
    return seen.get(group) === value
  })
}

const valuesOf =
  (keys: readonly string[]) =>
  ({ values }: Place): string =>
    JSON.stringify(keys.map((key) => values.get(key)))

/**
 * The keys whose values tell lines apart, so that no line jumps between settings. A line follows one key of numbers: x
 * itself, or where x is a figure, the key of most values that x determines (equal x, equal value). Every other key tells
 * lines apart, unless it holds numbers too that follow from the first; only as many are named as it takes. Names of arms
 * tell lines apart only where that is asked for.
 */
const seriesKeys = (places: readonly Place[], x: string | undefined, given: readonly string[]): string[] => {
  const keys = [...(places[0]?.values.keys() ?? [])].filter((key) => !nameKeys.includes(key))
  const all = (key: string): string[] => [...new Set(places.map(({ values }) => values.get(key)!))]
  const ofNumbers = (key: string): boolean => all(key).every((value) => /^[-\d[]/.test(value))
  const [followed] = keys
    .filter((key) => !given.includes(key) && ofNumbers(key) && follows(places, key, ({ at }) => String(at)))
    .sort((a, b) => all(b).length - all(a).length)
  const line = x ?? followed
  const joins = (key: string): boolean =>
    line !== undefined && ofNumbers(key) && follows(places, key, valuesOf([line]))
  const chosen = [...given]
  for (const key of keys) {
    if (!joins(key) && !follows(places, key, valuesOf(chosen))) chosen.push(key)
  }
  return chosen
}

const curveOf = ({ x, y, series }: Plot, settings: readonly ComparedSetting[]): Curve => {
  const given = settings.flatMap((setting) => (series === undefined ? [] : (keyOf(setting, series) ?? [])))
  const own = [...new Set(given)]
  const places = new Map<string, Place>()
  for (const setting of settings) {
    const [at, value] = [numberOf(setting, x), numberOf(setting, y)]
    if (at === undefined || value === undefined) continue
    const { values } = setting
    const place = { at: at.mean, value: value.mean, error: value.error, values }
    // Base models on one stage 1 share its figures: drawn once.
    const name = JSON.stringify([place.at, place.value, valuesOf(own)(place)])
    if (!places.has(name)) places.set(name, place)
  }
  const drawn = [...places.values()].sort((a, b) => a.at - b.at)
  const isFigure = settings.some(({ figures }) => figures.has(x))
  const keys = seriesKeys(
    drawn,
    isFigure || settings[0] === undefined ? undefined : keyOf(settings[0], x),
    own,
  )
  const groups = new Map<string, Place[]>()
  for (const place of drawn) {
    const told = keys.map((key) => [...(nameKeys.includes(key) ? [] : [key]), place.values.get(key)])
    const name = told.map((parts) => parts.join(' ')).join(', ') || y
    groups.set(name, [...(groups.get(name) ?? []), place])
  }
  const lines = [...groups].map(
    ([name, group]): Series => ({
      name,
      points: group.map(({ at, value }): [number, number] => [at, value]),
      errors: group.map(({ error }) => error),
    }),
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

const csvCell = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)

/** What `ul report` writes. */
export interface CompareReport {
  readonly html: string
  /** Means and standard errors, one row for each setting. */
  readonly csv: string
  readonly png: Uint8Array
  /** The table for a terminal, in Markdown. */
  readonly text: string
  /** The same for programs: values of keys, and figures by name. */
  readonly rows: readonly Readonly<Record<string, unknown>>[]
}

/** The name of a value with an arrow towards what is better. */
const titled = (name: string): string => {
  const better = runValues.find((value) => value.name === name)?.better
  return better === undefined ? name : `${name} ${better === 'higher' ? '↑' : '↓'}`
}

/** Compares the finished runs below paths (see findRuns). @param sweep title, findings and plots, where there is a file of them */
export const compareReport = async (
  paths: readonly string[],
  sweep: Sweep | null,
): Promise<CompareReport> => {
  const { keys, settings, protocol, provenance } = compareRuns(paths, sweep)
  const shown = runValues
    .map(({ name }) => name)
    .filter((name) => settings.some(({ figures }) => figures.has(name)))
  const head = [...keys, 'runs', ...shown]
  const rows = settings.map(({ values, runs, figures }) => [
    ...keys.map((key) => values.get(key)!),
    String(runs),
    ...shown.map((name) => cell(figures.get(name))),
  ])
  const plots = sweep !== null && sweep.plots.length > 0 ? sweep.plots : usualPlots
  const curves = plots
    .map((plot) => curveOf(plot, settings))
    .filter(({ series }) => series.reduce((n, { points }) => n + points.length, 0) > 1)
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
      { heading: 'Curves', text: 'Vertical lines are standard errors over seeds.', curves },
      {
        heading: 'Figures',
        text: 'Mean ± standard error over seeds.',
        table: { head: head.map(titled), rows },
      },
      { heading: 'How it was measured', text: protocol },
      ...(provenance === '' ? [] : [{ heading: 'Who measured', text: provenance }]),
    ],
  })
  const csvHead = [...keys, 'runs', ...shown.flatMap((name) => [name, `${name} error`])]
  const csvRows = settings.map(({ values, runs, figures }) => [
    ...keys.map((key) => values.get(key)!),
    String(runs),
    ...shown.flatMap((name) => {
      const figure = figures.get(name)
      // One run says nothing of the spread over seeds.
      return figure === undefined ? ['', ''] : [String(figure.mean), runs > 1 ? String(figure.error) : '']
    }),
  ])
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((text) => text.replaceAll('|', '\\|')).join(' | ')} |`
  return {
    html,
    csv: `${[csvHead, ...csvRows].map((row) => row.map(csvCell).join(',')).join('\n')}\n`,
    png: await curvesPng(curves),
    rows: settings.map(({ values, runs, figures }) => ({
      ...Object.fromEntries(values),
      runs,
      ...Object.fromEntries(figures),
    })),
    text: [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n'),
  }
}
