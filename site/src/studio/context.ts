/** @file What every part of the studio's page has at hand. */
import { createContext } from 'svelte'
import type { Address } from './address.svelte.ts'
import type { StudioClient } from './data/client.ts'
import type { Looks } from './data/colours.ts'
import type { LiveRuns } from './liveRuns.svelte.ts'

/** The server, the runs, the page's address and the colours of runs. */
export interface StudioContext {
  readonly client: StudioClient
  readonly live: LiveRuns
  readonly address: Address
  readonly looks: Looks
}

export const [studioContext, setStudioContext] = createContext<StudioContext>()
