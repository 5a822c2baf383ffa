/** @file Events as a stream of server-sent events. */
import type { EventLog } from './events.ts'
import { Refused } from './refused.ts'

/** Streams at once, and bytes that one may be behind, at most. */
const [mostStreams, mostBehind] = [64, 2 ** 20]
/** Milliseconds between signs of life, without which proxies close a stream. */
const beat = 15_000

const encoder = new TextEncoder()

/**
 * A stream that goes on after the event that was received last.
 * @param lastId header `Last-Event-ID`; null of a new stream
 * @param closing ends all streams; it has as many listeners as there are
 * @throws Refused when there are too many
 */
export const eventStream = (events: EventLog, lastId: string | null, closing: AbortSignal): Response => {
  if (events.listeners >= mostStreams)
    throw new Refused(503, `${mostStreams} pages watch already; close some of them`)
  const last = lastId !== null && /^\d{1,16}$/.test(lastId) ? Number(lastId) : lastId === null ? null : -1
  let end = (): void => undefined
  const body = new ReadableStream<Uint8Array>(
    {
      start: (controller) => {
        const send = (text: string): void => {
          // Who does not read is let go, and comes back with the number of what it received last.
          if ((controller.desiredSize ?? 0) <= 0) stop()
          else controller.enqueue(encoder.encode(text))
        }
        let leave = (): void => undefined
        const timer = setInterval(() => send(':\n\n'), beat)
        timer.unref()
        let isOpen = true
        const stop = (): void => {
          end()
          controller.close()
        }
        end = () => {
          if (!isOpen) return
          isOpen = false
          clearInterval(timer)
          closing.removeEventListener('abort', stop)
          leave()
        }
        closing.addEventListener('abort', stop)
        send(`retry: 1000\nid: ${events.newest}\n\n`)
        leave = events.subscribe(last, ({ id, data }) => {
          if (isOpen) send(`id: ${id}\ndata: ${data}\n\n`)
        })
      },
      cancel: () => end(),
    },
    { highWaterMark: mostBehind, size: (chunk) => chunk.length },
  )
  return new Response(body, {
    headers: { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-store' },
  })
}
