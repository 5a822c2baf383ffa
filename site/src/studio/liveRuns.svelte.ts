/** @file The list of runs, kept up to date by events, and the events themselves for whoever shows more of a run. */
import type { RunList, RunRow, StudioEvent } from '../../../src/studio/api.ts'
import type { StudioClient } from './data/client.ts'
import { type EventConnection, openEventStream, type StreamState } from './data/eventStream.ts'
import { afterwards, atMostEvery } from './data/later.ts'
import { updated } from './data/runTable.ts'

/** The runs below the studio's folder. */
export interface LiveRuns {
  readonly folder: string
  readonly rows: readonly RunRow[]
  readonly differing: RunList['differing']
  /** Whether the list was had once. */
  readonly isThere: boolean
  /** Why it cannot be had, in one sentence; null where it can. */
  readonly fault: string | null
  readonly connection: StreamState
  row(run: string): RunRow | null
  /** Tells every event, until what is returned is called. */
  listen(listener: (event: StudioEvent) => void): () => void
}

/** Milliseconds between two lists, which are asked for where settings may differ in more. */
const pause = 1500

/** Follows the runs for as long as the document is open. */
export const openLiveRuns = (client: StudioClient, openEvents: () => EventConnection): LiveRuns => {
  let list = $state.raw<RunList | null>(null)
  let fault = $state<string | null>(null)
  let connection = $state<StreamState>('connecting')
  const listeners = new Set<(event: StudioEvent) => void>()
  const byRun = $derived(new Map((list?.runs ?? []).map((row) => [row.run, row])))

  const reload = atMostEvery(pause, async () => {
    try {
      list = await client.runs()
      fault = null
    } catch (cause) {
      fault = cause instanceof Error ? cause.message : String(cause)
      if (list === null) afterwards(pause, reload.ask) // without a list there is nothing to go on with
    }
  })

  const apply = (event: StudioEvent): void => {
    if (event.event === 'runs' || event.event === 'gone') {
      const [rows, gone] = event.event === 'runs' ? [event.rows, []] : [[], event.runs]
      const isNew = rows.some(({ run, status }) => byRun.get(run)?.status !== status)
      if (list !== null) list = { ...list, runs: updated(list.runs, rows, gone) }
      if (isNew || gone.length > 0) reload.ask()
    }
    if (event.event === 'resync') reload.ask()
  }

  openEventStream({
    open: openEvents,
    onEvent: (event) => {
      apply(event)
      for (const listener of listeners) listener(event)
    },
    onState: (state) => {
      connection = state
    },
    after: afterwards,
  })
  reload.ask()

  return {
    get folder() {
      return list?.folder ?? ''
    },
    get rows() {
      return list?.runs ?? []
    },
    get differing() {
      return list?.differing ?? {}
    },
    get isThere() {
      return list !== null
    },
    get fault() {
      return fault
    },
    get connection() {
      return connection
    },
    row: (run) => byRun.get(run) ?? null,
    listen: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}
