/** @file The table of runs: its columns, the search and the order of its rows. */

import { formatNumber } from '../../../../src/report/ticks.ts'
import type { RunList, RunRow } from '../../../../src/studio/api.ts'
import { inOrder, metricName } from './metricNames.ts'

/** A column: what a row shows there, and what it is sorted by. */
export interface Column {
  /** `run`, `status`, `figure:psnr`, `set:decoder.lossFactor` …, as in the page's address. */
  readonly key: string
  readonly title: string
  /** Empty where it has none. */
  readonly unit: string
  readonly kind: 'text' | 'number'
  readonly text: (row: RunRow) => string
  /** Null sorts last, whichever the direction. */
  readonly value: (row: RunRow) => string | number | null
}

/** A column and its direction. */
export interface Order {
  readonly key: string
  readonly isDown: boolean
}

const statusOrder: Readonly<Record<RunRow['status'], number>> = {
  training: 0,
  stopped: 1,
  finished: 2,
  broken: 3,
}

/** `2,600`. */
export const countText = (count: number): string => count.toLocaleString('en-US')

/** Share of the stage that is done; null without a log. */
export const shareDone = ({ progress }: RunRow): number | null =>
  progress === null || progress.steps <= 0 ? null : Math.min(progress.step / progress.steps, 1)

const fixed: readonly Column[] = [
  { key: 'run', title: 'Run', unit: '', kind: 'text', text: ({ run }) => run, value: ({ run }) => run },
  {
    key: 'status',
    title: 'Status',
    unit: '',
    kind: 'text',
    text: ({ status }) => status,
    value: ({ status }) => statusOrder[status],
  },
  {
    key: 'progress',
    title: 'Progress',
    unit: '',
    kind: 'text',
    text: ({ progress }) =>
      progress === null
        ? ''
        : `${progress.stage} ${countText(progress.step)} of ${countText(progress.steps)}`,
    value: (row) =>
      row.progress === null ? null : `${row.progress.stage} ${(shareDone(row) ?? 0).toFixed(6)}`,
  },
  {
    key: 'name',
    title: 'Preset',
    unit: '',
    kind: 'text',
    text: ({ name }) => name,
    value: ({ name }) => name || null,
  },
]

const figureColumn = (figure: string): Column => ({
  key: `figure:${figure}`,
  ...metricName(figure),
  kind: 'number',
  text: ({ figures }) => (figure in figures ? formatNumber(figures[figure]) : ''),
  value: ({ figures }) => figures[figure] ?? null,
})

/** A setting as a number where it is one, so that 8 comes before 16. */
const settingValue = (text: string | undefined): string | number | null => {
  if (text === undefined || text === '') return null
  return Number.isFinite(Number(text)) ? Number(text) : text
}

const settingColumn = (key: string, values: Readonly<Record<string, string>>): Column => ({
  key: `set:${key}`,
  title: key,
  unit: '',
  kind: Object.values(values).every((text) => typeof settingValue(text) === 'number') ? 'number' : 'text',
  text: ({ run }) => values[run] ?? '',
  value: ({ run }) => settingValue(values[run]),
})

/** Figures that tell runs apart at a glance; what else was measured stands behind the settings. */
export const headline: ReadonlySet<string> = new Set(['bitsPerPixel', 'psnr', 'rFD', 'gFD'])

/** The columns that a list fills: what every run has, measured figures, the settings in which the runs differ. */
export const columnsOf = ({ runs, differing }: Pick<RunList, 'runs' | 'differing'>): Column[] => {
  const figures = inOrder(runs.flatMap((row) => Object.keys(row.figures)))
  return [
    ...fixed,
    ...figures.filter((figure) => headline.has(figure)).map(figureColumn),
    ...Object.entries(differing).map(([key, values]) => settingColumn(key, values)),
    ...figures.filter((figure) => !headline.has(figure)).map(figureColumn),
  ]
}

/** The columns that say something of these rows: no figures that none has, no settings that are the same in all. */
export const tellingColumns = (columns: readonly Column[], rows: readonly RunRow[]): Column[] =>
  columns.filter(({ key, text }) => {
    const texts = new Set(rows.map(text))
    if (key.startsWith('set:')) return texts.size > 1
    return !key.startsWith('figure:') || texts.size > 1 || !texts.has('')
  })

/** Rows in which every word of the search occurs, in whatever column. */
export const found = (
  rows: readonly RunRow[],
  columns: readonly Column[],
  search: string,
): readonly RunRow[] => {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean)
  if (words.length === 0) return rows
  return rows.filter((row) => {
    const text = columns
      .map((column) => `${column.title}=${column.text(row)}`)
      .join('\n')
      .toLowerCase()
    return words.every((word) => text.includes(word))
  })
}

const compare = (a: string | number, b: string | number): number => {
  if (typeof a === 'number' && typeof b === 'number') return a - b
  return String(a).localeCompare(String(b), 'en', { numeric: true })
}

/** Rows in an order; equal ones by their names, rows without a value last. */
export const sorted = (rows: readonly RunRow[], columns: readonly Column[], order: Order): RunRow[] => {
  const { value } = columns.find(({ key }) => key === order.key) ?? columns[0]
  return [...rows].sort((left, right) => {
    const [a, b] = [value(left), value(right)]
    if (a === null || b === null)
      return Number(a === null) - Number(b === null) || compare(left.run, right.run)
    return (order.isDown ? -1 : 1) * compare(a, b) || compare(left.run, right.run)
  })
}

/** Rows with those that are new or have changed, without those that are gone. */
export const updated = (
  rows: readonly RunRow[],
  changed: readonly RunRow[],
  gone: readonly string[] = [],
): RunRow[] => {
  const byRun = new Map(rows.map((row) => [row.run, row]))
  for (const row of changed) byRun.set(row.run, row)
  for (const run of gone) byRun.delete(run)
  return [...byRun.values()]
}
