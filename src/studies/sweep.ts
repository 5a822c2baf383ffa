/** @file A grid of runs, one directory each: trained, measured, and skipped when that was done before. */
import { join, relative } from 'node:path'
import { applySettings } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { armFolder, type Sweep } from '../config/sweepFile.ts'
import type { Runtime } from '../engine/runtime/runtime.ts'
import { stoppable, wasStopped } from '../engine/runtime/stoppable.ts'
import { describeFeatures, type MeasureOptions, measureRun } from '../measure/measureRun.ts'
import { isMeasuredAs } from '../measure/quality.ts'
import { configGuidance } from '../model/samplers.ts'
import { orWarn } from '../runs/checked.ts'
import { type Listener, onceEach } from '../runs/events.ts'
import { qualityIn, writeQuality } from '../runs/results.ts'
import { expectSameRun, readRunInfo } from '../runs/runDirectory.ts'
import { whileWriting } from '../runs/writer.ts'
import { beforeBase, type StageChoice } from '../stages/list.ts'
import { expectRunnable } from '../stages/possible.ts'
import { train } from '../stages/train.ts'

/** One run of a sweep. */
export interface SweepRun {
  readonly dir: string
  readonly config: Config
  readonly stage: StageChoice
}

/** What to run and where. */
export interface SweepRequest {
  readonly sweep: Sweep
  /** The configuration that the sweep starts from. */
  readonly config: Config
  readonly dir: string
  readonly features?: string
  /** Which part of the sweep; all of it when absent. */
  readonly shard?: Shard
  readonly runtime: Runtime
  readonly listen: Listener
  readonly signal: AbortSignal
}

/** Part `part` of `of`, counted from 1: so several processes or machines share a sweep. */
export interface Shard {
  readonly part: number
  readonly of: number
}

/** The runs of a sweep in the order in which they are made: seed by seed, so that an unfinished sweep compares all arms. */
export const sweepRuns = (sweep: Sweep, config: Config, dir: string): SweepRun[] => {
  const common = applySettings(config, sweep.set)
  return Array.from({ length: sweep.seeds }, (_, seed) => seed).flatMap((seed) =>
    sweep.arms.flatMap((arm): SweepRun[] => {
      const own = join(dir, armFolder(arm.name), `seed-${seed}`)
      const armConfig = applySettings(common, [...arm.set, `seed=${seed}`])
      if (sweep.bases.length === 0) return [{ dir: own, config: armConfig, stage: 'all' }]
      return [
        { dir: own, config: armConfig, stage: beforeBase },
        ...sweep.bases.map((base): SweepRun => {
          const below = join(own, armFolder(base.name))
          const from = `train.stage1.from=${JSON.stringify(relative(below, own))}`
          return {
            dir: below,
            config: applySettings(armConfig, [...base.set, from]),
            stage: 'all',
          }
        }),
      ]
    }),
  )
}

/** The runs of a part of a sweep: every `of`-th arm and seed, with its base models, which need its stage 1. */
export const shardOf = (runs: readonly SweepRun[], { bases }: Sweep, shard: Shard | undefined): SweepRun[] =>
  runs.filter((_, i) => {
    const group = Math.floor(i / (1 + bases.length))
    return shard === undefined || group % shard.of === shard.part - 1
  })

/** How a sweep measures, and who is told of files that do not read. */
export interface SweepMeasure {
  readonly samples: number
  /** What the feature network says of itself. */
  readonly network: string
  readonly warn: (text: string) => void
}

/** Frames of the clips that a sweep's runs are measured on, 1 for images. */
export const sweepFrames = (sweep: Sweep, config: Config): number =>
  applySettings(config, sweep.set).data.frames

/** Whether a run needs nothing more. What `ul evaluate` measured otherwise is measured again, and what does not read. */
export const isDone = ({ dir, config }: SweepRun, { samples, network, warn }: SweepMeasure): boolean => {
  const quality = orWarn(() => qualityIn(dir), warn)
  const info = quality && orWarn(() => readRunInfo(dir), warn)
  if (quality === null || info === null) return false
  const run = { config, info }
  return isMeasuredAs(quality, network, run, { guidance: configGuidance(config), samples, seed: config.seed })
}

/** Measures a run and writes that down; whether it came to that. */
const measured = async (
  dir: string,
  options: MeasureOptions,
  { runtime, signal, listen }: SweepRequest,
  warn: (text: string) => void,
): Promise<boolean> => {
  try {
    await whileWriting(dir, async () =>
      writeQuality(dir, await measureRun(dir, stoppable(runtime, signal), options), runtime.device, warn),
    )
    return true
  } catch (error) {
    if (!wasStopped(error, signal)) throw error
    listen({ event: 'stopped' })
    return false
  }
}

/**
 * Runs what is left of a sweep, or of its part.
 * @returns whether all of it is done; false when it was stopped.
 * @throws ConfigError when a directory holds a run with another configuration: the sweep was changed since.
 */
export const runSweep = async (request: SweepRequest): Promise<boolean> => {
  const { sweep, config, dir, features, shard, runtime, listen, signal } = request
  const runs = shardOf(sweepRuns(sweep, config, dir), sweep, shard)
  // A network that does not open is found now, not when the first run is trained.
  const warn = onceEach((text) => listen({ event: 'warning', text }))
  const measure: SweepMeasure = {
    samples: sweep.samples,
    network: await describeFeatures(features, sweepFrames(sweep, config)),
    warn,
  }
  expectRunnable(runs, (run) => isDone(run, measure))
  for (const [i, run] of runs.entries()) {
    if (isDone(run, measure)) {
      expectSameRun(run.dir, run.config)
      continue
    }
    if (signal.aborted) return false
    listen({ event: 'note', text: `run ${i + 1} of ${runs.length}: ${run.dir}` })
    const { finished } = await train({ ...run, runtime, listen, signal })
    if (!finished) return false
    const options = {
      ...{ samples: sweep.samples, seed: run.config.seed, fitBias: false, reuse: true },
      ...{ signal, warn },
    }
    const given = features === undefined ? options : { ...options, features }
    if (!(await measured(run.dir, given, request, warn))) return false
  }
  return true
}
