/** @file Trains one stage of a run: builds or resumes its state, drives the loop, logs, saves. Every stage is trained by this. */

import { join } from 'node:path'
import { ConfigError } from '../config/load.ts'
import { initialParams } from '../engine/nn/params.ts'
import { wasStopped } from '../engine/runtime/stoppable.ts'
import { latestCheckpoint, loadCheckpoint, saveCheckpoint } from '../runs/checkpoint.ts'
import { runFiles, runFolders } from '../runs/files.ts'
import { openMetrics } from '../runs/metrics.ts'
import { openEvents } from '../runs/tensorboard.ts'
import { type StepReport, trainLoop } from '../train/loop.ts'
import { initialState, packState, readAverages, readState } from '../train/state.ts'
import { compileStep, placeState } from '../train/trainStep.ts'
import type { OpenStage, Stage, StageContext } from './stage.ts'
import { stageStep } from './stageStep.ts'

/** Sums named metrics and gives their means. */
const averager = () => {
  let sums: Record<string, number> = {}
  let count = 0
  return {
    add: (metrics: Readonly<Record<string, number>>): void => {
      for (const [name, value] of Object.entries(metrics)) sums[name] = (sums[name] ?? 0) + value
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

/** Writes the metrics of a stage's steps to the run's log and to TensorBoard's. */
const openLog = (dir: string, stage: string, from: number) => {
  const metrics = openMetrics(join(dir, runFiles.metrics), { stage, step: from })
  // A directory for each stage: a resume of one makes TensorBoard forget steps of everything in its directory.
  const events = openEvents(join(dir, runFolders.tensorboard, stage), { firstStep: from + 1 })
  return {
    record: (step: number, values: Readonly<Record<string, number>>): void => {
      metrics.append({ stage, step, ...values })
      for (const [name, value] of Object.entries(values)) events.scalar(`${stage}/${name}`, value, step)
    },
    close: (): void => {
      metrics.close()
      events.close()
    },
  }
}

/** Tells how training goes: means since the last line, the rate, what is left. */
const progress = (
  { listen }: StageContext,
  {
    stage,
    steps,
    batch,
    flopsPerStep,
  }: Readonly<Record<'steps' | 'batch' | 'flopsPerStep', number>> & {
    readonly stage: string
  },
) => {
  const means = averager()
  let since = performance.now()
  let counted = 0
  return {
    add: (values: Readonly<Record<string, number>>): void => {
      counted++
      means.add(values)
    },
    /** Does something whose time does not count. */
    aside: async (work: () => Promise<void>): Promise<void> => {
      const paused = performance.now()
      await work()
      since += performance.now() - paused
    },
    /** Prints a line and returns its metrics. */
    tell: ({ step, lr, skipped }: StepReport): Readonly<Record<string, number>> => {
      const perStep = (performance.now() - since) / 1000 / counted
      const averages = means.take()
      const { loss = Number.NaN, gradNorm = Number.NaN } = averages
      listen({
        event: 'step',
        stage,
        step,
        steps,
        lr,
        skipped,
        imagesPerSecond: batch / perStep,
        gflopsPerSecond: flopsPerStep / 1e9 / perStep,
        secondsLeft: (steps - step) * perStep,
        loss,
        gradNorm,
        ...averages,
      })
      counted = 0
      since = performance.now()
      return { ...averages, lr, skipped, imagesPerSecond: batch / perStep }
    },
  }
}

/** The newest checkpoint of a stage, if any. @throws ConfigError when the stage is now trained on something else. */
const found = ({ dir, listen }: StageContext, stage: string, trainedOn: string | undefined) => {
  const checkpoint = latestCheckpoint(dir, stage)
  for (const text of checkpoint?.ignored ?? []) listen({ event: 'warning', text })
  if ((checkpoint?.state.trainedOn ?? trainedOn) !== trainedOn) {
    throw new ConfigError(
      `${dir}: its ${stage} was trained on other latents than its stage 1 gives now; remove checkpoints/${stage}-* there to train it anew`,
    )
  }
  return checkpoint
}

/** Inspections, of which one is left when training is to stop; it is then due at the next start. */
const leftWhenStopped = (signal: AbortSignal, inspect: (step: number) => Promise<void>) => {
  let due = false
  return {
    isDue: (): boolean => due,
    make: async (step: number): Promise<void> => {
      try {
        await inspect(step)
      } catch (error) {
        if (!wasStopped(error, signal)) throw error
        due = true
      }
    },
  }
}

const trainStage = async (context: StageContext, stage: Stage, opened: OpenStage): Promise<boolean> => {
  const { config, model, runtime, dir, listen, signal } = context
  const { steps, batch, lr, emaDecay } = stage.settings(config)
  const { name } = stage
  const { step: traced, spec } = stageStep(config, model, stage)
  const { layout } = traced
  const checkpoint = found(context, name, opened.trainedOn)
  const from = checkpoint?.step ?? 0
  if (from >= steps) return true
  const state = await placeState(
    runtime,
    traced,
    checkpoint === null
      ? initialState(layout, opened.start ?? initialParams(spec, config.seed))
      : packState(layout, loadCheckpoint(checkpoint.path).tensors),
  )
  listen({ event: 'note', text: from === 0 ? `${name}: starting` : `${name}: resuming after step ${from}` })
  const trainStep = await compileStep(runtime, traced)
  const log = openLog(dir, name, from)
  const line = progress(context, { stage: name, steps, batch, flopsPerStep: traced.flops })
  let saved = from
  const inspection = leftWhenStopped(signal, async (step) =>
    log.record(step, await opened.inspect(await readAverages(layout, state), step)),
  )
  const save = async (step: number): Promise<void> => {
    const tensors = await readState(layout, state)
    const { trainedOn } = opened
    const meta = {
      images: step * batch,
      configHash: context.configHash,
      ...(trainedOn === undefined ? {} : { trainedOn }),
      ...(inspection.isDue() ? { uninspected: true } : {}),
    }
    saveCheckpoint(dir, { stage: name, step, tensors, meta }, config.train.keepCheckpoints)
    saved = step
  }
  const tell = (report: StepReport): void => {
    const metrics = line.tell(report)
    log.record(report.step, metrics)
    const warning = opened.warning(metrics, report.step)
    if (warning !== null) listen({ event: 'warning', text: warning })
  }
  const { logEvery, sampleEvery, checkpointEvery, warmupSteps, finalLrFraction } = config.train
  try {
    if (checkpoint?.state.uninspected === true) await inspection.make(from)
    const done = await trainLoop({
      trainStep,
      state,
      batch,
      from,
      steps,
      rate: { lr, warmupSteps, finalFraction: finalLrFraction },
      emaDecay,
      feeds: opened.feeds,
      shouldStop: () => signal.aborted,
      onStep: async (report) => {
        const { step, loss, gradNorm } = report
        line.add({ loss, gradNorm, ...opened.metrics(report.outputs) })
        const last = step === steps
        if (step % logEvery === 0 || last) tell(report)
        if (step % sampleEvery === 0 && !last) {
          await line.aside(() => inspection.make(step))
        }
        if (step % checkpointEvery === 0 || last) await save(step)
      },
    })
    if (done < steps && done > saved) await save(done)
    if (done < steps) listen({ event: 'stopped', stage: name, step: done })
    return done === steps
  } finally {
    log.close()
    await trainStep.dispose()
    await state.dispose()
  }
}

/**
 * Trains one stage to its last step, from its newest checkpoint when there is one.
 * @returns whether it got there; false when it was stopped, its state is then saved.
 * @throws DivergedError when updates keep being skipped; the last checkpoint is then intact.
 */
export const runStage = async (context: StageContext, stage: Stage): Promise<boolean> => {
  const opened = await stage.open(context)
  try {
    return await trainStage(context, stage, opened)
  } finally {
    await opened.close()
  }
}
