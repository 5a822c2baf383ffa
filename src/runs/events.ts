/** @file What a job tells its caller while it runs; the command line prints it, a program may do what it likes. */

import type { Evaluation } from '../metrics/figures.ts'

/** Progress of training: means over the steps since the last such event. */
export interface StepEvent {
  readonly event: 'step'
  readonly stage: string
  readonly step: number
  readonly steps: number
  readonly loss: number
  readonly gradNorm: number
  readonly lr: number
  readonly skipped: number
  readonly imagesPerSecond: number
  readonly gflopsPerSecond: number
  readonly secondsLeft: number
  /** Named figures of the stage, such as bitsPerPixel and decoderNatsPerPixel. */
  readonly [figure: string]: number | string
}

/** Everything a job may report. */
export type JobEvent =
  | StepEvent
  | { readonly event: 'note'; readonly text: string }
  | { readonly event: 'warning'; readonly text: string }
  | { readonly event: 'validation'; readonly stage: string; readonly step: number; readonly psnr: number }
  | { readonly event: 'file'; readonly what: string; readonly path: string }
  /** Stage and step where one was being trained. */
  | { readonly event: 'stopped'; readonly stage?: string; readonly step?: number }
  | {
      readonly event: 'done'
      readonly run: string
      readonly seconds: number
      readonly validation: Evaluation | null
    }

/** Receives events. */
export type Listener = (event: JobEvent) => void

/** Tells the percentage of a long piece of work at every tenth that it reaches, once each. */
export const atTenths = (
  tell: (percent: number, total: number) => void,
): ((done: number, total: number) => void) => {
  let told = -1
  return (done, total) => {
    const percent = Math.floor((10 * done) / total) * 10
    if (percent > told) tell(percent, total)
    told = Math.max(told, percent)
  }
}

/** Tells every text once, however often it comes. */
export const onceEach = (tell: (text: string) => void): ((text: string) => void) => {
  const told = new Set<string>()
  return (text) => {
    if (told.has(text)) return
    told.add(text)
    tell(text)
  }
}
