/**
 * @file Logs read by threads, so that many at once take the time of one core's share of them, and the server answers others
 * meanwhile. A log stays with the thread that read it first, which knows how far it is.
 */
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import type { Series } from './api.ts'
import type { ChartWish, LogReader, LogSummary } from './logReader.ts'
import { heldBytes } from './logs.ts'

/** A question to a thread: a chart, or with no wish what the log holds. */
export interface LogQuestion {
  readonly number: number
  readonly path: string
  readonly wish: ChartWish | null
}

/** The answer to the question of that number. */
export type LogAnswer =
  | { readonly number: number; readonly value: Series | LogSummary }
  | { readonly number: number; readonly error: unknown }

/** Threads at most. Each takes about 60 MiB beside the logs that it holds. */
const mostThreads = 2

/** Logs that are read by threads. */
export interface LogThreads extends LogReader {
  /** Ends them. What they were asked rejects. */
  close(): Promise<void>
}

/** A thread that runs. */
interface Thread {
  readonly ask: (path: string, wish: ChartWish | null) => Promise<Series | LogSummary>
  close(): Promise<unknown>
}

interface Asker {
  readonly resolve: (value: Series | LogSummary) => void
  readonly reject: (error: unknown) => void
}

/** Starts a thread. When it ends, all that it was asked rejects. @param ended called when it ends */
const startThread = (file: string, mostBytes: number, ended: () => void): Thread => {
  const worker = new Worker(file, { workerData: { mostBytes } })
  worker.unref()
  const askers = new Map<number, Asker>()
  worker.on('message', (answer: LogAnswer) => {
    const asker = askers.get(answer.number)
    askers.delete(answer.number)
    if ('error' in answer) asker?.reject(answer.error)
    else asker?.resolve(answer.value)
  })
  let why: unknown = new Error('the thread that reads logs has ended; ask again')
  worker.on('error', (error) => {
    why = error
  })
  worker.on('exit', () => {
    ended()
    for (const { reject } of askers.values()) reject(why)
    askers.clear()
  })
  let asked = 0
  return {
    ask: (path, wish) =>
      new Promise((resolve, reject) => {
        askers.set(asked, { resolve, reject })
        worker.postMessage({ number: asked++, path, wish } satisfies LogQuestion)
      }),
    close: () => worker.terminate(),
  }
}

/** Logs read by threads, one for each core, two at most, which start when they are asked. @param file logThread.ts as it was built */
export const readLogsInThreads = (file: string): LogThreads => {
  const count = Math.min(mostThreads, availableParallelism())
  const threads: (Thread | undefined)[] = Array.from({ length: count })
  const readerOf = new Map<string, number>()
  const threadAt = (at: number): Thread => {
    threads[at] ??= startThread(file, heldBytes / count, () => {
      threads[at] = undefined
    })
    return threads[at]
  }
  const ask = (path: string, wish: ChartWish | null): Promise<Series | LogSummary> => {
    const at = readerOf.get(path) ?? readerOf.size % count
    readerOf.set(path, at)
    return threadAt(at).ask(path, wish)
  }
  return {
    summary: (path) => ask(path, null) as Promise<LogSummary>,
    series: (path, wish) => ask(path, wish) as Promise<Series>,
    close: async () => {
      await Promise.all(threads.map((thread) => thread?.close()))
    },
  }
}
