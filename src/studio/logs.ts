/** @file The logs that charts were asked of lately, within a bound of memory. */
import { openLog, type RunLog } from './log.ts'

/** Bytes of columns that are held; a log is read again where it was let go (100,000 lines take about 8 MB). */
const mostBytes = 160 * 2 ** 20

/** Logs by their paths. */
export interface Logs {
  /** A log as the file is now. @throws when it cannot be read */
  at(path: string): Promise<RunLog>
  readonly bytes: number
}

export const createLogs = (most: number = mostBytes): Logs => {
  // In the order of their last use.
  const held = new Map<string, RunLog>()
  const bytes = (): number => [...held.values()].reduce((sum, log) => sum + log.bytes, 0)
  // One after the other: each would otherwise take memory before any is let go.
  let before: Promise<unknown> = Promise.resolve()
  const update = async (path: string): Promise<RunLog> => {
    const log = held.get(path) ?? openLog(path)
    held.delete(path)
    await log.update()
    held.set(path, log)
    let surplus = bytes() - most
    for (const [oldest, { bytes }] of held) {
      if (surplus <= 0 || oldest === path) break
      held.delete(oldest)
      surplus -= bytes
    }
    return log
  }
  return {
    at: (path) => {
      const next = before.then(() => update(path))
      before = next.catch(() => undefined)
      return next
    },
    get bytes() {
      return bytes()
    },
  }
}
