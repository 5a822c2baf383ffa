/** @file All that is known of the runs that are looked at: metrics, images, what was printed; asked for again when they change. */
import { SvelteMap } from 'svelte/reactivity'
import type { RunDetail } from '../../../src/studio/api.ts'
import type { StudioClient } from './data/client.ts'
import { atMostEvery, type Later } from './data/later.ts'
import type { LiveRuns } from './liveRuns.svelte.ts'

/** A run as it was last had, and why there is nothing newer, in one sentence. */
export interface KnownRun {
  readonly detail: RunDetail | null
  readonly fault: string | null
}

/** Runs by their path, and the end of following them. */
export interface RunDetails {
  readonly known: ReadonlyMap<string, KnownRun>
  /** Follows these runs alone. */
  follow(runs: readonly string[]): void
  close(): void
}

const pause = 1000
const nothing: KnownRun = { detail: null, fault: null }

/** Follows runs until it is closed. */
export const openRunDetails = (client: StudioClient, live: LiveRuns): RunDetails => {
  const known = new SvelteMap<string, KnownRun>()
  const followed = new Map<string, Later>()
  const ends = new AbortController()

  const fetchRun = async (run: string): Promise<void> => {
    try {
      const detail = await client.run(run, ends.signal)
      if (followed.has(run)) known.set(run, { detail, fault: null })
    } catch (cause) {
      if (ends.signal.aborted || !followed.has(run)) return
      known.set(run, { ...(known.get(run) ?? nothing), fault: (cause as Error).message })
    }
  }

  const stop = live.listen((event) => {
    const changed =
      event.event === 'runs' ? event.rows.map(({ run }) => run) : event.event === 'gone' ? event.runs : []
    const asked = event.event === 'resync' ? [...followed.keys()] : changed
    for (const run of asked) followed.get(run)?.ask()
  })

  return {
    known,
    follow: (runs) => {
      for (const [run, later] of followed) {
        if (runs.includes(run)) continue
        later.callOff()
        followed.delete(run)
        known.delete(run)
      }
      for (const run of runs) {
        if (followed.has(run)) continue
        const later = atMostEvery(pause, () => fetchRun(run))
        followed.set(run, later)
        later.ask()
      }
    },
    close: () => {
      stop()
      for (const later of followed.values()) later.callOff()
      ends.abort()
    },
  }
}
