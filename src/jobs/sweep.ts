/** @file A grid of runs, one directory each: trained, measured, and skipped when that was done before. */
import { existsSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { applySettings } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { armFolder, type Sweep } from '../config/sweepFile.ts'
import { writeFileAtomic } from '../run/atomic.ts'
import { expectSameRun, readRunInfo } from '../run/runDirectory.ts'
import type { Runtime } from '../runtime/runtime.ts'
import type { Listener } from './events.ts'
import { generatesByClass, hasStage, openRun, sharesFigures } from './openRun.ts'
import { expectRunnable } from './possible.ts'
import { isMeasuredAs, measureQuality, openFeatures, type Quality, type QualityOptions } from './quality.ts'
import { type StageChoice, train } from './train.ts'
import { configGuidance, openRunData } from './use.ts'

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

/** The file of a run's distances; in a sweep it says that the run is done. */
export const qualityFile = 'quality.json'

/** The runs of a sweep in the order in which they are made: seed by seed, so that an unfinished sweep compares all arms. */
export const sweepRuns = (sweep: Sweep, config: Config, dir: string): SweepRun[] => {
  const common = applySettings(config, sweep.set)
  return Array.from({ length: sweep.seeds }, (_, seed) => seed).flatMap((seed) =>
    sweep.arms.flatMap((arm): SweepRun[] => {
      const own = join(dir, armFolder(arm.name), `seed-${seed}`)
      const armConfig = applySettings(common, [...arm.set, `seed=${seed}`])
      if (sweep.bases.length === 0) return [{ dir: own, config: armConfig, stage: 'all' }]
      return [
        { dir: own, config: armConfig, stage: '1' },
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

/** Reads the figures of a finished run. */
export const readQuality = (dir: string): Quality =>
  JSON.parse(readFileSync(join(dir, qualityFile), 'utf8')) as Quality

/** The same, null where it was not measured. */
const qualityIn = (dir: string): Quality | null =>
  existsSync(join(dir, qualityFile)) ? readQuality(dir) : null

/** How to measure a run: by its own guidance where none is given. */
export interface MeasureOptions extends Omit<QualityOptions, 'guidance' | 'reconstructs' | 'generates'> {
  readonly guidance?: number
  /** Whether figures of a shared stage 1 are taken from the run that trained it. */
  readonly reuse?: boolean
}

/** Writes `quality.json`, which makes a run a finished one. */
export const writeQuality = (dir: string, quality: Quality): void =>
  writeFileAtomic(join(dir, qualityFile), `${JSON.stringify(quality, null, 2)}\n`)

/** Measures a run by features. */
export const measureRun = async (
  dir: string,
  runtime: Runtime,
  options: MeasureOptions,
): Promise<Quality> => {
  const run = openRun(dir, runtime)
  const { train: source } = await openRunData(run.config)
  const { guidance: scale, reuse = false, ...rest } = options
  const guidance = configGuidance(run.config)
  const ofStage1 = sharesFigures(run, dir) ? qualityIn(run.stage1Directory) : null
  const { samples = rest.samples, seed = rest.seed } = ofStage1?.protocol ?? {}
  const known = reuse && samples === rest.samples && seed === rest.seed ? ofStage1 : null
  const measured = await measureQuality(run, source, {
    ...rest,
    guidance: { ...guidance, scale: scale ?? guidance.scale },
    reconstructs: known === null,
    generates: run.config.sampler.generator === 'prior' || hasStage(dir, 'stage2'),
  })
  if (known === null) return measured
  if (known.protocol.network !== measured.protocol.network)
    return measureRun(dir, runtime, { ...options, reuse: false })
  const { reconstructionsOf } = known.protocol
  const protocol = reconstructionsOf === undefined ? {} : { reconstructionsOf }
  return {
    ...measured,
    protocol: { ...measured.protocol, ...protocol },
    reconstruction: known.reconstruction,
  }
}

/** Whether a run needs nothing more. What `ul evaluate` measured otherwise is measured again. */
export const isDone = ({ dir, config }: SweepRun, { samples }: Sweep, network: string): boolean => {
  const quality = qualityIn(dir)
  if (quality === null) return false
  const run = { config, generatesByClass: generatesByClass(config, readRunInfo(dir).classes.length) }
  return isMeasuredAs(quality, network, run, { guidance: configGuidance(config), samples, seed: config.seed })
}

/** What the network says of itself by which a sweep measures. @throws when it does not open */
export const describeFeatures = async (features: string | undefined): Promise<string> => {
  const { network } = await openFeatures(features, undefined)
  const text = network.describe()
  await network.dispose()
  return text
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
  const network = await describeFeatures(features)
  expectRunnable(runs, (run) => isDone(run, sweep, network))
  for (const [i, run] of runs.entries()) {
    if (isDone(run, sweep, network)) {
      expectSameRun(run.dir, run.config)
      continue
    }
    if (signal.aborted) return false
    listen({ event: 'note', text: `run ${i + 1} of ${runs.length}: ${run.dir}` })
    const { finished } = await train({ ...run, runtime, listen, signal })
    if (!finished) return false
    const options = { samples: sweep.samples, seed: run.config.seed, fitBias: false, reuse: true }
    const given = features === undefined ? options : { ...options, features }
    writeQuality(run.dir, await measureRun(run.dir, runtime, given))
  }
  return true
}
