/** @file The worker's entry: calls are answered one after the other, and cancelled between the steps of what runs. */
import type { CallName, Calls, Live, Reply, Request } from './protocol.ts'
import { work } from './work.ts'

const underWay = new Map<number, AbortController>()
let before: Promise<unknown> = Promise.resolve()

const reply = (message: Reply): void => postMessage(message)

const answer = async <K extends CallName>(id: number, call: K, input: Calls[K]['in']): Promise<void> => {
  const control = underWay.get(id) ?? new AbortController()
  const live = (now: Live): void => reply({ id, kind: 'live', live: now })
  try {
    control.signal.throwIfAborted()
    reply({ id, kind: 'done', output: await work[call](input, { signal: control.signal, live }) })
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    reply({ id, kind: 'failed', message, cancelled: control.signal.aborted })
  } finally {
    underWay.delete(id)
  }
}

addEventListener('message', ({ data }: MessageEvent<Request>) => {
  if (data.call === 'cancel') {
    underWay.get(data.id)?.abort()
    return
  }
  const { id, call, input } = data
  underWay.set(id, new AbortController())
  // `answer` never rejects, so one failure does not end those after it
  before = before.then(() => answer(id, call, input))
})
