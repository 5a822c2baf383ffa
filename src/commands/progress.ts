/** @file Progress of training, alone or in a sweep: as text for people, or as JSON lines for programs. */
import pc from 'picocolors'
import type { Evaluation, Measured, Prediction } from '../metrics/figures.ts'
import { inOneLine } from '../report/escape.ts'
import type { JobEvent, Listener, StepEvent } from '../runs/events.ts'
import { print, printJson } from './print.ts'

const clock = (seconds: number): string => {
  const s = Math.round(seconds)
  const minutes = Math.floor(s / 60)
  return minutes >= 60
    ? `${Math.floor(minutes / 60)}h${String(minutes % 60).padStart(2, '0')}m`
    : `${minutes}m${String(s % 60).padStart(2, '0')}s`
}

const figure = (event: StepEvent, name: string, label: string, digits: number): string => {
  const value = event[name]
  return typeof value === 'number' ? `  ${label} ${value.toFixed(digits)}` : ''
}

const stepLine = (event: StepEvent): string =>
  `${event.stage} ${String(event.step).padStart(String(event.steps).length)}/${event.steps}` +
  `  ${event.imagesPerSecond.toFixed(0)} img/s  ${event.gflopsPerSecond.toFixed(0)} GFLOP/s  ${clock(event.secondsLeft)} left` +
  `  loss ${event.loss.toFixed(4)}` +
  figure(event, 'bitsPerPixel', 'bits/pixel', 3) +
  figure(event, 'decoderNatsPerPixel', 'decoder', 3) +
  figure(event, 'latentRms', 'latent', 2) +
  (event.skipped > 0 ? `  skipped ${event.skipped}` : '')

const withError = ({ mean, error }: Measured): string => `${mean.toFixed(2)} ± ${error.toFixed(2)}`

/** What of the figures of clips is more than a number: what rest costs, and how clips are predicted. */
export const clipLines = ({ still, prediction }: Evaluation): string[] => [
  ...(still === undefined
    ? []
    : [
        `a clip that stands still  ${still.clipBits.mean.toFixed(0)} ± ${still.clipBits.error.toFixed(0)} bits, ${still.ratio.toFixed(2)} times one image of it`,
      ]),
  ...(prediction === undefined ? [] : predictionLines(prediction)),
]

/** How clips are predicted, and how by what needs no model. */
const predictionLines = (prediction: Prediction): string[] => {
  const { given, count, draws = 1, guidance = 1, psnr, expectedPsnr, repeatedPsnr } = prediction
  const clips = `${count} clips${guidance === 1 ? '' : `, guidance ${guidance}`}`
  const last = (frames?: readonly Measured[]): Measured | undefined => frames?.at(-1)
  const [own, expected, straight, stayed] = [
    last(prediction.positionErrorByFrame),
    last(prediction.expectedPositionErrorByFrame),
    last(prediction.constantVelocityErrorByFrame),
    last(prediction.repeatedPositionErrorByFrame),
  ]
  const ofMean = (value: Measured | undefined, unit: string): string =>
    value === undefined ? '' : `, mean of ${draws} draws ${withError(value)} ${unit}`
  return [
    `prediction from ${given} frames (${clips})  ${withError(psnr)} dB${ofMean(expectedPsnr, 'dB')}, the last of them repeated ${withError(repeatedPsnr)} dB`,
    ...(own && straight
      ? [
          `place at the last frame  ${withError(own)} pixels off${ofMean(expected, 'pixels')}, at constant velocity ${withError(straight)} pixels${stayed === undefined ? '' : `, where it last was ${withError(stayed)} pixels`}`,
        ]
      : []),
  ]
}

const doneLines = ({ run, seconds, validation }: Extract<JobEvent, { event: 'done' }>): string => {
  const lines = [`done in ${clock(seconds)}: ${inOneLine(run)}`]
  if (validation !== null) {
    const { psnr, gridPsnr, bitsPerPixel } = validation
    lines.push(
      `  reconstruction ${psnr.mean.toFixed(2)} ± ${psnr.error.toFixed(2)} dB (averaging to the latent grid: ${gridPsnr.mean.toFixed(2)} dB)`,
      `  latent rate ${bitsPerPixel.mean.toFixed(3)} ± ${bitsPerPixel.error.toFixed(3)} bits/pixel`,
      ...clipLines(validation).map((line) => `  ${line}`),
    )
  }
  return lines.join('\n')
}

/** One event as a line or two of text. */
export const textOf = (event: JobEvent): string => {
  switch (event.event) {
    case 'step':
      return stepLine(event)
    case 'note':
      return pc.dim(inOneLine(event.text))
    case 'warning':
      return pc.yellow(`warning: ${inOneLine(event.text)}`)
    case 'validation':
      return `${event.stage} ${event.step}: validation PSNR ${event.psnr.toFixed(2)} dB`
    case 'file':
      return `${event.what}: ${inOneLine(event.path)}`
    case 'stopped':
      return `stopped${event.stage === undefined ? '' : ` after step ${event.step} of ${event.stage}`}; the same command resumes`
    case 'done':
      return pc.green(doneLines(event))
  }
}

/** Prints events: the end on stdout, progress on stderr, where it overwrites its line on a terminal. */
export const terminalListener = (json: boolean): Listener => {
  const live = !json && process.stderr.isTTY === true
  let open = false
  return (event) => {
    if (json) {
      printJson(event)
      return
    }
    const text = textOf(event)
    if (open) print('stderr', event.event === 'step' ? '\r\u001b[K' : '\n')
    open = live && event.event === 'step'
    print(event.event === 'done' ? 'stdout' : 'stderr', `${text}${open ? '' : '\n'}`)
  }
}
