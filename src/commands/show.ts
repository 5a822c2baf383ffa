/** @file Events and results as text for people or as JSON lines for programs; results on stdout, the rest on stderr. */
import pc from 'picocolors'
import type { FeatureComparison } from '../metrics/compareFeatures.ts'
import type { ClipFigures, ClipScore, Evaluation, Quality } from '../metrics/figures.ts'
import type { JobEvent, Listener, StepEvent } from '../runs/events.ts'
import type { ModelInfo } from '../stages/info.ts'
import type { Profile, ProfileRow } from '../stages/profile.ts'
import type { Plan, RateEstimate } from '../studies/plan.ts'
import type { DataDescription } from '../use/describeData.ts'

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

const doneLines = ({ run, seconds, validation }: Extract<JobEvent, { event: 'done' }>): string => {
  const lines = [`done in ${clock(seconds)}: ${run}`]
  if (validation !== null) {
    const { psnr, gridPsnr, bitsPerPixel } = validation
    lines.push(
      `  reconstruction ${psnr.mean.toFixed(2)} ± ${psnr.error.toFixed(2)} dB (averaging to the latent grid: ${gridPsnr.mean.toFixed(2)} dB)`,
      `  latent rate ${bitsPerPixel.mean.toFixed(3)} ± ${bitsPerPixel.error.toFixed(3)} bits/pixel`,
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
      return pc.dim(event.text)
    case 'warning':
      return pc.yellow(`warning: ${event.text}`)
    case 'validation':
      return `${event.stage} ${event.step}: validation PSNR ${event.psnr.toFixed(2)} dB`
    case 'file':
      return `${event.what}: ${event.path}`
    case 'stopped':
      return `stopped after step ${event.step} of ${event.stage}; the same command resumes`
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
      process.stdout.write(`${JSON.stringify(event)}\n`)
      return
    }
    const text = textOf(event)
    if (open) process.stderr.write(event.event === 'step' ? '\r\u001b[K' : '\n')
    open = live && event.event === 'step'
    const stream = event.event === 'done' ? process.stdout : process.stderr
    stream.write(`${text}${open ? '' : '\n'}`)
  }
}

/** Classes printed at most. */
const classesShown = 40

/** What `ul data` prints. */
export const dataText = (d: DataDescription): string => {
  const shown = d.classes.slice(0, classesShown)
  const width = Math.max(0, ...shown.map(({ name }) => name.length))
  const more = d.classes.length - shown.length
  return [
    `${d.source}${d.path === undefined ? '' : ` ${d.path}`}: ${d.train} training and ${d.validation} validation images, ${d.size}×${d.size}`,
    d.classes.length === 0 ? '  no classes' : `  ${d.classes.length} classes (training, validation)`,
    ...shown.map(
      ({ name, train, validation }) =>
        `  ${name.padEnd(width)}  ${String(train).padStart(7)}  ${String(validation).padStart(7)}`,
    ),
    ...(more > 0 ? [`  … and ${more} more`] : []),
    ...(d.caption === '' ? [] : [`  caption of the first: ${d.caption}`]),
    `  ${d.skipped} skipped`,
    ...d.firstSkipped.map(({ file, reason }) => `  skipped ${file}: ${reason}`),
    ...(d.skipped > d.firstSkipped.length ? [`  … and ${d.skipped - d.firstSkipped.length} more`] : []),
  ].join('\n')
}

/** What `ul info` prints. */
export const infoText = (info: ModelInfo): string =>
  [
    `${info.name}: latent ${info.latentShape.join('×')} (${(1 / info.compression).toFixed(1)} times fewer numbers than the image)`,
    ...info.networks.map(
      ({ network, parameters, gflopsForward, gflopsTraining }) =>
        `  ${network.padEnd(8)} ${(parameters / 1e6).toFixed(2).padStart(8)} M parameters  ${gflopsForward.toFixed(3).padStart(10)} GFLOPs forward  ${gflopsTraining.toFixed(3).padStart(10)} training`,
    ),
    ...info.stages.map(
      ({ stage, batch, gflopsPerStep, stateBytes, intermediateBytes, residentBytes }) =>
        `  ${stage}: batch ${batch}, ${gflopsPerStep.toFixed(1)} GFLOPs per step, memory ${(residentBytes / 2 ** 30).toFixed(2)} GiB (state ${(stateBytes / 2 ** 30).toFixed(2)}, intermediate ${(intermediateBytes / 2 ** 30).toFixed(2)})`,
    ),
  ].join('\n')

const profileRows = (title: string, rows: readonly ProfileRow[]): string[] => [
  title,
  ...rows
    .slice(0, 24)
    .map(
      ({ name, milliseconds, share, launches, megabytes }) =>
        `  ${(100 * share).toFixed(1).padStart(5)} %  ${milliseconds.toFixed(2).padStart(9)} ms  ${launches.toFixed(0).padStart(5)} launches  ${megabytes.toFixed(1).padStart(9)} MB  ${name}`,
    ),
]

/** What `ul profile` prints. */
export const profileText = (p: Profile): string =>
  [
    `stage ${p.stage}, batch ${p.batch}: ${p.stepMilliseconds.toFixed(1)} ms per step, ${p.gflopsPerSecond.toFixed(1)} GFLOP/s; kernels ${p.kernelMilliseconds.toFixed(1)} ms while profiled`,
    `peak resident memory ${(p.residentBytes / 2 ** 20).toFixed(0)} MiB, predicted by ul info ${(p.predictedBytes / 2 ** 20).toFixed(0)} MiB`,
    ...profileRows('by operator', p.byOperator),
    ...profileRows('by layer', p.byLayer),
    ...profileRows('by op of the graph', p.byOp),
  ].join('\n')

const comparisonLine = (name: string, c: FeatureComparison): string =>
  `${name}  ${c.frechet.toFixed(3)}${c.bias === null ? '' : ` (of which the number of images adds about ${c.bias.toFixed(3)})`}` +
  `  KID ${c.kid.mean.toPrecision(3)} ± ${c.kid.error.toPrecision(2)}  precision ${c.precision.toFixed(3)}  recall ${c.recall.toFixed(3)}`

const clipLines = ({ reconstructions, originals, samples, originalsByClass }: ClipFigures): string[] => {
  const score = (s: ClipScore | null): string =>
    s === null ? 'none' : `${s.mean.toFixed(2)} ± ${s.error.toFixed(2)} (${s.count})`
  const line = (name: string, here: ClipScore | null, there: ClipScore | null): string[] =>
    here === null ? [] : [`CLIP ${name}  ${score(here)}, originals ${score(there)}`]
  return [
    ...line('reconstructions by captions', reconstructions, originals),
    ...line('samples by class names', samples, originalsByClass),
  ]
}

/** Figures of `ul evaluate`, and by features where they were asked for. */
export const evaluationText = (figures: Evaluation | null, quality: Quality | null): string => {
  const lines = Object.entries(figures ?? {}).flatMap(
    ([name, value]: [string, Evaluation[keyof Evaluation]]) =>
      value === null || value === undefined
        ? []
        : typeof value === 'number'
          ? [`${name}  ${value.toPrecision(5)}`]
          : [`${name}  ${value.mean.toPrecision(5)} ± ${value.error.toPrecision(2)}`],
  )
  if (quality === null) return lines.join('\n')
  const { protocol, reconstruction, generation, clip } = quality
  const [name] = protocol.network.split(':') // its description starts with it
  if (reconstruction !== null) lines.push(comparisonLine(`reconstructions ${name}`, reconstruction))
  if (generation !== null) lines.push(comparisonLine(`samples ${name}`, generation))
  if (clip !== undefined) lines.push(...clipLines(clip))
  const protocols = [
    ...Object.entries(protocol),
    ...Object.entries(clip?.protocol ?? {}).map(([name, text]) => [`CLIP ${name}`, text]),
  ]
  return [...lines, ...protocols.map(([name, text]) => pc.dim(`${name}: ${text}`))].join('\n')
}

const short = (value: number): string => String(Number(value.toPrecision(4)))
const percent = (share: number): string => {
  const digits = (100 * Math.abs(share)).toFixed(1)
  return `${share < 0 && digits !== '0.0' ? '−' : '+'}${digits}%`
}
const within = (low: number | null, high: number | null): string =>
  low === null || high === null ? 'interval unknown' : `${short(low)} to ${short(high)}`
const give = (value: number, error: number | null): string =>
  `${value.toFixed(3)} ± ${error === null ? 'unknown' : error.toFixed(3)}`
const outside = (extrapolated: boolean): string => (extrapolated ? ', beyond the measured runs' : '')

const errorsFrom: Readonly<Record<Plan['law']['line']['errorsFrom'], string>> = {
  scatter: "errors and intervals from the runs' scatter about the law",
  points: 'two settings: errors and intervals from their measuring errors alone, a third would test the law',
  unknown: 'two settings without errors: no intervals, a third would give them',
}

/** A predicted rate with what its bounds mean. */
const rateText = (law: Plan['law'], { bitsPerPixel, low, high, extrapolated }: RateEstimate): string => {
  const bounds =
    law.line.errorsFrom === 'scatter'
      ? `, 95% of runs within ${within(low, high)}`
      : law.line.errorsFrom === 'points'
        ? `, by measuring errors alone ${within(low, high)}`
        : ', bounds unknown'
  return `${short(bitsPerPixel)} bits/pixel${bounds}${outside(extrapolated)}`
}

const planLines = ({ law, plan, budget }: Plan): string[] => {
  if (plan === null) return []
  const { proposal, rate, atBias, atLossFactor, wanted } = plan
  return [
    ...(budget === null
      ? []
      : [
          `best for ${budget.trainingFlops.toPrecision(3)} training FLOPs: ${short(budget.bitsPerPixel)} bits/pixel (${within(budget.low, budget.high)})${outside(budget.extrapolated)}`,
          ...budget.law.optima.map(
            ({ trainingFlops, runs, bitsPerPixel, logError, lacks }) =>
              `  ${trainingFlops.toPrecision(3)} FLOPs, ${runs} runs: ${lacks ?? `${short(bitsPerPixel!)} bits/pixel${logError === null ? '' : ` ± ${(100 * logError).toFixed(1)}%`}`}`,
          ),
        ]),
    `for ${short(wanted)} bits/pixel${plan.whyBias === null ? '' : ` (the bias: ${plan.whyBias})`}:`,
    `  ${plan.set.map((setting) => `--set ${setting}`).join(' ')}`,
    `  rate ${rateText(law, rate)}`,
    ...[atBias, atLossFactor].map((way) => {
      const [name, value, fixed] =
        way.solvedFor === 'lossFactor'
          ? ['loss factor', way.lossFactor, `bias ${short(way.bias)}`]
          : ['bias', way.bias, `loss factor ${short(way.lossFactor)}`]
      const [least, most] = law.biasRange
      const beyond = outside(way.bias < least || way.bias > most)
      return `  ${way === proposal ? 'proposed' : 'or'}: ${name} ${short(value)} (${within(way.low, way.high)}) at ${fixed}${beyond}`
    }),
  ]
}

const checkLines = ({ check }: Plan): string[] => {
  if (check === null) return []
  const inside = check.settings.filter((setting) => setting.inside === true).length
  return [
    'runs that were not in the fit:',
    ...check.settings.map(
      ({ measured, predicted, relativeError, inside }) =>
        `  c_lf ${short(measured.lossFactor)}, b ${short(measured.bias)}: predicted ${short(predicted.bitsPerPixel)} (${within(predicted.low, predicted.high)}), measured ${short(measured.bitsPerPixel)}, ${percent(relativeError)}${inside === null ? '' : inside ? ', inside' : ', outside'}${outside(predicted.extrapolated)}`,
    ),
    `  largest error ${(100 * check.largestError).toFixed(1)}%, ${inside} of ${check.settings.length} inside the interval`,
  ]
}

/** What `ul plan` prints. */
export const planText = (p: Plan): string => {
  const { law, settings, prediction } = p
  const runs = settings.reduce((sum, setting) => sum + setting.runs.length, 0)
  return [
    ...p.leftOut.map(({ dir, reason }) => `left out ${dir}: ${reason}`),
    `ln R = a + k·(b − u(c_lf)): a ${give(law.a, law.aError)}, k ${give(law.k, law.kError)}; ${settings.length} settings, ${runs} runs`,
    `  ${errorsFrom[law.line.errorsFrom]}`,
    ...settings.map(
      (s) =>
        `  c_lf ${short(s.lossFactor)}, b ${short(s.bias)}: ${short(s.bitsPerPixel)} bits/pixel, law ${short(s.fitted)}, ${percent(s.fitted / s.bitsPerPixel - 1)}`,
    ),
    ...planLines(p),
    ...(prediction === null
      ? []
      : [`c_lf ${short(prediction.lossFactor)}, b ${short(prediction.bias)}: ${rateText(law, prediction)}`]),
    ...checkLines(p),
  ].join('\n')
}
