/** @file What the page of training shows, as its worker tells it. */

import type { MetricRecord, StepEvent } from '../../../src/tab/page.ts'
import { complain, note } from '../design/toasts.svelte.ts'
import type { BrokenRun, Command, Said, StoredRun } from './messages.ts'

/** What is being done. */
export type Doing = 'nothing' | 'preparing' | 'training' | 'pausing' | 'packing'

/** Files left out that are named; of more their number is said. */
const namedAtMost = 20

/** The page's state. */
class Training {
  /** Runs that this browser keeps; null until they are known. */
  runs: readonly (StoredRun | BrokenRun)[] | null = $state(null)
  /** The one that is shown. */
  run: StoredRun | null = $state(null)
  log: readonly MetricRecord[] = $state.raw([])
  /** Address of the newest drawing. */
  drawing: string | null = $state(null)
  doing: Doing = $state('nothing')
  underWay: { readonly what: string; readonly share?: number | undefined } | null = $state(null)
  last: StepEvent | null = $state.raw(null)
  device: readonly string[] = $state([])
  leftOut: readonly string[] = $state([])
  /** What the last warning of training was. */
  warning: string | null = $state(null)
}

/** The one state of the page. */
export const training = new Training()

const worker = new Worker(new URL('./worker/main.ts', import.meta.url), { type: 'module' })

/** Tells the worker what to do. */
export const command = (given: Command): void => worker.postMessage(given)

const showDrawing = (drawing: Blob | null): void => {
  if (training.drawing !== null) URL.revokeObjectURL(training.drawing)
  training.drawing = drawing && URL.createObjectURL(drawing)
}

const logged = (record: MetricRecord): void => {
  training.log = [...training.log, record]
}

/** Offers a file to the person. */
const save = (name: string, content: Blob): void => {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(content)
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000)
}

/** The numbers of a step that the log has too. */
const recordOf = ({ event: _, steps: __, ...rest }: StepEvent): MetricRecord => rest

const leave = (): void => {
  training.run = null
  training.log = []
  training.last = null
  training.leftOut = []
  training.warning = null
  showDrawing(null)
}

/** Back to all runs. */
export const toAllRuns = (): void => {
  leave()
  command({ do: 'list' })
}

const heard: { readonly [K in Said['said']]: (said: Extract<Said, { said: K }>) => void } = {
  runs: ({ runs }) => {
    training.runs = runs
  },
  'under way': ({ what, share }) => {
    training.underWay = { what, share }
  },
  'left out': ({ files }) => {
    const named = files.slice(0, namedAtMost).map(({ file, reason }) => `${file}: ${reason}`)
    const more = files.length - named.length
    training.leftOut = more > 0 ? [...named, `and ${more} more`] : named
  },
  run: ({ run, log, drawing }) => {
    training.run = run
    training.log = log
    showDrawing(drawing)
  },
  device: ({ sentences }) => {
    training.device = sentences
  },
  step: ({ event }) => {
    training.underWay = null
    if (training.doing === 'preparing') training.doing = 'training'
    training.last = event
    logged(recordOf(event))
  },
  psnr: ({ step, psnr }) => logged({ stage: 'stage1', step, psnr }),
  drawn: ({ drawing }) => showDrawing(drawing),
  note: () => undefined,
  warning: ({ text }) => {
    training.warning = text
  },
  ended: ({ run, isFinished }) => {
    training.run = run
    training.doing = 'nothing'
    training.underWay = null
    training.last = null
    note(isFinished ? `${run.name} is trained.` : `${run.name} is saved at step ${run.step}.`)
  },
  zip: ({ name, zip }) => {
    training.doing = 'nothing'
    training.underWay = null
    save(`${name}.zip`, zip)
  },
  model: ({ name }) => {
    location.assign(`./index.html?kept=${encodeURIComponent(name)}`)
  },
  deleted: ({ name }) => {
    note(`${name} is deleted.`)
    toAllRuns()
  },
  failed: ({ text }) => {
    training.doing = 'nothing'
    training.underWay = null
    training.last = null
    complain(text)
    command(training.run === null ? { do: 'list' } : { do: 'show', name: training.run.name })
  },
}

worker.addEventListener('message', ({ data }: MessageEvent<Said>) => {
  ;(heard[data.said] as (said: Said) => void)(data)
})
worker.addEventListener('error', ({ message }) => {
  training.doing = 'nothing'
  training.underWay = null
  complain(`the worker that trains stopped (${message || 'it could not be loaded'}); reload the page`)
})
