/** @file The studio's events: resumed by the browser where it can, opened again with a resync where it cannot. */
import type { StudioEvent } from '../../../../src/studio/api.ts'

/** What is used of an EventSource. */
export interface EventConnection {
  /** 0 connecting, 1 open, 2 closed for good. */
  readonly readyState: number
  addEventListener(type: 'open' | 'error', listen: () => void): void
  addEventListener(type: 'message', listen: (message: { readonly data: string }) => void): void
  close(): void
}

/** Whether events come: `lost` once an open connection broke, or the first one failed. */
export type StreamState = 'connecting' | 'open' | 'lost'

/** What the stream needs of its surroundings, and whom it tells. */
export interface StreamParts {
  /** Opens `/api/events`. */
  readonly open: () => EventConnection
  readonly onEvent: (event: StudioEvent) => void
  readonly onState: (state: StreamState) => void
  /** Calls back after milliseconds; returns what calls it off. */
  readonly after: (milliseconds: number, then: () => void) => () => void
}

const closed = 2
/** Waiting before a connection that was closed for good is opened again, doubled each time. */
const [firstWait, longestWait] = [500, 8000]

/**
 * Opens the stream and keeps it open until it is closed. A browser resumes a broken connection by itself, with the id of the
 * last event; one that it gave up is opened anew, and as its missed events cannot be had then, `resync` is told.
 */
export const openEventStream = (parts: StreamParts): { close(): void } => {
  let connection: EventConnection
  let wait = firstWait
  let callOff = (): void => {}
  let isAnew = false

  const connect = (): void => {
    connection = parts.open()
    connection.addEventListener('open', () => {
      wait = firstWait
      parts.onState('open')
      if (isAnew) parts.onEvent({ event: 'resync' })
      isAnew = false
    })
    connection.addEventListener('error', () => {
      parts.onState('lost')
      if (connection.readyState !== closed) return // the browser tries again
      connection.close()
      isAnew = true
      callOff = parts.after(wait, connect)
      wait = Math.min(2 * wait, longestWait)
    })
    connection.addEventListener('message', ({ data }) => parts.onEvent(JSON.parse(data) as StudioEvent))
  }

  parts.onState('connecting')
  connect()
  return {
    close: () => {
      callOff()
      connection.close()
    },
  }
}
