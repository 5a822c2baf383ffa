/** @file Finished runs below a folder, had again when one of them ends. */
import type { ScatterPoint } from '../../../src/studio/api.ts'
import type { StudioContext } from './context.ts'
import { atMostEvery } from './data/later.ts'

/** The runs, null before they were had; why they could not be had, in one sentence. */
export interface Finished {
  readonly points: readonly ScatterPoint[] | null
  readonly fault: string | null
}

/** Milliseconds between two questions; each reads every run below the folder. */
const pause = 2000

/** Follows the runs below a folder, which is read where it changes, for as long as the component is there. */
export const followFinished = ({ client, live }: StudioContext, below: () => string): Finished => {
  let points = $state.raw<readonly ScatterPoint[] | null>(null)
  let fault = $state<string | null>(null)

  $effect(() => {
    const folder = below()
    const ends = new AbortController()
    const later = atMostEvery(pause, async () => {
      try {
        points = await client.scatter(folder, ends.signal)
        fault = null
      } catch (cause) {
        if (!ends.signal.aborted) fault = cause instanceof Error ? cause.message : String(cause)
      }
    })
    later.ask()
    const stop = live.listen(({ event }) => {
      if (event !== 'lines') later.ask()
    })
    return () => {
      stop()
      later.callOff()
      ends.abort()
    }
  })

  return {
    get points() {
      return points
    },
    get fault() {
      return fault
    },
  }
}
