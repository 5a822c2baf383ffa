/** @file What the page holds: its settings, which follow the address, the model that is open, and the work under way. */
import { complain } from '../design/toasts.svelte.ts'
import { type Call, type CallOptions, ClosedError, callsTo, isCancelled } from './engine/engine.ts'
import type { Live, ModelSource, ModelSummary, SquareImage } from './engine/protocol.ts'
import { shippedModel } from './models/shipped.ts'
import { hashOf, type Settings, settingsIn } from './settings.ts'

/** Work that a person waits for. */
interface Task {
  readonly label: string
  readonly share: number | undefined
  readonly cancel: () => void
}

/** An image that was chosen. */
export interface Chosen extends SquareImage {
  readonly name: string
  readonly file: Blob
}

/** What is set; the address follows. */
export const settings: Settings = $state(settingsIn(location.hash))

/** What there is. */
export const session: {
  model: ModelSummary | null
  /** Where the open model came from, or will. */
  source: ModelSource
  task: Task | null
  image: Chosen | null
  other: Chosen | null
} = $state({ model: null, source: shippedModel, task: null, image: null, other: null })

/** Keeps the address as the settings are, and follows it when a person changes it. Call where effects may be. */
export const followAddress = (): void => {
  $effect(() => {
    const hash = hashOf(settings)
    if (hash !== location.hash)
      history.replaceState(null, '', hash === '' ? location.pathname + location.search : hash)
  })
  $effect(() => {
    const follow = (): void => void Object.assign(settings, settingsIn(location.hash))
    addEventListener('hashchange', follow)
    return () => removeEventListener('hashchange', follow)
  })
}

let started: Call | undefined

/** The worker, started when something is first asked of it. */
const call: Call = (name, input, options) => {
  started ??= callsTo(new Worker(new URL('./engine/worker.ts', import.meta.url), { type: 'module' }))
  return started(name, input, options)
}

/** Calls in a piece of work. */
export type Asking = (call: Call) => Promise<void>

let running: AbortController | null = null
/** Whether the worker has the model that the page shows; what is known of it stays in view where it has not. */
let isOpen = false

/**
 * Does a piece of work that a person sees and can cancel; what ran before is cancelled. The model is opened first, where it
 * is not open; where it went with a lost GPU, the work is done again on the CPU. Errors are said on the page.
 */
export const perform = async (label: string, body: Asking, look?: (live: Live) => void): Promise<void> => {
  running?.abort()
  const control = new AbortController()
  running = control
  const show = (live: Live): void => {
    look?.(live)
    if (running !== control || (live.label === undefined && live.share === undefined)) return
    session.task = { label: live.label ?? label, share: live.share, cancel: () => control.abort() }
  }
  show({ label })
  const own: Call = (name, input, options: CallOptions = {}) =>
    call(name, input, { signal: control.signal, live: show, ...options })
  let isAgain = false
  try {
    if (session.model === null || !isOpen) {
      const source = $state.snapshot(session.source) as ModelSource
      session.model = await own('open', { source, device: settings.device })
      isOpen = true
    }
    await body(own)
  } catch (error) {
    if (!isCancelled(error)) complain(error)
    if (error instanceof ClosedError) {
      isOpen = false
      isAgain = running === control && !control.signal.aborted
    }
  } finally {
    if (running === control) {
      running = null
      session.task = null
      if (session.model === null) session.source = shippedModel
    }
  }
  if (isAgain) await perform(label, body, look)
}

/** Opens another model; images that were chosen are made ready for it. */
export const openSource = async (source: ModelSource): Promise<void> => {
  const { image, other } = session
  session.source = source
  session.model = null
  session.image = null
  session.other = null
  await perform(`Opening ${source.name}`, async (ask) => {
    if (image !== null) session.image = await prepared(ask, image)
    if (other !== null) session.other = await prepared(ask, other)
  })
}

const prepared = async (ask: Call, { name, file }: Pick<Chosen, 'name' | 'file'>): Promise<Chosen> => ({
  name,
  file,
  ...(await ask('prepare', { image: file, fit: settings.fit })),
})

/** The images that are being made ready, one after the other: a link may name both. */
let reading: Promise<void> = Promise.resolve()
const asked: Record<'image' | 'other', number> = { image: 0, other: 0 }

/** Makes an image ready for the model and takes it as the first or the other one; the last that was chosen counts. */
export const choose = (which: 'image' | 'other', name: string, file: Blob): Promise<void> => {
  asked[which] += 1
  const turn = asked[which]
  reading = reading.then(async () => {
    if (turn !== asked[which]) return
    await perform(`Reading ${name}`, async (ask) => {
      session[which] = await prepared(ask, { name, file })
    })
  })
  return reading
}
