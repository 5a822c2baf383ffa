/** @file The log of a run's numbers, metrics.jsonl: one JSON object per line, only ever appended to. */
import { closeSync, existsSync, openSync, readFileSync, writeSync } from 'node:fs'
import { writeFileAtomic } from '../files/atomic.ts'
import { compareProgress, type Progress } from './progress.ts'

/** A logged value. Numbers that are not finite are stored, and read back, as null. */
export type MetricValue = number | string | boolean | null | readonly MetricValue[]

/** One line of the log: the step it was measured after, and named values with their unit in the name. */
export interface MetricRecord extends Progress {
  readonly [name: string]: MetricValue
}

/** An open log. */
export interface MetricsWriter {
  /** Adds one line in a single write, so that a reader following the file sees whole lines. */
  append(record: MetricRecord): void
  /** Closes the file; append must not be called afterwards. */
  close(): void
}

const isRecord = (x: unknown): x is MetricRecord => {
  const { stage, step } = (x ?? {}) as Partial<MetricRecord>
  return typeof stage === 'string' && typeof step === 'number'
}

/**
 * Reads a log, in the order of the file. A last line without its line end is still being written, or was cut off by
 * a crash, and is left out.
 * @returns an empty list when there is no file.
 * @throws when a whole line is not a JSON object with stage and step; names file and line.
 */
export const readMetrics = (path: string): MetricRecord[] => {
  if (!existsSync(path)) return []
  const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1)
  return lines.map((line, i) => {
    let record: unknown
    try {
      record = JSON.parse(line)
    } catch {}
    if (!isRecord(record)) {
      throw new Error(`${path}: line ${i + 1} is not a JSON object with "stage" and "step"`)
    }
    return record
  })
}

/**
 * Opens a log for appending. Lines after `resumedAt` (of a later step, or of a later stage) and a half-written last
 * line are dropped first, because the resumed run writes those steps again.
 * @param resumedAt progress of the loaded checkpoint; step 0 where a stage starts
 * @throws when the existing log does not read.
 */
export const openMetrics = (path: string, resumedAt: Progress): MetricsWriter => {
  const kept = readMetrics(path).filter((r) => compareProgress(r, resumedAt) <= 0)
  writeFileAtomic(path, kept.map((record) => `${JSON.stringify(record)}\n`).join(''))
  const fd = openSync(path, 'a')
  return {
    append: (record) => {
      writeSync(fd, `${JSON.stringify(record)}\n`)
    },
    close: () => closeSync(fd),
  }
}
