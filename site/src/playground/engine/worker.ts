/** @file The worker's entry: calls are answered one after the other, and cancelled between the steps of what runs. */
import { DeviceError } from 'unified-latents/web'
import type { CallName, Calls, Live, Reply, Request } from './protocol.ts'
import { leaveGpu, work } from './work.ts'

const underWay = new Map<number, AbortController>()
let before: Promise<unknown> = Promise.resolve()

const reply = (message: Reply): void => postMessage(message)

/** Whether the GPU does not compute, whatever is asked of it; the CPU may. */
const isOfGpu = (error: unknown): error is DeviceError =>
  error instanceof DeviceError && error.device === 'webgpu'

/** What went wrong, in a sentence for who reads it in a page. */
const sentenceOf = (error: unknown): string => {
  if (isOfGpu(error)) return `${error.reason}; the CPU goes on, reload the page to have the GPU again`
  return error instanceof Error ? error.message : String(error)
}

const answer = async <K extends CallName>(id: number, call: K, input: Calls[K]['in']): Promise<void> => {
  const control = underWay.get(id) ?? new AbortController()
  const live = (now: Live): void => reply({ id, kind: 'live', live: now })
  try {
    control.signal.throwIfAborted()
    reply({ id, kind: 'done', output: await work[call](input, { signal: control.signal, live }) })
  } catch (error) {
    const isClosed = isOfGpu(error)
    if (isClosed) leaveGpu(error)
    reply({ id, kind: 'failed', message: sentenceOf(error), cancelled: control.signal.aborted, isClosed })
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
