/** @file The log of a run's numbers on the disk, metrics.jsonl (metricLines.ts): only ever appended to. */
import { existsSync, readFileSync } from 'node:fs'
import { openAppender } from '../files/append.ts'
import { writeFileAtomic } from '../files/atomic.ts'
import { warnInProcess } from './checked.ts'
import { type MetricRecord, recordsIn, resumedLog, showLine } from './metricLines.ts'
import type { Progress } from './progress.ts'

/** An open log. */
export interface MetricsWriter {
  /** Adds one line, whole or not at all. @throws one sentence when it cannot be written */
  append(record: MetricRecord): void
  /** Returns when all lines would survive a power cut. */
  sync(): void
  /** Closes the file; append must not be called afterwards. */
  close(): void
}

/**
 * Reads a log, in the order of the file, without the lines that do not read.
 * @param warn told which lines are left out
 * @returns an empty list when there is no file.
 */
export const readMetrics = (path: string, warn: (text: string) => void = warnInProcess): MetricRecord[] =>
  existsSync(path) ? recordsIn(readFileSync(path, 'utf8'), path, warn) : []

/**
 * Opens a log for appending, without lines that are written again (resumedLog) or do not read.
 * @param resumedAt progress of the loaded checkpoint; step 0 where a stage starts
 * @param warn told which lines do not read
 */
export const openMetrics = (
  path: string,
  resumedAt: Progress,
  warn: (text: string) => void,
): MetricsWriter => {
  writeFileAtomic(path, resumedLog(readMetrics(path, warn), resumedAt))
  const file = openAppender(path)
  return {
    append: (record) => file.append([Buffer.from(showLine(record))]),
    sync: file.sync,
    close: file.close,
  }
}
