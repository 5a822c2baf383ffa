/** @file train, sweep, report and plan: making runs and comparing them. */
import { statSync } from 'node:fs'
import { basename, extname, join, relative } from 'node:path'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { applySettings, ConfigError, explainConfig } from '../config/load.ts'
import { presets, smokeForm } from '../config/presets.ts'
import type { Config } from '../config/schema.ts'
import { gridArms, parseSweep, type Sweep } from '../config/sweepFile.ts'
import { describeFeatures } from '../measure/measureRun.ts'
import { type StageChoice, stageFlags } from '../stages/list.ts'
import { expectRunnable, expectTrainable } from '../stages/possible.ts'
import { train } from '../stages/train.ts'
import { compareReport } from '../studies/compareReport.ts'
import { planRuns } from '../studies/plan.ts'
import { isDone, runSweep, type Shard, shardOf, sweepRuns } from '../studies/sweep.ts'
import { expectFile, expectFolder, writeOutput } from './output.ts'
import {
  answer,
  collect,
  computeOption,
  type DeviceFlags,
  deviceOption,
  example,
  exitInterrupted,
  jsonOption,
  loadConfig,
  positiveNumber,
  readText,
  realNumber,
  runtimeOf,
  setOption,
  wholeNumber,
} from './shared.ts'
import { planText, terminalListener } from './show.ts'

interface TrainFlags extends DeviceFlags {
  readonly out?: string
  readonly stage: StageChoice
  readonly steps?: number
  readonly set: readonly string[]
  readonly seed?: number
  readonly stage1From?: string
  readonly smoke?: boolean
  readonly dryRun?: boolean
  readonly json?: boolean
}

const resolveConfig = (source: string, flags: TrainFlags): Config => {
  const loaded = loadConfig(source)
  const steps =
    flags.steps === undefined
      ? []
      : [`train.stage1.steps=${flags.steps}`, `train.stage2.steps=${flags.steps}`]
  const seed = flags.seed === undefined ? [] : [`seed=${flags.seed}`]
  return applySettings(flags.smoke === true ? smokeForm(loaded) : loaded, [...steps, ...seed, ...flags.set])
}

interface SweepFlags extends DeviceFlags {
  readonly grid: readonly string[]
  readonly seeds?: number
  readonly samples?: number
  readonly set: readonly string[]
  readonly features?: string
  readonly shard?: Shard
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

/** Reads a sweep from a file. @throws ConfigError when there is none. */
export const readSweep = (path: string): Sweep => {
  if (statSync(path, { throwIfNoEntry: false })?.isFile() !== true)
    throw new ConfigError(`${path}: there is no such file; give one like those in experiments/`)
  return parseSweep(readText(path), path)
}

/** A sweep from a file of one (with arms), or from a preset and a grid. */
const loadSweep = (source: string, { grid, seeds, samples, set }: SweepFlags): Sweep => {
  const file = !Object.hasOwn(presets, source) && grid.length === 0
  const written = file
    ? readSweep(source)
    : {
        title: source,
        preset: source,
        set: [],
        seeds: 1,
        samples: 1024,
        arms: gridArms(grid),
        bases: [],
        plots: [],
      }
  return {
    ...written,
    set: [...written.set, ...set],
    seeds: seeds ?? written.seeds,
    samples: samples ?? written.samples,
  }
}

interface ReportFlags {
  readonly out: string
  readonly csv?: string
  readonly png?: string
  readonly experiment?: string
  readonly json?: boolean
}

interface PlanFlags {
  readonly bitsPerPixel?: number
  readonly bias?: number
  readonly lossFactor?: number
  readonly budget?: number
  readonly check?: readonly string[]
  readonly json?: boolean
}

/** Adds the commands. */
export const trainingCommands = (program: Command): void => {
  program
    .command('train')
    .description('train a run and write its report; the same command again resumes it')
    .argument('<preset or file.yaml>', `${Object.keys(presets).join(', ')}, or a configuration file`)
    .option('--out <dir>', 'run directory (default runs/<name>)')
    .addOption(new Option('--stage <stage>', 'which stage').choices([...stageFlags, 'all']).default('all'))
    .addOption(new Option('--steps <n>', 'steps of both stages').argParser(wholeNumber(1)))
    .addOption(setOption())
    .addOption(deviceOption())
    .addOption(computeOption())
    .addOption(new Option('--seed <n>', 'seed of weights, order and noise').argParser(wholeNumber(0)))
    .option('--stage1-from <run>', "use that run's stage 1 instead of training one")
    .option('--smoke', 'the same job shrunk to about a minute')
    .option('--dry-run', 'print the resolved configuration and stop')
    .addOption(jsonOption())
    .addHelpText('after', example('ul train quickstart --set decoder.lossFactor=2 --out runs/try'))
    .action(async (source: string, flags: TrainFlags) => {
      const asked = resolveConfig(source, flags)
      const dir = flags.out ?? join('runs', asked.name)
      const from = flags.stage1From && relative(dir, flags.stage1From)
      const config =
        from === undefined ? asked : applySettings(asked, [`train.stage1.from=${JSON.stringify(from)}`])
      if (flags.dryRun === true) {
        expectTrainable(config)
        process.stdout.write(explainConfig(config))
        return
      }
      expectFolder('--out', dir)
      const abort = new AbortController()
      const stop = (): void => abort.abort()
      process.once('SIGINT', stop).once('SIGTERM', stop)
      const { finished } = await train({
        config,
        dir,
        stage: flags.stage,
        runtime: runtimeOf(flags),
        listen: terminalListener(flags.json === true),
        signal: abort.signal,
      })
      if (!finished) process.exitCode = exitInterrupted
    })

  program
    .command('sweep')
    .description('train and measure a grid of runs, one directory each; the same command again goes on')
    .argument('<experiment.yaml or preset>', 'a file with arms (see experiments/), or what --grid varies')
    .addOption(
      new Option('--grid <key=v1,v2>', 'values of one key; may be repeated').argParser(collect).default([]),
    )
    .addOption(new Option('--seeds <n>', 'runs of each setting').argParser(wholeNumber(1)))
    .addOption(new Option('--samples <n>', 'images for distances').argParser(wholeNumber(8)))
    .addOption(setOption())
    .option('--features <network>', 'ONNX feature network with its JSON, or hub:<model> (default: FD-mixed5)')
    .option('--out <dir>', 'directory of the runs (default runs/<name>)')
    .addOption(
      new Option('--shard <i/n>', 'part i of n, for several processes or machines on one --out').argParser(
        parseShard,
      ),
    )
    .option('--dry-run', 'list the runs and which of them are done, and stop')
    .addOption(deviceOption())
    .addOption(computeOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      example('ul sweep study --grid decoder.lossFactor=1.5,2,3,4 --seeds 3 --out runs/rates'),
    )
    .action(async (source: string, flags: SweepFlags) => {
      const sweep = loadSweep(source, flags)
      const config = loadConfig(sweep.preset)
      const dir = flags.out ?? join('runs', basename(source, extname(source)))
      if (flags.dryRun === true) {
        const runs = shardOf(sweepRuns(sweep, config, dir), sweep, flags.shard)
        const network = await describeFeatures(flags.features)
        expectRunnable(runs, (run) => isDone(run, sweep, network))
        const states = runs.map((run) => ({ dir: run.dir, done: isDone(run, sweep, network) }))
        const left = states.filter(({ done }) => !done).length
        const lines = states.map(({ dir, done }) => `${done ? 'done' : 'to do'}  ${dir}`)
        answer(flags.json, { event: 'done', left, runs: states }, [...lines, `${left} to do`].join('\n'))
        return
      }
      expectFolder('--out', dir)
      const abort = new AbortController()
      const stop = (): void => abort.abort()
      process.once('SIGINT', stop).once('SIGTERM', stop)
      const finished = await runSweep({
        sweep,
        config,
        dir,
        ...(flags.shard === undefined ? {} : { shard: flags.shard }),
        runtime: runtimeOf(flags),
        listen: terminalListener(flags.json === true),
        signal: abort.signal,
        ...(flags.features === undefined ? {} : { features: flags.features }),
      })
      if (!finished) process.exitCode = exitInterrupted
    })

  program
    .command('report')
    .description(
      'one page about the finished runs below directories: table, curves, CSV; mean ± error over seeds',
    )
    .argument('<dir...>', 'directories of runs, or files of results (.jsonl, see ul results)')
    .option('--experiment <file.yaml>', 'title, findings and plots of an experiment')
    .option('--out <file>', 'HTML to write', 'comparison.html')
    .option('--csv <file>', 'CSV to write')
    .option('--png <file>', 'the curves as an image')
    .addOption(jsonOption())
    .addHelpText('after', example('ul report runs/rates --csv rates.csv'))
    .action(async (dirs: string[], flags: ReportFlags) => {
      const { experiment } = flags
      const written = { out: flags.out, csv: flags.csv, png: flags.png }
      for (const [option, path] of Object.entries(written)) expectFile(`--${option}`, path)
      const sweep = experiment === undefined ? null : readSweep(experiment)
      const { html, csv, png, text, rows } = await compareReport(dirs, sweep)
      writeOutput(flags.out, html)
      writeOutput(flags.csv, csv)
      writeOutput(flags.png, png)
      answer(flags.json, { event: 'done', rows, ...written }, text)
      const paths = Object.values(written).filter((path) => path !== undefined)
      if (flags.json !== true) process.stderr.write(`written: ${paths.join(', ')}\n`)
    })

  program
    .command('plan')
    .description('fit the law of the rate to finished runs, and find the setting for a wanted rate')
    .argument('<dir...>', 'run directories, directories above them, or files of results (.jsonl)')
    .addOption(new Option('--bits-per-pixel <R>', 'the wanted rate').argParser(positiveNumber))
    .addOption(
      new Option('--bias <b>', "decoder.bias to keep (default: the runs' usual one)").argParser(realNumber),
    )
    .addOption(
      new Option('--loss-factor <c>', 'decoder.lossFactor to keep; the bias is planned').argParser(
        realNumber,
      ),
    )
    .addOption(
      new Option(
        '--budget <FLOPs>',
        'plan the best rate for a base model of so many training FLOPs',
      ).argParser(positiveNumber),
    )
    .option('--check <dir...>', 'predict these runs and compare; they are left out of the fit')
    .addOption(jsonOption())
    .addHelpText('after', example('ul plan runs/ --bits-per-pixel 0.3 --check runs/try'))
    .action((dirs: string[], { json, ...flags }: PlanFlags) => {
      const plan = planRuns({ dirs, ...flags })
      answer(json, { event: 'done', ...plan }, planText(plan))
    })
}
