/** @file A studio in memory, for tests of what its pages do with answers: a fetch, its events, and a clock that is turned by hand. */

import type { EventConnection } from '../../../site/src/studio/data/eventStream.ts'
import type { After } from '../../../site/src/studio/data/later.ts'
import type { RunDetail, RunRow, Series, StudioEvent } from '../../../src/studio/api.ts'

/** A row of a run, by what a test cares about. */
export const rowOf = (run: string, given: Partial<RunRow> = {}): RunRow => ({
  run,
  status: 'finished',
  name: 'quickstart',
  progress: null,
  updated: null,
  figures: {},
  fault: null,
  ...given,
})

/** Lines of a log, [step, value] each. */
export type Lines = (readonly [number, number])[]

/** One part a line, as a server answers where there are fewer lines than parts. */
const seriesOf = (lines: Lines, from: number, to: number): Series => {
  const within = lines.filter(([step]) => step >= from && step <= to)
  const values = within.map(([, value]) => value)
  return { step: within.map(([step]) => step), min: values, max: values, mean: values, count: within.length }
}

/** What a request was, as a test asserts it. */
export interface Asked {
  readonly method: string
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  readonly token: string | null
  readonly body: unknown
}

const json = (value: unknown, status = 200): Response =>
  new Response(JSON.stringify(value), { status, headers: { 'content-type': 'application/json' } })

/** What a test sees of the studio, and may change. */
export interface FakeStudio {
  readonly token: string
  /** Runs by path, with their lines by metric. */
  readonly logs: Map<string, Readonly<Record<string, Lines>>>
  rows: RunRow[]
  isDown: boolean
  /** All that was asked. */
  readonly asked: Asked[]
  readonly fetch: typeof globalThis.fetch
}

/** A studio of some runs; tests change what is in it. */
export const fakeStudio = (token = 'first'): FakeStudio => {
  const state: Omit<FakeStudio, 'fetch'> = { token, logs: new Map(), rows: [], isDown: false, asked: [] }

  const answer = ({ method, path, query, token: given }: Asked): Response => {
    if (method === 'POST' && given !== state.token)
      return json({ error: 'The token is of another start.' }, 403)
    const log = state.logs.get(query.run ?? '')
    if (path === '/api/runs') return json({ folder: 'runs', runs: state.rows, differing: {} })
    if (path === '/api/series' && log !== undefined) {
      const { metric, from = '-Infinity', to = 'Infinity' } = query
      return json(seriesOf(log[metric] ?? [], Number(from), Number(to)))
    }
    if (method === 'POST') return json({ run: 'x' }, 202)
    return json({ error: `There is no run "${query.run}".` }, 404)
  }

  const fetch: typeof globalThis.fetch = async (input, init) => {
    init?.signal?.throwIfAborted()
    if (state.isDown) throw new TypeError('fetch failed')
    const url = new URL(String(input), 'http://studio')
    const asked: Asked = {
      method: init?.method ?? 'GET',
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
      token: new Headers(init?.headers).get('x-studio-token'),
      body: init?.body === undefined ? null : JSON.parse(String(init.body)),
    }
    state.asked.push(asked)
    return answer(asked)
  }
  return Object.assign(state, { fetch })
}

/** A connection whose server is the test. */
export class FakeConnection implements EventConnection {
  readyState = 0
  readonly #listeners = new Map<string, (message: { readonly data: string }) => void>()
  addEventListener(type: string, listen: (message: { readonly data: string }) => void): void {
    this.#listeners.set(type, listen)
  }
  close(): void {
    this.readyState = 2
  }
  opens(): void {
    this.readyState = 1
    this.#tells('open')
  }
  /** @param state 0 where the browser tries again, 2 where it gave up */
  breaks(state: 0 | 2): void {
    this.readyState = state
    this.#tells('error')
  }
  sends(event: StudioEvent): void {
    this.#tells('message', JSON.stringify(event))
  }
  #tells(type: string, data = ''): void {
    this.#listeners.get(type)?.({ data })
  }
}

/** A clock that stands still until it is turned. */
export const handClock = (): {
  readonly after: After
  readonly pass: (milliseconds: number) => Promise<void>
} => {
  let now = 0
  let waiting: { readonly at: number; readonly then: () => void }[] = []
  const after: After = (milliseconds, then) => {
    const entry = { at: now + milliseconds, then }
    waiting.push(entry)
    return () => {
      waiting = waiting.filter((other) => other !== entry)
    }
  }
  /** Lets milliseconds pass, and what was asked for in them come to its end. */
  const pass = async (milliseconds: number): Promise<void> => {
    await settled() // what was asked for before is asked for at the time before
    now += milliseconds
    for (;;) {
      const due = waiting.find(({ at }) => at <= now)
      if (due === undefined) return
      waiting = waiting.filter((entry) => entry !== due)
      due.then()
      await settled()
    }
  }
  return { after, pass }
}

/** Once all that needs no time is done. */
export const settled = async (): Promise<void> => {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setTimeout(resolve))
}

/** A detail of a run without anything. */
export const detailOf = (row: RunRow): RunDetail => ({
  row,
  config: '',
  command: '',
  metrics: {},
  images: [],
  output: '',
})
