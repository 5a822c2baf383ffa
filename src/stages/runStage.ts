/** @file Trains one stage of a run: builds or resumes its state, drives the loop, logs, saves. Every stage is trained by this. */
import { z } from 'zod'
import { ConfigError } from '../config/load.ts'
import { gathered, isSoForAny, leaderOnly, leads } from '../distributed/collective.ts'
import type { DeviceState } from '../engine/runtime/runtime.ts'
import { wasStopped } from '../engine/runtime/stoppable.ts'
import type { LoadedCheckpoint } from '../runs/checkpointFormat.ts'
import { otherConfiguration } from '../runs/configHash.ts'
import { DivergedError, type StepReport, trainLoop } from '../train/loop.ts'
import { dynamicScale, type LossScaleState } from '../train/lossScale.ts'
import {
  drawnState,
  initialState,
  type Layout,
  packState,
  readAverages,
  type SlabTensors,
} from '../train/state.ts'
import { compileStep, placeState } from '../train/trainStep.ts'
import { openCheckpoints } from './checkpoints.ts'
import { divergence } from './divergence.ts'
import type { OpenStage, Stage, StageContext } from './stage.ts'
import { type StageStep, stageStep } from './stageStep.ts'
import { noLog } from './store.ts'

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

/**
 * The newest whole checkpoint of a stage, if any, with its state by slab.
 * @throws ConfigError when it was trained with another configuration, or is now trained on something else.
 */
const found = async (
  { dir, store, config, warn }: StageContext,
  stage: string,
  layout: Layout,
  trainedOn: string | undefined,
): Promise<LoadedCheckpoint<SlabTensors> | null> => {
  const checkpoint = await store.newest(stage, (tensors) => packState(layout, tensors))
  if (checkpoint === null) return null
  for (const text of checkpoint.ignored) warn(text)
  const other = otherConfiguration(dir, config, checkpoint)
  if (other !== null) {
    throw new ConfigError(
      `${other}; restore that file (link data that has moved to its former place), or give another --out`,
    )
  }
  if ((checkpoint.state.trainedOn ?? trainedOn) !== trainedOn) {
    throw new ConfigError(
      `${dir}: its ${stage} was trained on other latents than its stage 1 gives now; remove checkpoints/${stage}-* there to train it anew`,
    )
  }
  return checkpoint
}

/** Inspections, which the leader makes, and of which one is left when training is to stop; it is then due at the next start. */
const leftWhenStopped = ({ signal, together }: StageContext, inspect: (step: number) => Promise<void>) => {
  let due = false
  const inspectOrLeave = async (step: number): Promise<void> => {
    try {
      await inspect(step)
    } catch (error) {
      if (!wasStopped(error, signal)) throw error
      due = true
    }
  }
  return {
    isDue: (): boolean => due,
    make: (step: number): Promise<void> => leaderOnly(together, () => inspectOrLeave(step)),
  }
}

/** Where a stage starts. */
interface Started {
  /** Steps done. */
  readonly from: number
  /** After them, on the device; nothing of it stays on the host. */
  readonly state: DeviceState
  /** Whether the inspection of that step was left when training stopped. */
  readonly isUninspected: boolean
  /** Where products are computed in float16. */
  readonly lossScale: ReturnType<typeof dynamicScale> | undefined
}

const scaleSchema = z.object({ value: z.number(), steps: z.number() })

/** The loss's scale that a checkpoint holds, of a run in float16. */
const keptScale = (checkpoint: LoadedCheckpoint<SlabTensors> | null): LossScaleState | undefined =>
  scaleSchema.safeParse(checkpoint?.state.lossScale).data

/** Resumes or begins a stage; null when no step is left. */
const start = async (
  context: StageContext,
  stage: Stage,
  opened: OpenStage,
  { step, spec }: StageStep,
): Promise<Started | null> => {
  const { config, runtime, together } = context
  const checkpoint = await found(context, stage.name, step.layout, opened.trainedOn)
  const from = checkpoint?.step ?? 0
  const steps = await gathered(together, [from])
  const other = steps.findIndex(([theirs]) => theirs !== steps[0][0])
  if (other >= 0) {
    throw new Error(
      `${stage.name}: process ${other} found step ${steps[other][0]} in ${context.dir}, process 0 step ${steps[0][0]}; give all processes one file system`,
    )
  }
  if (from >= stage.settings(config).steps) return null
  const begin = (): SlabTensors =>
    opened.start === undefined
      ? drawnState(step.layout, spec, config.seed)
      : initialState(step.layout, opened.start)
  const tensors = checkpoint?.value ?? begin()
  const isUninspected = checkpoint?.state.uninspected === true
  const lossScale = runtime.isHalfPrecision === true ? dynamicScale(keptScale(checkpoint)) : undefined
  return { from, state: await placeState(runtime, step, tensors), isUninspected, lossScale }
}

const trainStage = async (context: StageContext, stage: Stage, opened: OpenStage): Promise<boolean> => {
  const { config, model, runtime, store, listen, warn, signal, together } = context
  const { steps, batch, lr, emaDecay } = stage.settings(config)
  const { name } = stage
  const own = stageStep(config, model, stage, together.size)
  const started = await start(context, stage, opened, own)
  if (started === null) return true
  const { from, state, isUninspected, lossScale } = started
  const { layout } = own.step
  listen({ event: 'note', text: from === 0 ? `${name}: starting` : `${name}: resuming after step ${from}` })
  const trainStep = await compileStep(runtime, own.step, { together })
  const log = leads(together) ? await store.openLog({ stage: name, step: from }) : noLog
  const line = progress(context, { stage: name, steps, batch, flopsPerStep: own.step.flops })
  const { logEvery, sampleEvery, warmupSteps, finalLrFraction } = config.train
  const inspection = leftWhenStopped(context, async (step) =>
    log.record(step, await opened.inspect(await readAverages(layout, state), step)),
  )
  const checkpoints = openCheckpoints(context, {
    ...{ stage: name, batch, layout, state, from },
    trainedOn: opened.trainedOn,
    extra: () => ({
      ...(inspection.isDue() ? { uninspected: true } : {}),
      ...(lossScale && { lossScale: { ...lossScale.state() } }),
    }),
    beforeSaving: log.sync, // what was logged before a checkpoint is not lost when it is resumed from
  })
  const tell = async (report: StepReport): Promise<void> => {
    const metrics = line.tell(report)
    await log.record(report.step, metrics)
    const warning = opened.warning(metrics, report.step)
    if (warning !== null) listen({ event: 'warning', text: warning })
  }
  try {
    if (isUninspected) await inspection.make(from)
    const done = await trainLoop({
      trainStep,
      state,
      batch,
      from,
      steps,
      rate: { lr, warmupSteps, finalFraction: finalLrFraction },
      emaDecay,
      ...(lossScale && { lossScale }),
      feeds: opened.feeds,
      shouldStop: () => isSoForAny(together, signal.aborted),
      onStep: async (report) => {
        const { step, loss, gradNorm } = report
        line.add({ loss, gradNorm, ...opened.metrics(report.outputs) })
        const last = step === steps
        if (step % logEvery === 0 || last) await tell(report)
        if (step % sampleEvery === 0 && !last) {
          await line.aside(() => inspection.make(step))
        }
        await checkpoints.after(report, last)
      },
    })
    if (done === steps) return true
    if (checkpoints.isSkipping())
      warn(`${name}: the last updates were skipped, so that no step after ${checkpoints.saved()} is saved`)
    else await checkpoints.save(done)
    listen({ event: 'stopped', stage: name, step: checkpoints.saved() })
    return false
  } catch (error) {
    throw error instanceof DivergedError ? divergence(context, stage, error, checkpoints.saved()) : error
  } finally {
    await log.close()
    await trainStep.dispose()
    await state.dispose()
  }
}

/**
 * Trains one stage to its last step, from its newest checkpoint when there is one.
 * @returns whether it got there; false when it was stopped, its state is then saved.
 * @throws DivergedError when updates keep being skipped, or are at the end; the last checkpoint is then from before them.
 */
export const runStage = async (context: StageContext, stage: Stage): Promise<boolean> => {
  const opened = await stage.open(context)
  try {
    return await trainStage(context, stage, opened)
  } finally {
    await opened.close()
  }
}
