/**
 * @file Sends the logs of runs to a Trackio server while they are written: as their reader, from their beginning, so that neither
 * training nor its log knows of it. After a resume all is sent again, and kept once by its `log_id`.
 */
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ConfigError } from '../config/load.ts'
import { type GrowingFile, growingFile } from '../files/growing.ts'
import { asBegun, configHash } from '../runs/configHash.ts'
import { type Listener, onceEach } from '../runs/events.ts'
import { runFiles } from '../runs/files.ts'
import { type MetricRecord, recordIn } from '../runs/metricLines.ts'
import { readRunConfig } from '../runs/runDirectory.ts'
import { leavesOf } from '../runs/settings.ts'
import { sha256 } from '../stored/sha256.ts'
import { expectTrackio, type LogEntry, sendLogs, type TrackioServer } from './server.ts'

/** What is sent, where to, and who is told. */
export interface Sending {
  /** Null: nothing is sent. */
  readonly server: TrackioServer | null
  /** Directories of runs; none needs to be there yet. A run is called as its directory is here. */
  readonly runs: readonly string[]
  readonly listen: Listener
  /** Aborted when the work is to end soon. */
  readonly signal: AbortSignal
  /** Milliseconds, for tests. */
  readonly times?: Partial<Times>
}

interface Times {
  /** Between two looks at the logs; twice as long after every failure … */
  readonly pause: number
  /** … up to this. */
  readonly longestPause: number
  /** That an answer may take. */
  readonly answer: number
  /** That sending may go on after the work, and after work that was stopped. */
  readonly end: number
  readonly stopped: number
}

const usualTimes: Times = { pause: 5000, longestPause: 60_000, answer: 10_000, end: 60_000, stopped: 2000 }

/** Bytes of a log that are sent in one request, some hundred lines; no more of it is ever held. */
const pieceBytes = 2 ** 17

/** Parts in which the time for an answer is counted. */
const ticks = 10

/** What the entries of a run have in common. */
type Named = Pick<LogEntry, 'project' | 'run' | 'run_id' | 'config'>

/** A log, and as what it is sent; null until it is. */
interface Followed {
  readonly dir: string
  readonly file: GrowingFile
  named: Named | null
}

const hashOf = (...parts: readonly (string | number)[]): string => sha256(JSON.stringify(parts)).slice(0, 32)

/** A run by its place and by what it trains, whatever is resumed or trained on; its settings by dotted keys. */
const namedIn = (dir: string, { project }: TrackioServer): Named => {
  const config = readRunConfig(dir)
  return {
    ...{ project, run: dir, run_id: hashOf(resolve(dir), configHash(asBegun(config, []))) },
    config: Object.fromEntries(leavesOf(config)),
  }
}

/**
 * An entry for a line. It is known by its step and by which values it has, not by what they are: a step that is trained again
 * after a kill comes to the same values but for the speed.
 */
const entryOf = ({ stage, step, ...values }: MetricRecord, named: Named): LogEntry => ({
  ...named,
  metrics: Object.fromEntries(Object.entries(values).map(([name, value]) => [`${stage}/${name}`, value])),
  step,
  log_id: hashOf(named.run_id, stage, step, ...Object.keys(values).sort()),
})

/**
 * Waits for an answer. The time is counted in ticks of this thread: a training step that holds it for longer is not the
 * server's silence.
 */
const within = async <T>(
  time: number,
  limit: AbortSignal,
  asked: (signal: AbortSignal) => Promise<T>,
): Promise<T> => {
  limit.throwIfAborted()
  const given = new AbortController()
  const leave = (): void => given.abort(limit.reason)
  let left = ticks
  const timer = setInterval(() => {
    left--
    if (left === 0) given.abort(new Error(`it did not answer within ${time / 1000} seconds`))
  }, time / ticks)
  limit.addEventListener('abort', leave)
  try {
    return await asked(given.signal)
  } finally {
    clearInterval(timer)
    limit.removeEventListener('abort', leave)
  }
}

/** Reads what has come into a log. A log that is not there yet has nothing. @throws what is thrown by what is done with it */
const readOn = async (followed: Followed, take: (lines: Buffer) => Promise<void> | void): Promise<void> => {
  try {
    await followed.file.readOn(take, () => {
      followed.named = null
    })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

/** Sends what has come into a log since, with the settings before all else. */
const sendOn = (
  followed: Followed,
  server: TrackioServer,
  post: (entries: readonly LogEntry[]) => Promise<void>,
): Promise<void> =>
  readOn(followed, async (lines) => {
    followed.named ??= namedIn(followed.dir, server)
    const { config, ...named } = followed.named
    const records = lines.toString('utf8').split('\n').map(recordIn)
    const [first, ...others] = records.flatMap((record) =>
      record === null ? [] : [entryOf(record, { ...named, config: null })],
    )
    if (first === undefined) return
    await post([{ ...first, config }, ...others])
    followed.named = { ...named, config: null }
  })

/** Lines of logs that were not sent. */
const unsentOf = async (logs: readonly Followed[]): Promise<number> => {
  let count = 0
  for (const log of logs)
    await readOn(log, (lines) => {
      count += lines.toString('latin1').split('\n').length - 1
    })
  return count
}

/**
 * Sends logs until the work has ended, and what is left then.
 * @param limit aborted when even that shall end; with a ConfigError when nothing shall be sent
 */
const follow = async (
  { runs, listen, times }: Sending & { readonly times: Times },
  server: TrackioServer,
  ended: AbortSignal,
  limit: AbortSignal,
): Promise<void> => {
  const piece = Buffer.alloc(pieceBytes) // for all: they are read one after the other
  const logs = runs.map(
    (dir): Followed => ({ dir, file: growingFile(join(dir, runFiles.metrics), piece), named: null }),
  )
  const warn = onceEach((text) => listen({ event: 'warning', text: `${server.address}: ${text}` }))
  let isKnown = false
  const post = async (entries: readonly LogEntry[]): Promise<void> => {
    if (!isKnown) await within(times.answer, limit, (signal) => expectTrackio(server, signal))
    await within(times.answer, limit, (signal) => sendLogs(server, entries, signal))
    if (!isKnown)
      listen({ event: 'note', text: `${server.address}: takes the log, as project ${server.project}` })
    isKnown = true
  }
  const whyNot = async (): Promise<string | null> => {
    try {
      for (const log of logs) await sendOn(log, server, post)
      return null
    } catch (error) {
      return (error as Error).message
    }
  }
  for (let { pause } = times; ; ) {
    await sleep(pause, undefined, { signal: ended }).catch(() => undefined)
    if (limit.reason instanceof ConfigError) return
    const isLast = ended.aborted
    const why = await whyNot()
    if (why === null) {
      if (isLast) return
      pause = times.pause
      continue
    }
    if (ended.aborted) {
      const unsent = await unsentOf(logs).catch(() => 'some')
      return warn(`${unsent} lines of the log were not sent: ${why}; the same command sends them`)
    }
    warn(`${why}; training goes on, and it is tried again`)
    pause = Math.min(2 * pause, times.longestPause)
  }
}

/**
 * Does work while the logs that it writes are sent. Whatever becomes of the server, the work goes on and ends as it would; what
 * is wrong is said once, and at the end how much was not sent.
 * @throws what the work throws
 */
export const whileSending = async <T>(sending: Sending, work: () => Promise<T>): Promise<T> => {
  const { server, signal } = sending
  if (server === null) return work()
  const times = { ...usualTimes, ...sending.times }
  const [ended, limit] = [new AbortController(), new AbortController()]
  const sent = follow({ ...sending, times }, server, ended.signal, limit.signal)
  try {
    return await work()
  } catch (error) {
    // The work was refused: what lies there may be another's.
    if (error instanceof ConfigError) limit.abort(error)
    throw error
  } finally {
    const leave = (): void => limit.abort(new Error('it had not answered when the command ended'))
    const timer = setTimeout(leave, signal.aborted ? times.stopped : times.end)
    signal.addEventListener('abort', leave) // by someone who does not want to wait for it
    ended.abort()
    await sent
    clearTimeout(timer)
    signal.removeEventListener('abort', leave)
  }
}
