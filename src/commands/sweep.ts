/** @file `ul sweep`: a grid of runs, or the arms of an experiment, trained and measured. */
import { basename, extname, join } from 'node:path'
import { InvalidArgumentError, Option } from 'commander'
import { ConfigError } from '../config/load.ts'
import { presets } from '../config/presets.ts'
import type { Config } from '../config/schema.ts'
import { gridArms, type Sweep } from '../config/sweepFile.ts'
import type { Collective } from '../distributed/collective.ts'
import { describeFeatures } from '../measure/measureRun.ts'
import { onceEach } from '../runs/events.ts'
import { expectRunnable } from '../stages/possible.ts'
import { isDone, runSweep, type Shard, shardOf, sweepFrames, sweepRuns } from '../studies/sweep.ts'
import { trackioServer } from '../trackio/server.ts'
import { whileSending } from '../trackio/sink.ts'
import { type AddCommand, collect, example, option, wholeNumber } from './options.ts'
import { expectFolder } from './output.ts'
import { answer, warn } from './print.ts'
import { terminalListener } from './progress.ts'
import { type DeviceFlags, runtimeOf } from './runtime.ts'
import { whileShared } from './shared.ts'
import { loadConfig, readSweep } from './sources.ts'

interface SweepFlags extends DeviceFlags {
  readonly grid: readonly string[]
  readonly seeds?: number
  readonly samples?: number
  readonly set: readonly string[]
  readonly features?: string
  readonly shard?: Shard
  readonly trackio?: string
  readonly dryRun?: boolean
  readonly out?: string
  readonly json?: boolean
}

/** Reads `i/n`. @throws when it is not a part of a whole. */
const parseShard = (text: string): Shard => {
  const [, part, of] = text.match(/^(\d+)\/(\d+)$/)?.map(Number) ?? []
  if (part === undefined || of === undefined || part < 1 || part > of)
    throw new InvalidArgumentError('expected i/n with i from 1 to n, as in 1/2.')
  return { part, of }
}

/** The part of a sweep that a process of a job does. @throws ConfigError when a part was asked for, too */
const sharedShard = ({ rank, size }: Collective, asked: Shard | undefined): Shard | undefined => {
  if (size === 1) return asked
  if (asked !== undefined)
    throw new ConfigError(`--shard: ${size} processes share the sweep already; leave it out`)
  return { part: rank + 1, of: size }
}

/** A sweep from a preset and a grid. */
const gridSweep = (preset: string, grid: readonly string[]): Sweep => ({
  title: preset,
  preset,
  set: [],
  seeds: 1,
  samples: 1024,
  arms: gridArms(grid),
  bases: [],
  plots: [],
})

/** A sweep from a file of one (with arms), or from a preset and a grid; flags change either. */
const loadSweep = (source: string, { grid, seeds, samples, set }: SweepFlags): Sweep => {
  const isFile = !Object.hasOwn(presets, source) && grid.length === 0
  const written = isFile ? readSweep(source) : gridSweep(source, grid)
  return {
    ...written,
    set: [...written.set, ...set],
    seeds: seeds ?? written.seeds,
    samples: samples ?? written.samples,
  }
}

/** Says which runs there are and which of them are done. */
const list = async (sweep: Sweep, config: Config, dir: string, flags: SweepFlags): Promise<void> => {
  const runs = shardOf(sweepRuns(sweep, config, dir), sweep, flags.shard)
  const network = await describeFeatures(flags.features, sweepFrames(sweep, config))
  const measure = { samples: sweep.samples, network, warn: onceEach(warn) }
  expectRunnable(runs, (run) => isDone(run, measure))
  const states = runs.map((run) => ({ dir: run.dir, done: isDone(run, measure) }))
  const left = states.filter(({ done }) => !done).length
  const lines = states.map(({ dir, done }) => `${done ? 'done' : 'to do'}  ${dir}`)
  answer(flags.json, { event: 'done', left, runs: states }, [...lines, `${left} to do`].join('\n'))
}

const run = async (source: string, flags: SweepFlags): Promise<void> => {
  const server = trackioServer(flags.trackio)
  const sweep = loadSweep(source, flags)
  const config = loadConfig(sweep.preset)
  const dir = flags.out ?? join('runs', basename(source, extname(source)))
  if (flags.dryRun === true) return list(sweep, config, dir, flags)
  expectFolder('--out', dir)
  const request = {
    sweep,
    config,
    dir,
    features: flags.features,
    runtime: runtimeOf(flags),
    listen: terminalListener(flags.json === true),
  }
  await whileShared(async ({ together, signal }) => {
    const shard = sharedShard(together, flags.shard)
    // Each process sends what it trains.
    const runs = shardOf(sweepRuns(sweep, config, dir), sweep, shard).map((run) => run.dir)
    const sending = { server, runs, listen: request.listen, signal }
    const isDone = await whileSending(sending, () => runSweep({ ...request, shard, signal }))
    await together.meet() // who has come to its end, or has saved, waits for the others to
    return isDone
  })
}

/** Adds `ul sweep`. */
export const sweepCommand: AddCommand = (program) => {
  program
    .command('sweep')
    .description('train and measure a grid of runs, one directory each; the same command again goes on')
    .argument('<experiment.yaml or preset>', 'a file with arms (see experiments/), or what --grid varies')
    .addOption(
      new Option('--grid <key=v1,v2>', 'values of one key; may be repeated').argParser(collect).default([]),
    )
    .addOption(new Option('--seeds <n>', 'runs of each setting').argParser(wholeNumber(1)))
    .addOption(new Option('--samples <n>', 'images for distances').argParser(wholeNumber(8)))
    .addOption(option.set())
    .option('--features <network>', 'ONNX feature network with its JSON, or hub:<model> (default: FD-mixed5)')
    .option('--out <dir>', 'directory of the runs (default runs/<name>)')
    .addOption(
      new Option('--shard <i/n>', 'part i of n, for several processes or machines on one --out').argParser(
        parseShard,
      ),
    )
    .addOption(option.trackio())
    .option('--dry-run', 'list the runs and which of them are done, and stop')
    .addOption(option.device())
    .addOption(option.compute())
    .addOption(option.threads())
    .addOption(option.json())
    .addHelpText(
      'after',
      example('ul sweep study --grid decoder.lossFactor=1.5,2,3,4 --seeds 3 --out runs/rates'),
    )
    .action(run)
}
