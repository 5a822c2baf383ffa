/** @file One stage of a run: builds or resumes its state, drives the loop, logs, saves. Both stages are this function. */
import { join } from 'node:path'
import { ConfigError } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { floats, type HostTensor } from '../engine/host/tensor.ts'
import { forwardFlops } from '../engine/ir/cost.ts'
import { initialParams } from '../engine/nn/params.ts'
import type { Runtime } from '../engine/runtime/runtime.ts'
import { latestCheckpoint, loadCheckpoint, saveCheckpoint } from '../runs/checkpoint.ts'
import type { Listener } from '../runs/events.ts'
import { openMetrics } from '../runs/metrics.ts'
import { openEvents } from '../runs/tensorboard.ts'
import type { AdamWConfig } from '../train/adamw.ts'
import { type StepReport, trainLoop } from '../train/loop.ts'
import {
  averagesIn,
  initialState,
  type Objective,
  packState,
  traceTrainStep,
  unpackState,
  type Weights,
} from '../train/step.ts'

/** What every stage needs of its run. */
export interface StageContext {
  readonly config: Config
  readonly configHash: string
  readonly runtime: Runtime
  readonly dir: string
  readonly listen: Listener
  readonly signal: AbortSignal
}

/** What sets one stage apart. */
export interface StagePlan {
  readonly objective: Objective
  readonly seed: number
  readonly steps: number
  readonly batch: number
  readonly lr: number
  readonly emaDecay: number
  /** Hash of what the stage is trained on besides the configuration, where that can change under it. */
  readonly trainedOn?: string
  feeds(step: number): Promise<Readonly<Record<string, HostTensor>>>
  /** Figures of one step, averaged until the next line of progress. */
  figures(outputs: Readonly<Record<string, HostTensor>>): Readonly<Record<string, number>>
  /** Called at intervals with the averaged weights; returns figures to log. */
  inspect(weights: Weights, step: number): Promise<Readonly<Record<string, number>>>
  /** A warning in words when the averaged figures look bad. */
  warn(figures: Readonly<Record<string, number>>, step: number): string | null
}

/** How a stage ended. */
export interface StageResult {
  /** False when it was stopped; its state is then saved. */
  readonly finished: boolean
}

/** AdamW as the configuration sets it. */
export const optimizerOf = ({ train }: Config): AdamWConfig => ({
  beta1: train.beta1,
  beta2: train.beta2,
  epsilon: 1e-8,
  weightDecay: train.weightDecay,
  clipNorm: train.clipNorm,
})

/** Sums named figures and gives their means. */
const averager = () => {
  let sums: Record<string, number> = {}
  let count = 0
  return {
    add: (figures: Readonly<Record<string, number>>): void => {
      for (const [name, value] of Object.entries(figures)) sums[name] = (sums[name] ?? 0) + value
      count++
    },
    take: (): Record<string, number> => {
      const means = Object.fromEntries(Object.entries(sums).map(([name, sum]) => [name, sum / count]))
      sums = {}
      count = 0
      return means
    },
  }
}

/**
 * Trains one stage to its last step, from its newest checkpoint when there is one.
 * @throws DivergedError when updates keep being skipped; the last checkpoint is then intact.
 */
export const runStage = async (context: StageContext, plan: StagePlan): Promise<StageResult> => {
  const { config, runtime, dir, listen, signal } = context
  const { objective, steps, batch } = plan
  const stage = objective.name
  const optimizer = optimizerOf(config)
  const train = traceTrainStep(objective, optimizer)
  const found = latestCheckpoint(dir, stage)
  for (const text of found?.ignored ?? []) listen({ event: 'warning', text })
  const from = found?.step ?? 0
  if ((found?.state.trainedOn ?? plan.trainedOn) !== plan.trainedOn) {
    throw new ConfigError(
      `${dir}: its ${stage} was trained on other latents than its stage 1 gives now; remove checkpoints/${stage}-* there to train it anew`,
    )
  }
  if (from >= steps) return { finished: true }
  const loaded = found === null ? null : packState(train.slabs, loadCheckpoint(found.path).tensors)
  const state = await runtime.place(
    loaded ?? initialState(train.slabs, initialParams(objective.spec, plan.seed)),
  )
  const note = found === null ? `${stage}: starting` : `${stage}: resuming after step ${from}`
  listen({ event: 'note', text: note })
  const executable = await runtime.compile(train.program, { updates: train.updates })
  const metrics = openMetrics(join(dir, 'metrics.jsonl'), { stage, step: from })
  // A directory for each stage: a resume of one makes TensorBoard forget steps of everything in its directory.
  const events = openEvents(join(dir, 'tensorboard', stage), { firstStep: from + 1 })
  const flopsPerStep = 3 * forwardFlops([train.program.outputs.loss!])
  const means = averager()
  let since = performance.now()
  let counted = 0
  let saved = from

  const save = async (step: number): Promise<void> => {
    const tensors = unpackState(train.slabs, await state.read())
    const own = { images: step * batch, configHash: context.configHash }
    const meta = plan.trainedOn === undefined ? own : { ...own, trainedOn: plan.trainedOn }
    saveCheckpoint(dir, { stage, step, tensors, meta }, config.train.keepCheckpoints)
    saved = step
  }
  const log = (report: StepReport): void => {
    const perStep = (performance.now() - since) / 1000 / counted
    const averages = means.take()
    listen({
      event: 'step',
      stage,
      step: report.step,
      steps,
      lr: report.lr,
      skipped: report.skipped,
      imagesPerSecond: batch / perStep,
      gflopsPerSecond: flopsPerStep / 1e9 / perStep,
      secondsLeft: (steps - report.step) * perStep,
      loss: averages.loss!,
      gradNorm: averages.gradNorm!,
      ...averages,
    })
    record(report.step, {
      ...averages,
      lr: report.lr,
      skipped: report.skipped,
      imagesPerSecond: batch / perStep,
    })
    const warning = plan.warn(averages, report.step)
    if (warning !== null) listen({ event: 'warning', text: warning })
    counted = 0
    since = performance.now()
  }
  const record = (step: number, figures: Readonly<Record<string, number>>): void => {
    metrics.append({ stage, step, ...figures })
    for (const [name, value] of Object.entries(figures)) events.scalar(`${stage}/${name}`, value, step)
  }
  try {
    const done = await trainLoop({
      executable,
      state,
      from,
      steps,
      optimizer,
      rate: {
        lr: plan.lr,
        warmupSteps: config.train.warmupSteps,
        finalFraction: config.train.finalLrFraction,
      },
      emaDecay: plan.emaDecay,
      feeds: plan.feeds,
      shouldStop: () => signal.aborted,
      onStep: async (report) => {
        counted++
        means.add({ loss: report.loss, gradNorm: report.gradNorm, ...plan.figures(report.outputs) })
        const last = report.step === steps
        if (report.step % config.train.logEvery === 0 || last) log(report)
        if (report.step % config.train.sampleEvery === 0 && !last) {
          const paused = performance.now()
          record(report.step, await plan.inspect(await averagesIn(train.slabs, state), report.step))
          since += performance.now() - paused
        }
        if (report.step % config.train.checkpointEvery === 0 || last) await save(report.step)
      },
    })
    if (done < steps && done > saved) await save(done)
    if (done < steps) listen({ event: 'stopped', stage, step: done })
    return { finished: done === steps }
  } finally {
    metrics.close()
    events.close()
    await executable.dispose()
    await state.dispose()
  }
}

/** Mean of a per-example output. */
export const meanOf = (tensor: HostTensor): number => {
  const data = floats(tensor)
  return data.reduce((a, b) => a + b, 0) / data.length
}
