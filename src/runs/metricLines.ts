/** @file The lines of a run's log of numbers, metrics.jsonl: one JSON object per line. */
import { compareProgress, type Progress } from './progress.ts'

/** A logged value. Numbers that are not finite are stored, and read back, as null. */
export type MetricValue = number | string | boolean | null | readonly MetricValue[]

/** One line of the log: the step it was measured after, and named values with their unit in the name. */
export interface MetricRecord extends Progress {
  readonly [name: string]: MetricValue
}

/** A line with its end. */
export const showLine = (record: MetricRecord): string => `${JSON.stringify(record)}\n`

const isRecord = (x: unknown): x is MetricRecord => {
  const { stage, step } = (x ?? {}) as Partial<MetricRecord>
  return typeof stage === 'string' && typeof step === 'number'
}

/** The record of a line, or null where there is none in it. */
export const recordIn = (line: string): MetricRecord | null => {
  try {
    const record: unknown = JSON.parse(line)
    return isRecord(record) ? record : null
  } catch {
    return null
  }
}

/**
 * The records of a log's text in their order, without the lines that do not read: a crash or a damaged disk costs those alone.
 * @param path of the file, for what is said
 * @param warn told which lines are left out
 */
export const recordsIn = (text: string, path: string, warn: (text: string) => void): MetricRecord[] => {
  const lines = text.split('\n')
  if (lines.at(-1) === '') lines.pop()
  const records = lines.map(recordIn)
  const unread = records.flatMap((record, i) => (record === null ? [i + 1] : []))
  if (unread.length > 0) {
    const more = unread.length > 1 ? ` (and ${unread.length - 1} more)` : ''
    warn(`${path}: line ${unread[0]}${more} is not a JSON object with "stage" and "step"; it is left out`)
  }
  return records.filter((record) => record !== null)
}

/**
 * The text of a log that a stage goes on with: without its lines after the step that it is resumed at, because they are
 * written again. Those of later stages stay: a stage that goes back to an older checkpoint comes to the same end.
 * @param resumedAt progress of the loaded checkpoint; step 0 where a stage starts
 */
export const resumedLog = (records: readonly MetricRecord[], resumedAt: Progress): string =>
  records
    .filter(({ stage, step }) => stage !== resumedAt.stage || step <= resumedAt.step)
    .sort(compareProgress)
    .map(showLine)
    .join('')
