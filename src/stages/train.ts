/** @file The main job: a run from its configuration to its report. The same call again resumes it. */

import { createHash } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type Config, modelConfig } from '../config/schema.ts'
import { readImages } from '../data/batches.ts'
import type { DataSplit, ImageSource } from '../data/images/source.ts'
import {
  alone,
  type Collective,
  expectSame,
  leaderFirst,
  leaderOnly,
  leads,
} from '../distributed/collective.ts'
import { countOf, examplesOf, type HostTensor, stacked } from '../engine/host/tensor.ts'
import type { Runtime } from '../engine/runtime/runtime.ts'
import { stoppable, wasStopped } from '../engine/runtime/stoppable.ts'
import { writeFileAtomic } from '../files/atomic.ts'
import type { Lock } from '../files/lock.ts'
import { predictHeldOut } from '../measure/predict.ts'
import { baseRate, measureStage1, predictedAtMost } from '../measure/reconstruct.ts'
import { stillRate } from '../measure/still.ts'
import type { MeasuredPart } from '../method/evaluate.ts'
import { partsOfVariant } from '../method/variants.ts'
import type { Evaluation, Prediction } from '../metrics/figures.ts'
import { configGuidance, decoderSampler, latentSampler } from '../model/samplers.ts'
import { clipWebp } from '../report/clip.ts'
import { gridPng, pairGrid, visibleScale } from '../report/grid.ts'
import { mostAnimationBytes } from '../report/html.ts'
import { orWarn } from '../runs/checked.ts'
import { type Listener, onceEach } from '../runs/events.ts'
import { runFolders } from '../runs/files.ts'
import { evaluationIn, writeEvaluation } from '../runs/results.ts'
import { expectSameData, prepareRun, type RunInfo, writeRunInfo } from '../runs/runDirectory.ts'
import { whileWriting } from '../runs/writer.ts'
import { infoOf } from '../use/dataInfo.ts'
import { evenImages, evenly } from '../use/evenly.ts'
import { gridFacts, gridRows, samplesPerRow } from '../use/facts.ts'
import { expectFinishedStage1, type OpenedRun, openRun, sharesFigures } from '../use/openRun.ts'
import { openRunData } from '../use/runData.ts'
import { sample } from '../use/sample.ts'
import { directoryStore } from './directoryStore.ts'
import { shownWhileTraining } from './images.ts'
import { limitWarnings } from './limits.ts'
import { chosenStages, type StageChoice, stages } from './list.ts'
import { memoryWarnings } from './memory.ts'
import { expectData, expectTrainable } from './possible.ts'
import { writeReport } from './report.ts'
import { runStage } from './runStage.ts'
import type { Stage, StageContext } from './stage.ts'

/** What to train, where, and whom to tell. */
export interface TrainRequest {
  readonly config: Config
  readonly dir: string
  readonly stage: StageChoice
  readonly runtime: Runtime
  readonly listen: Listener
  /** The processes that train together, each with a request of its own; one when absent. */
  readonly together?: Collective
  /** Aborting saves a checkpoint and stops. */
  readonly signal: AbortSignal
}

/** How it ended. */
export interface TrainResult {
  /** False when it was aborted. */
  readonly finished: boolean
  readonly evaluation: Evaluation | null
}

/** Images shown in the report. */
const shownInReport = 40
/** Validation images, and clips, measured at most. */
const measuredAtMost = 1024
const measuredClipsAtMost = 128
/** So many images, or a quarter as many clips, which take a row each. */
const shownOf = ({ video }: Config, images: number): number => (video === undefined ? images : images / 4)

/** Skipped images that are warned of one by one. */
const warnedAtMost = 20

/** A row for each choice that samples are asked for by, up to twenty. */
const sampleGrid = async ({ config, dir, leaving, warn }: StageContext): Promise<Uint8Array> => {
  const run = openRun(dir, leaving, warn)
  const images = await sample(run, {
    facts: gridFacts(run, samplesPerRow(run.model)),
    seed: config.seed,
    sampler: latentSampler(config),
    guidance: configGuidance(config),
    decoder: decoderSampler(config),
  })
  const labels = gridRows(run).map(({ name }) => name)
  const png = await gridPng(images, samplesPerRow(run.model), { scale: visibleScale(images), labels })
  writeFileAtomic(join(dir, runFolders.samples, 'samples.png'), png)
  return png
}

/** Measures held-out images and draws them above their reconstructions. */
const reconstructHeldOut = async (
  { config, dir, leaving }: StageContext,
  run: OpenedRun,
  source: ImageSource,
  count: number,
): Promise<{ readonly figures: Evaluation; readonly png: Uint8Array }> => {
  const picked = evenly(shownOf(config, shownInReport), count)
  const kept: { readonly original: HostTensor; readonly reconstruction: HostTensor }[] = []
  const keepShown = ({ first, images, reconstructions }: MeasuredPart): void => {
    const here = picked.filter((index) => index >= first && index < first + countOf(images))
    for (const index of here) {
      kept.push({
        original: examplesOf(images, index - first, 1),
        reconstruction: examplesOf(reconstructions, index - first, 1),
      })
    }
  }
  const options = { seed: config.seed, sampler: decoderSampler(config) }
  const { figures } = await measureStage1(run, leaving, evenImages(source, count), options, keepShown)
  const originals = stacked(kept.map(({ original }) => original))
  const reconstructions = stacked(kept.map(({ reconstruction }) => reconstruction))
  const png = await pairGrid(originals, reconstructions, 10, { scale: visibleScale(originals) })
  writeFileAtomic(join(dir, runFolders.samples, 'reconstructions.png'), png)
  return { figures, png }
}

/** Of the predicted clips. */
const shownPredictions = 8

/** Predicts held-out clips, and draws what came above what was predicted: a sheet, and clips that play. */
const predict = async (
  { config, dir, leaving, warn, listen }: StageContext,
  source: ImageSource,
): Promise<{ readonly figures: Prediction; readonly png: Uint8Array; readonly webp: Uint8Array }> => {
  listen({ event: 'note', text: 'predicting held-out clips' })
  const options = { count: predictedAtMost, seed: config.seed }
  const { figures, truth, predictions } = await predictHeldOut(openRun(dir, leaving, warn), source, options)
  const shown = Math.min(shownPredictions, figures.count)
  const [came, made] = [truth, predictions].map((clips) => examplesOf(clips, 0, shown))
  const scale = visibleScale(came)
  const png = await pairGrid(came, made, shown, { scale, labels: ['what came', 'predicted'] })
  const webp = await clipWebp(stacked([came, made]), {
    columns: shown,
    scale,
    mostBytes: mostAnimationBytes,
    labels: ['what came', 'predicted'],
  })
  writeFileAtomic(join(dir, runFolders.samples, 'predictions.png'), png)
  writeFileAtomic(join(dir, runFolders.samples, 'predictions.webp'), webp)
  return { figures, png, webp }
}

/** Figures on held-out images; those of a shared stage 1 are taken over from the run that trained it. */
const evaluateRun = async (
  context: StageContext,
  data: DataSplit,
): Promise<{
  readonly figures: Evaluation
  readonly png: Uint8Array | null
  readonly predicted: Pick<Awaited<ReturnType<typeof predict>>, 'png' | 'webp'> | null
}> => {
  const { config, dir, leaving, listen, warn } = context
  const run = openRun(dir, leaving, warn)
  listen({ event: 'note', text: `evaluating on held-out ${config.video === undefined ? 'images' : 'clips'}` })
  const count = Math.min(
    config.video === undefined ? measuredAtMost : measuredClipsAtMost,
    data.validation.count,
  )
  const known = sharesFigures(run, dir) ? orWarn(() => evaluationIn(run.stage1Directory), warn) : null
  const measured = known === null ? await reconstructHeldOut(context, run, data.validation, count) : null
  const base = await baseRate(run, leaving, data.validation, { count, seed: config.seed })
  // The rate by a base model is that of the run's own.
  const { baseBitsPerPixel: _, prediction: __, ...stage1 } = (known ?? measured?.figures)!
  const predicted = config.video && run.generates ? await predict(context, data.validation) : null
  const figures = {
    ...stage1,
    ...(await stillRate(run, leaving, data.validation, config.seed)),
    ...(base && { baseBitsPerPixel: base }),
    ...(predicted && { prediction: predicted.figures }),
  }
  writeEvaluation(dir, figures, leaving.device, warn)
  return { figures, png: measured?.png ?? null, predicted }
}

/** Whether there is something to sample from: not only stages before that of the network that generates were asked for. */
const generates = ({ config, dir, runtime, warn }: StageContext, chosen: readonly Stage[]): boolean => {
  const { generator } = config.sampler
  const makers = stages.filter((stage) => stage.networks.includes(generator) && stage.trains(config))
  return makers.every((stage) => chosen.includes(stage)) && openRun(dir, runtime, warn).generates
}

/** Evaluates (where there is a stage 1 to measure), samples (where something generates) and writes the report. */
const finish = async (
  context: StageContext,
  data: DataSplit,
  info: RunInfo,
  isSampled: boolean,
): Promise<Evaluation | null> => {
  const { config, dir, runtime, listen, warn } = context
  const { isLearned } = partsOfVariant(config.variant).space
  const evaluated = isLearned ? await evaluateRun(context, data) : null
  const path = writeReport(dir, {
    config,
    info,
    evaluation: evaluated?.figures ?? null,
    reconstructionsPng: evaluated?.png ?? null,
    predicted: evaluated?.predicted ?? null,
    samplesPng: isSampled ? await sampleGrid(context) : null,
    device: runtime.device,
    warn,
  })
  listen({ event: 'file', what: 'report', path })
  return evaluated?.figures ?? null
}

/** Says which images could not be used. */
const warnOfSkipped = (skipped: DataSplit['skipped'], listen: Listener): void => {
  for (const { file, reason } of skipped.slice(0, warnedAtMost))
    listen({ event: 'warning', text: `skipped ${file}: ${reason}` })
  const unsaid = skipped.length - warnedAtMost
  if (unsaid > 0) listen({ event: 'warning', text: `skipped ${unsaid} more; run.json names them all` })
}

/** Opens the data of a run, and checks that it is what the run began with. */
const openData = async (
  { config, listen, signal, together = alone }: TrainRequest,
  dir: string,
  warn: (text: string) => void,
) => {
  const data = await openRunData(config, { listen, signal })
  const info = infoOf(data)
  expectSameData(dir, info, warn)
  if (leads(together)) writeRunInfo(dir, info)
  warnOfSkipped(data.skipped, listen)
  return { data, info }
}

/** Hash of what the data gave. */
const hashOf = (info: RunInfo): string => createHash('sha256').update(JSON.stringify(info)).digest('hex')

/** Of a process that does not lead. */
const writesNothing: Pick<Lock, 'expectHeld'> = { expectHeld: () => undefined }

/** Trains, evaluates, samples and reports in a directory that no other job writes to. */
const trainIn = async (
  dir: string,
  writer: Pick<Lock, 'expectHeld'>,
  request: TrainRequest,
): Promise<TrainResult> => {
  const { config, stage, runtime, listen, signal, together = alone } = request
  const started = performance.now()
  const warn = onceEach((text) => listen({ event: 'warning', text }))
  const { data, info } = await leaderFirst(together, async () => {
    if (leads(together)) {
      prepareRun(dir, config)
      mkdirSync(join(dir, runFolders.samples), { recursive: true })
    }
    return openData(request, dir, warn)
  })
  await expectSame(together, `${dir}: its data`, hashOf(info))
  expectFinishedStage1(openRun(dir, runtime, warn), dir)
  const context: StageContext = {
    config,
    model: modelConfig(config, info.classes.length),
    runtime,
    leaving: stoppable(runtime, signal),
    dir,
    store: directoryStore(dir, writer, warn),
    source: data.train,
    shown: await readImages(
      data.validation,
      evenly(shownOf(config, shownWhileTraining), data.validation.count),
    ),
    listen,
    together,
    warn,
    signal,
  }
  const chosen = chosenStages(stage)
  if (chosen.length === 1 && !chosen[0].applies(config))
    warn(`--stage ${stage}: this configuration has no such stage, nothing is trained`)
  const trained = chosen.filter((one) => one.trains(config))
  const { device, limits } = runtime
  const how = { classes: info.classes.length, processes: together.size }
  for (const text of memoryWarnings(config, trained, { ...how, device })) warn(text)
  for (const text of limitWarnings(config, trained, { ...how, limits })) warn(text)
  for (const one of trained) {
    if (!(await runStage(context, one))) return { finished: false, evaluation: null }
  }
  const evaluation =
    (await leaderOnly(together, () => finish(context, data, info, generates(context, chosen)))) ?? null
  listen({ event: 'done', run: dir, seconds: (performance.now() - started) / 1000, validation: evaluation })
  return { finished: true, evaluation }
}

/**
 * Trains the chosen stages from wherever the run directory stands, then evaluates, samples and writes the report.
 * @throws ConfigError when the directory holds another configuration, DivergedError when training diverges, LockedError when
 * another process trains there.
 */
export const train = async (request: TrainRequest): Promise<TrainResult> => {
  const { config, signal, listen, together = alone } = request
  expectTrainable(config, together.size)
  expectData(config.data)
  const dir = resolve(request.dir)
  try {
    if (!leads(together)) return await trainIn(dir, writesNothing, request)
    return await whileWriting(dir, (writer) => trainIn(dir, writer, request))
  } catch (error) {
    if (!wasStopped(error, signal)) throw error
    // Not within a stage, which saves and says where it was: data was being read, latents encoded, or the run measured.
    listen({ event: 'stopped' })
    return { finished: false, evaluation: null }
  }
}
