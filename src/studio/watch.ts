/** @file All runs below the folder, looked at again and again: by asking, because no system tells of all changes reliably. */
import { setImmediate } from 'node:timers/promises'
import { runDirectories } from '../runs/findRuns.ts'
import type { RunList, RunRow } from './api.ts'
import type { EventLog } from './events.ts'
import type { RunsFolder } from './folder.ts'
import { type KnownRun, runReader } from './row.ts'

/** The runs that there are. */
export interface Watch {
  /** Looks at all runs, unless that was done just now, and publishes what changed. */
  look(): Promise<void>
  list(): RunList
  /** A run's row as it was last seen. */
  row(run: string): RunRow | undefined
  /** Its settings by dotted key; none of a run that does not read. */
  settings(run: string): ReadonlyMap<string, string>
  /** Looks at intervals while `isWanted` says so. @returns ends that */
  keepLooking(isWanted: () => boolean): () => void
}

/** Milliseconds between looks, for which a look counts as just now, and after which others get their turn. */
const every = 1000
const fresh = 250
const turn = 20
/** A look that takes long is not taken more often than so many times its own time. */
const rest = 10

/** A run with what reads it. */
interface Watched {
  readonly read: () => KnownRun
  readonly last: KnownRun
}

/** The settings in which runs differ: by key, the value of each run. */
export const differingSettings = (
  runs: Iterable<readonly [run: string, settings: ReadonlyMap<string, string>]>,
): Record<string, Record<string, string>> => {
  const all = [...runs].filter(([, settings]) => settings.size > 0)
  const keys = new Set(all.flatMap(([, settings]) => [...settings.keys()]))
  const differing = [...keys].filter((key) => new Set(all.map(([, settings]) => settings.get(key))).size > 1)
  return Object.fromEntries(
    differing.map((key) => [
      key,
      Object.fromEntries(
        all.flatMap(([run, settings]) => {
          const value = settings.get(key)
          return value === undefined ? [] : [[run, value]]
        }),
      ),
    ]),
  )
}

export const watchRuns = (folder: RunsFolder, events: EventLog): Watch => {
  let watched = new Map<string, Watched>()
  let lookedAt = Number.NEGATIVE_INFINITY
  let took = 0
  let underWay: Promise<void> | null = null
  let isFirst = true

  const tell = (before: ReadonlyMap<string, Watched>): void => {
    const changed: RunRow[] = []
    for (const [run, { last }] of watched) {
      const old = before.get(run)?.last.row
      if (JSON.stringify(old) === JSON.stringify(last.row)) continue
      changed.push(last.row)
      const { progress, updated } = last.row
      if (progress !== null && updated !== old?.updated)
        events.publish({ event: 'lines', run, stage: progress.stage, step: progress.step })
    }
    if (changed.length > 0) events.publish({ event: 'runs', rows: changed })
    const gone = [...before.keys()].filter((run) => !watched.has(run))
    if (gone.length > 0) events.publish({ event: 'gone', runs: gone })
  }

  const lookOnce = async (): Promise<void> => {
    const started = performance.now()
    let since = started
    const found = new Map<string, Watched>()
    // A folder that has just gone, or may not be read, holds no run that can be shown.
    for (const dir of runDirectories(folder.root, () => [])) {
      const run = folder.nameOf(dir)
      const read = watched.get(run)?.read ?? runReader(folder, dir)
      found.set(run, { read, last: read() })
      if (performance.now() - since < turn) continue
      await setImmediate()
      since = performance.now()
    }
    const before = watched
    watched = found
    if (!isFirst) tell(before)
    isFirst = false
    lookedAt = performance.now()
    took = lookedAt - started
  }

  const look = (): Promise<void> => {
    if (performance.now() - lookedAt < Math.max(fresh, took)) return Promise.resolve()
    underWay ??= lookOnce().finally(() => {
      underWay = null
    })
    return underWay
  }

  return {
    look,
    list: () => ({
      folder: folder.given,
      runs: [...watched.values()].map(({ last }) => last.row),
      differing: differingSettings([...watched].map(([run, { last }]) => [run, last.settings])),
    }),
    row: (run) => watched.get(run)?.last.row,
    settings: (run) => watched.get(run)?.last.settings ?? new Map(),
    keepLooking: (isWanted) => {
      let timer: NodeJS.Timeout
      const next = (): void => {
        timer = setTimeout(
          async () => {
            if (isWanted()) await look().catch(() => undefined)
            next()
          },
          Math.max(every, rest * took),
        )
        timer.unref()
      }
      next()
      return () => clearTimeout(timer)
    },
  }
}
