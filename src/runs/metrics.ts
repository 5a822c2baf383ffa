/** @file The log of a run's numbers, metrics.jsonl: one JSON object per line, only ever appended to. */
import { existsSync, readFileSync } from 'node:fs'
import { openAppender } from '../files/append.ts'
import { writeFileAtomic } from '../files/atomic.ts'
import { warnInProcess } from './checked.ts'
import { compareProgress, type Progress } from './progress.ts'

/** A logged value. Numbers that are not finite are stored, and read back, as null. */
export type MetricValue = number | string | boolean | null | readonly MetricValue[]

/** One line of the log: the step it was measured after, and named values with their unit in the name. */
export interface MetricRecord extends Progress {
  readonly [name: string]: MetricValue
}

/** An open log. */
export interface MetricsWriter {
  /** Adds one line, whole or not at all. @throws one sentence when it cannot be written */
  append(record: MetricRecord): void
  /** Returns when all lines would survive a power cut. */
  sync(): void
  /** Closes the file; append must not be called afterwards. */
  close(): void
}

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
 * Reads a log, in the order of the file, without the lines that do not read: a crash or a damaged disk costs those alone.
 * @param warn told which lines are left out
 * @returns an empty list when there is no file.
 */
export const readMetrics = (path: string, warn: (text: string) => void = warnInProcess): MetricRecord[] => {
  if (!existsSync(path)) return []
  const lines = readFileSync(path, 'utf8').split('\n')
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
 * Opens a log for appending. Lines of the stage after the step that it is resumed at are dropped first, because they are
 * written again, and so are lines that do not read. Those of later stages stay: a stage that goes back to an older checkpoint
 * comes to the same end.
 * @param resumedAt progress of the loaded checkpoint; step 0 where a stage starts
 * @param warn told which lines do not read
 */
export const openMetrics = (
  path: string,
  resumedAt: Progress,
  warn: (text: string) => void,
): MetricsWriter => {
  const kept = readMetrics(path, warn)
    .filter(({ stage, step }) => stage !== resumedAt.stage || step <= resumedAt.step)
    .sort(compareProgress)
  writeFileAtomic(path, kept.map((record) => `${JSON.stringify(record)}\n`).join(''))
  const file = openAppender(path)
  return {
    append: (record) => file.append([Buffer.from(`${JSON.stringify(record)}\n`)]),
    sync: file.sync,
    close: file.close,
  }
}
