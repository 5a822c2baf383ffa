/** @file What is asked of logs, by pages, and the answers from logs that this thread holds. */

import type { Series } from './api.ts'
import { createLogs } from './logs.ts'
import { type SeriesRange, seriesOf } from './series.ts'

/** What a log holds. */
export interface LogSummary {
  /** Names of metrics by stage, in the order in which they were first logged. */
  readonly metrics: Readonly<Record<string, readonly string[]>>
  /** Whole lines that are no record. */
  readonly damaged: number
}

/** A chart of a log. */
export interface ChartWish extends SeriesRange {
  readonly stage: string
  readonly metric: string
}

/** Answers about logs by their paths, as the files are now. Both reject when a log cannot be read. */
export interface LogReader {
  summary(path: string): Promise<LogSummary>
  series(path: string, wish: ChartWish): Promise<Series>
}

/** Reads logs in this thread. @param mostBytes of logs that are held, as of createLogs */
export const readLogsHere = (mostBytes?: number): LogReader => {
  const logs = createLogs(mostBytes)
  return {
    summary: async (path) => {
      const log = await logs.at(path)
      return { metrics: log.metrics(), damaged: log.damaged }
    },
    series: async (path, wish) => {
      const log = await logs.at(path)
      return seriesOf(log.blocks(wish.stage, wish.metric), wish.metric, wish)
    },
  }
}
