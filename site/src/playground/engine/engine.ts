/** @file The page's side of its worker: a call is a promise, which can be watched and cancelled. */
import type { CallName, Calls, Live, Reply, Request } from './protocol.ts'

/** How a call is watched and cancelled. */
export interface CallOptions {
  readonly signal?: AbortSignal
  readonly live?: (live: Live) => void
}

/** Asks the worker, which answers one call after the other. @throws what it says, or AbortError */
export type Call = <K extends CallName>(
  name: K,
  input: Calls[K]['in'],
  options?: CallOptions,
) => Promise<Calls[K]['out']>

interface Waiting {
  readonly done: (output: unknown) => void
  readonly failed: (error: Error) => void
  readonly live: ((live: Live) => void) | undefined
}

/** What is thrown when a person cancelled. */
export const isCancelled = (error: unknown): boolean =>
  error instanceof DOMException && error.name === 'AbortError'

/** A call failed, and the model with it: it has to be opened again. */
export class ClosedError extends Error {}

const cancelled = (): DOMException => new DOMException('cancelled', 'AbortError')

/** Speaks to a worker. It is started here and never ended: the page ends it. */
export const callsTo = (worker: Worker): Call => {
  const waiting = new Map<number, Waiting>()
  let last = 0
  const send = (request: Request): void => worker.postMessage(request)

  worker.addEventListener('message', ({ data }: MessageEvent<Reply>) => {
    const own = waiting.get(data.id)
    if (own === undefined) return
    if (data.kind === 'live') return own.live?.(data.live)
    waiting.delete(data.id)
    if (data.kind === 'done') own.done(data.output)
    else if (data.isClosed) own.failed(new ClosedError(data.message))
    else own.failed(data.cancelled ? cancelled() : new Error(data.message))
  })
  worker.addEventListener('error', ({ message }) => {
    const error = new Error(
      `the worker that computes stopped (${message || 'it could not be loaded'}); reload the page`,
    )
    for (const { failed } of waiting.values()) failed(error)
    waiting.clear()
  })

  return <K extends CallName>(call: K, input: Calls[K]['in'], { signal, live }: CallOptions = {}) =>
    new Promise<Calls[K]['out']>((resolve, reject) => {
      if (signal?.aborted) return reject(cancelled())
      last += 1
      const id = last
      waiting.set(id, { done: (output) => resolve(output as Calls[K]['out']), failed: reject, live })
      signal?.addEventListener('abort', () => send({ id, call: 'cancel' }), { once: true })
      send({ id, call, input } as Request)
    })
}
