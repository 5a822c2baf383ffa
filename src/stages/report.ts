/** @file report.html of a run: the figures, curves, reconstructions beside originals, samples per class, settings. */

import { join } from 'node:path'
import { showConfig } from '../config/load.ts'
import { type Config, modelConfig } from '../config/schema.ts'
import { writeFileAtomic } from '../files/atomic.ts'
import { latentInUse, latentOf } from '../method/config.ts'
import { showExtent } from '../method/networks/shapes.ts'
import { type Evaluation, type Measured, measuredEntries } from '../metrics/figures.ts'
import { generatesByClass } from '../model/choices.ts'
import type { Curve } from '../report/curve.ts'
import { renderReport, type SummaryItem } from '../report/html.ts'
import { runFiles } from '../runs/files.ts'
import type { MetricRecord } from '../runs/metricLines.ts'
import { readMetrics } from '../runs/metrics.ts'
import type { RunInfo } from '../runs/runDirectory.ts'
import { mostRows } from '../use/facts.ts'
import { stages } from './list.ts'

/** What the report is made of besides the run directory's own files. */
export interface ReportParts {
  readonly config: Config
  readonly info: RunInfo
  readonly evaluation: Evaluation | null
  /** Absent where the latent is the image itself. */
  readonly reconstructionsPng: Uint8Array | null
  /** What was predicted of held-out clips below what came: frames side by side, and playing; absent for images. */
  readonly predicted: { readonly png: Uint8Array; readonly webp: Uint8Array } | null
  /** Absent when stage 2 was not trained. */
  readonly samplesPng: Uint8Array | null
  readonly device: string
  /** Told of lines of the log that do not read. */
  readonly warn: (text: string) => void
}

/** The curves that stages show, where there is something to draw. */
const curvesOf = (records: readonly MetricRecord[]): Curve[] =>
  stages
    .flatMap((stage) =>
      stage.curves.map(({ title, metric, unit, logY = false }): Curve => {
        const points = records.flatMap((record): [number, number][] => {
          const value = record[metric]
          return record.stage === stage.name && typeof value === 'number' ? [[record.step, value]] : []
        })
        return { title, xLabel: `${stage.name} step`, yLabel: unit, logY, series: [{ name: title, points }] }
      }),
    )
    .filter(({ series }) => series.some(({ points }) => points.length > 1))

const withError = (
  { mean, error }: { readonly mean: number; readonly error: number },
  digits: number,
): string => `${mean.toFixed(digits)} ± ${error.toFixed(digits)}`

const summaryOf = ({ config, info, evaluation, device }: ReportParts): SummaryItem[] => {
  const shape = showExtent(latentOf(modelConfig(config, info.classes.length)))
  const common: SummaryItem[] = [
    {
      label: 'images',
      value: `${info.trainCount}`,
      note: `${info.validationCount} held out, ${info.skipped.length} skipped`,
    },
    {
      label: 'latent',
      value: shape,
      note: `λ₀ = ${Number(latentInUse(config).logSnr0.toFixed(2))}, c_lf = ${config.decoder.lossFactor}, b = ${config.decoder.bias}`,
    },
    { label: 'device', value: device },
  ]
  if (evaluation === null) return common
  const gain = evaluation.psnr.mean - evaluation.gridPsnr.mean
  return [
    {
      label: 'latent rate, bits/pixel',
      value: withError(evaluation.bitsPerPixel, 3),
      note: `${evaluation.bitsPerDim.mean.toFixed(2)} bits per latent number`,
    },
    {
      label: 'reconstruction PSNR, dB',
      value: withError(evaluation.psnr, 2),
      note: `${gain.toFixed(2)} dB above averaging to the latent grid`,
    },
    ...common,
  ]
}

/** How predictions get worse with time, beside what needs no model, and where a clip's bits are. */
const predictionCurves = (evaluation: Evaluation | null): Curve[] => {
  const { prediction, bitsPerPixelByFrame = [] } = evaluation ?? {}
  const points = (values: readonly Measured[] = [], first = 1): [number, number][] =>
    values.map(({ mean }, i) => [first + i, mean])
  const after = (values?: readonly Measured[]) => points(values, (prediction?.given ?? 0) + 1)
  const curve = (
    title: string,
    [xLabel, yLabel]: readonly [string, string],
    series: Readonly<Record<string, [number, number][]>>,
  ): Curve => ({
    ...{ title, xLabel, yLabel },
    series: Object.entries(series).map(([name, own]) => ({ name, points: own })),
  })
  return [
    curve('Predicted frames', ['frame', 'dB'], {
      predicted: after(prediction?.psnrByFrame),
      ...(prediction?.expectedPsnrByFrame && { 'mean of draws': after(prediction.expectedPsnrByFrame) }),
      'last given frame repeated': after(prediction?.repeatedPsnrByFrame),
    }),
    curve('Place of what moves', ['frame', 'pixels from the truth'], {
      predicted: after(prediction?.positionErrorByFrame),
      ...(prediction?.expectedPositionErrorByFrame && {
        'mean place of draws': after(prediction.expectedPositionErrorByFrame),
      }),
      'at constant velocity': after(prediction?.constantVelocityErrorByFrame),
      ...(prediction?.repeatedPositionErrorByFrame && {
        'where it last was': after(prediction.repeatedPositionErrorByFrame),
      }),
    }),
    curve('Rate over time', ['latent frame', 'bits/pixel'], { rate: points(bitsPerPixelByFrame) }),
  ].filter(({ series }) => series.every((own) => own.points.length > 1))
}

/** Writes report.html and returns its path. */
export const writeReport = (dir: string, parts: ReportParts): string => {
  const { config, info, evaluation, reconstructionsPng, predicted, samplesPng } = parts
  const records = readMetrics(join(dir, runFiles.metrics), parts.warn)
  const { generator, kind, steps, guidance } = config.sampler
  const byClass = generatesByClass(config, info.classes.length)
  const { length } = info.classes
  const shown =
    length > mostRows ? `One row for each of ${mostRows} of ${length} classes` : 'One row per class'
  const rows = byClass ? `${shown}, guidance ${guidance}.` : 'Drawn without classes.'
  const samples = `${rows} ${kind}, ${steps} steps; decoder ${config.sampler.decoderKind}, ${config.sampler.decoderSteps} steps; averaged weights.`
  const table = {
    head: ['validation figure', 'mean', 'standard error'],
    rows: (evaluation === null ? [] : measuredEntries(evaluation)).map(([name, value]) =>
      typeof value === 'number'
        ? [name, value.toPrecision(5), '']
        : [name, value.mean.toPrecision(5), value.error.toPrecision(2)],
    ),
  }
  const html = renderReport({
    title: `Unified Latents: ${config.name}`,
    summary: summaryOf(parts),
    sections: [
      ...(reconstructionsPng === null
        ? []
        : [
            {
              heading: 'Reconstructions',
              text: 'Held-out images; the original is above its reconstruction.',
              images: [{ png: reconstructionsPng, caption: 'validation' }],
            },
          ]),
      ...(predicted === null
        ? []
        : [
            {
              heading: 'Predictions',
              text: `Held-out clips of which ${config.video?.given} frames were given; what came is above what was predicted.`,
              curves: predictionCurves(evaluation),
              images: [
                { webp: predicted.webp, caption: 'playing' },
                { png: predicted.png, caption: 'frame by frame' },
              ],
            },
          ]),
      ...(samplesPng === null
        ? []
        : [
            {
              heading: 'Samples',
              text: samples,
              images: [{ png: samplesPng, caption: generator === 'prior' ? 'stage 1' : 'stage 2' }],
            },
          ]),
      { heading: 'Training', curves: curvesOf(records) },
      ...(evaluation === null ? [] : [{ heading: 'Figures', table }]),
      { heading: 'Settings', settings: showConfig(config) },
    ],
  })
  const path = join(dir, runFiles.report)
  writeFileAtomic(path, html)
  return path
}
