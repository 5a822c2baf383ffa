/** @file The main job: a run from its configuration to its report. The same call again resumes it. */

import { mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type Config, modelConfig } from '../config/schema.ts'
import { readImages } from '../data/batches.ts'
import { type DataSplit, type ImageSource, imagesHash } from '../data/images/source.ts'
import { float32 } from '../engine/host/tensor.ts'
import type { Runtime } from '../engine/runtime/runtime.ts'
import { writeFileAtomic } from '../files/atomic.ts'
import { baseRate, measureStage1 } from '../measure/reconstruct.ts'
import type { MeasuredPart } from '../method/evaluate.ts'
import type { Evaluation } from '../metrics/figures.ts'
import { gridPng, pairGrid } from '../report/grid.ts'
import type { Listener } from '../runs/events.ts'
import { evaluationIn, writeEvaluation } from '../runs/results.ts'
import { configHash, expectSameData, prepareRun, type RunInfo, writeRunInfo } from '../runs/runDirectory.ts'
import { evenImages, evenly } from '../use/images.ts'
import { gridLabels } from '../use/labels.ts'
import { expectFinishedStage1, type OpenedRun, openRun, sharesFigures } from '../use/openRun.ts'
import { openRunData } from '../use/runData.ts'
import { sample } from '../use/sample.ts'
import { configGuidance, decoderSampler, latentSampler } from '../use/samplers.ts'
import { expectData, expectTrainable } from './possible.ts'
import { writeReport } from './report.ts'
import type { StageContext } from './stage.ts'
import { runStage1 } from './stage1.ts'
import { runStage2 } from './stage2.ts'

/** Which part of a run to train. */
export type StageChoice = '1' | '2' | 'all'

/** What to train, where, and whom to tell. */
export interface TrainRequest {
  readonly config: Config
  readonly dir: string
  readonly stage: StageChoice
  readonly runtime: Runtime
  readonly listen: Listener
  /** Aborting saves a checkpoint and stops. */
  readonly signal: AbortSignal
}

/** How it ended. */
export interface TrainResult {
  /** False when it was aborted. */
  readonly finished: boolean
  readonly evaluation: Evaluation | null
}

/** Images shown in grids during training, and in the report. */
const shownWhileTraining = 32
const shownInReport = 40
/** Samples per class in the report, and validation images measured at most. */
const samplesPerClass = 8
const measuredAtMost = 1024
/** Times and noises per image for their rates. */
const draws = 4
/** Skipped images that are warned of one by one. */
const warnedAtMost = 20

const imagesOf = (source: ImageSource, count: number): Promise<Float32Array> =>
  readImages(source, evenly(count, source.count))

/** One row per class (one row without a class where there are none). */
const sampleGrid = async (context: StageContext, info: RunInfo): Promise<Uint8Array> => {
  const { config, dir, runtime } = context
  const run = openRun(dir, runtime)
  const rows = run.generatesByClass ? info.classes : ['none']
  const images = await sample(run, gridLabels(run, samplesPerClass), {
    seed: config.seed,
    sampler: latentSampler(config),
    guidance: configGuidance(config),
    decoder: decoderSampler(config),
  })
  const scale = Math.max(1, Math.round(64 / config.data.size))
  const png = await gridPng(images, samplesPerClass, { scale, labels: rows })
  writeFileAtomic(join(dir, 'samples', 'samples.png'), png)
  return png
}

/** Measures held-out images and draws them above their reconstructions. */
const reconstructHeldOut = async (
  { config, dir, runtime }: StageContext,
  run: OpenedRun,
  source: ImageSource,
  count: number,
): Promise<{ readonly figures: Evaluation; readonly png: Uint8Array }> => {
  const picked = evenly(shownInReport, count)
  const { size } = config.data
  const each = 3 * size ** 2
  const [originals, reconstructions] = [
    new Float32Array(picked.length * each),
    new Float32Array(picked.length * each),
  ]
  const keepShown = (part: MeasuredPart): void => {
    for (const [i, index] of picked.entries()) {
      const at = (index - part.first) * each
      if (at < 0 || at >= part.images.length) continue
      originals.set(part.images.subarray(at, at + each), i * each)
      reconstructions.set(part.reconstructions.subarray(at, at + each), i * each)
    }
  }
  const options = { seed: config.seed, sampler: decoderSampler(config), draws }
  const { figures } = await measureStage1(run, runtime, evenImages(source, count), options, keepShown)
  const shape = [picked.length, 3, size, size]
  const scale = Math.max(1, Math.round(64 / size))
  const png = await pairGrid(float32(shape, originals), float32(shape, reconstructions), 10, { scale })
  writeFileAtomic(join(dir, 'samples', 'reconstructions.png'), png)
  return { figures, png }
}

/** Figures on held-out images; those of a shared stage 1 are taken over from the run that trained it. */
const evaluateRun = async (
  context: StageContext,
  data: DataSplit,
): Promise<{ readonly figures: Evaluation; readonly png: Uint8Array | null }> => {
  const { config, dir, runtime, listen } = context
  const run = openRun(dir, runtime)
  listen({ event: 'note', text: 'evaluating on held-out images' })
  const count = Math.min(measuredAtMost, data.validation.count)
  const known = sharesFigures(run, dir) ? evaluationIn(run.stage1Directory) : null
  const measured = known === null ? await reconstructHeldOut(context, run, data.validation, count) : null
  const base = await baseRate(run, runtime, data.validation, { count, seed: config.seed, draws })
  // The rate by a base model is that of the run's own.
  const { baseBitsPerPixel: _, ...stage1 } = (known ?? measured?.figures)!
  const figures = base ? { ...stage1, baseBitsPerPixel: base } : stage1
  writeEvaluation(dir, figures, runtime.device)
  return { figures, png: measured?.png ?? null }
}

/** Evaluates (where there is a stage 1 to measure), samples and writes the report. */
const finish = async (
  context: StageContext,
  data: DataSplit,
  info: RunInfo,
  generates: boolean,
): Promise<Evaluation | null> => {
  const { config, dir, runtime, listen } = context
  const evaluated = config.variant.encoder === 'pixels' ? null : await evaluateRun(context, data)
  const path = writeReport(dir, {
    config,
    info,
    evaluation: evaluated?.figures ?? null,
    reconstructionsPng: evaluated?.png ?? null,
    samplesPng: generates ? await sampleGrid(context, info) : null,
    device: runtime.device,
  })
  listen({ event: 'file', what: 'report', path })
  return evaluated?.figures ?? null
}

/**
 * Trains the chosen stages from wherever the run directory stands, then evaluates, samples and writes the report.
 * @throws ConfigError when the directory holds another configuration, DivergedError when training diverges.
 */
export const train = async (request: TrainRequest): Promise<TrainResult> => {
  const { config, stage, runtime, listen, signal } = request
  expectTrainable(config)
  expectData(config.data)
  const started = performance.now()
  const dir = resolve(request.dir)
  prepareRun(dir, config)
  mkdirSync(join(dir, 'samples'), { recursive: true })
  const data = await openRunData(config, listen)
  const info: RunInfo = {
    version: 1,
    classes: data.train.classes,
    trainCount: data.train.count,
    validationCount: data.validation.count,
    pictures: imagesHash(data.train),
    skipped: data.skipped.map(({ file, reason }) => `${file}: ${reason}`),
  }
  expectSameData(dir, info)
  writeRunInfo(dir, info)
  for (const { file, reason } of data.skipped.slice(0, warnedAtMost))
    listen({ event: 'warning', text: `skipped ${file}: ${reason}` })
  const unsaid = data.skipped.length - warnedAtMost
  if (unsaid > 0) listen({ event: 'warning', text: `skipped ${unsaid} more; run.json names them all` })
  const model = modelConfig(config, info.classes.length)
  const context: StageContext = { config, configHash: configHash(config), runtime, dir, listen, signal }
  expectFinishedStage1(openRun(dir, runtime), dir)
  const shown = await imagesOf(data.validation, shownWhileTraining)
  const hasStage1 = config.variant.encoder === 'resnet' && config.train.stage1.from === null
  const hasStage2 = config.sampler.generator === 'base'
  let finished = true
  if (stage !== '2' && hasStage1) finished = (await runStage1(context, model, data.train, shown)).finished
  if (finished && stage !== '1' && hasStage2)
    finished = (await runStage2(context, model, data.train)).finished
  if (!finished) return { finished, evaluation: null }
  const evaluation = await finish(context, data, info, stage !== '1' || !hasStage2)
  listen({ event: 'done', run: dir, seconds: (performance.now() - started) / 1000, validation: evaluation })
  return { finished, evaluation }
}
