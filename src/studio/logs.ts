/** @file The logs that charts were asked of lately, within a bound of memory. */
import { openLog, pieceBytes, type RunLog } from './log.ts'

/** Bytes of columns that are held; a log is read again where it was let go (100,000 lines take about 8 MB). */
export const heldBytes: number = 112 * 2 ** 20

/** Logs by their paths. */
export interface Logs {
  /** A log as the file is now. @throws when it cannot be read */
  at(path: string): Promise<RunLog>
  readonly bytes: number
}

export const createLogs = (most: number = heldBytes): Logs => {
  // In the order of their last use.
  const held = new Map<string, RunLog>()
  // One for all: they are read one after the other, and what each would leave behind is memory until it is collected.
  const piece = Buffer.alloc(pieceBytes)
  const bytes = (): number => [...held.values()].reduce((sum, log) => sum + log.bytes, 0)
  // One after the other: each would otherwise take memory before any is let go.
  let before: Promise<unknown> = Promise.resolve()
  const update = async (path: string): Promise<RunLog> => {
    const log = held.get(path) ?? openLog(path, piece)
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
