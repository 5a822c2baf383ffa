/** @file Events for whoever watches: numbered, the last of them kept, so that a stream that broke off goes on where it was. */
import type { StudioEvent } from './api.ts'

/** Events kept, and characters of them, at most. */
const mostEvents = 512
const mostCharacters = 2 ** 22

/** An event as it is sent. */
export interface SentEvent {
  readonly id: number
  readonly data: string
}

/** Where events go. */
export interface EventLog {
  publish(event: StudioEvent): void
  /**
   * Calls for every event from now on, and first for those after `last`; where these are no longer known, or are of another
   * start of the studio, for a `resync`.
   * @param last the event that was received last; null of a new stream
   * @returns ends it
   */
  subscribe(last: number | null, listen: (event: SentEvent) => void): () => void
  /** The newest event's number. */
  readonly newest: number
  /** Streams that listen. */
  readonly listeners: number
}

/** @param first number of the first event: above all of an earlier start, so that its streams are told to begin anew */
export const createEvents = (first: number = Date.now()): EventLog => {
  const kept: SentEvent[] = []
  const listeners = new Set<(event: SentEvent) => void>()
  let newest = first
  let characters = 0
  return {
    publish: (event) => {
      newest++
      const sent = { id: newest, data: JSON.stringify(event) }
      kept.push(sent)
      characters += sent.data.length
      while (kept.length > mostEvents || (characters > mostCharacters && kept.length > 1))
        characters -= kept.shift()?.data.length ?? 0
      for (const listen of listeners) listen(sent)
    },
    subscribe: (last, listen) => {
      if (last !== null && last !== newest) {
        const oldest = kept[0]?.id ?? newest + 1
        if (last >= oldest - 1 && last < newest)
          for (const event of kept.filter(({ id }) => id > last)) listen(event)
        else listen({ id: newest, data: JSON.stringify({ event: 'resync' } satisfies StudioEvent) })
      }
      listeners.add(listen)
      return () => {
        listeners.delete(listen)
      }
    },
    get newest() {
      return newest
    },
    get listeners() {
      return listeners.size
    },
  }
}
