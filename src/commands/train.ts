/** @file `ul train`: a run from its configuration to its report. */
import { relative } from 'node:path'
import { Option } from 'commander'
import { applySettings, explainConfig } from '../config/load.ts'
import { presets, smokeForm } from '../config/presets.ts'
import type { Config } from '../config/schema.ts'
import { leads } from '../distributed/collective.ts'
import { visible } from '../report/escape.ts'
import { type StageChoice, stageFlags } from '../stages/list.ts'
import { expectTrainable } from '../stages/possible.ts'
import { train } from '../stages/train.ts'
import { trackioServer } from '../trackio/server.ts'
import { whileSending } from '../trackio/sink.ts'
import { type AddCommand, example, option, wholeNumber } from './options.ts'
import { expectFolder, runFolder } from './output.ts'
import { print } from './print.ts'
import { terminalListener } from './progress.ts'
import { type DeviceFlags, runtimeOf } from './runtime.ts'
import { whileShared } from './shared.ts'
import { loadConfig } from './sources.ts'

interface TrainFlags extends DeviceFlags {
  readonly out?: string
  readonly stage: StageChoice
  readonly steps?: number
  readonly set: readonly string[]
  readonly seed?: number
  readonly stage1From?: string
  readonly trackio?: string
  readonly smoke?: boolean
  readonly dryRun?: boolean
  readonly json?: boolean
}

/** The configuration that is asked for, but for the run that stage 1 is taken from. */
const askedConfig = (source: string, { smoke, steps, seed, set }: TrainFlags): Config => {
  const loaded = loadConfig(source)
  const further = Object.keys(loaded.train.stages ?? {}).map((stage) => `stages.${stage}`)
  const settings = [
    ...(steps === undefined
      ? []
      : ['stage1', 'stage2', ...further].map((key) => `train.${key}.steps=${steps}`)),
    ...(seed === undefined ? [] : [`seed=${seed}`]),
    ...set,
  ]
  return applySettings(smoke === true ? smokeForm(loaded) : loaded, settings)
}

/** With the run that stage 1 is taken from, as it is found from the directory of this one. */
const withStage1 = (config: Config, dir: string, stage1From: string | undefined): Config => {
  if (stage1From === undefined) return config
  const from = stage1From && relative(dir, stage1From)
  return applySettings(config, [`train.stage1.from=${JSON.stringify(from)}`])
}

const run = async (source: string, flags: TrainFlags): Promise<void> => {
  const server = trackioServer(flags.trackio)
  const asked = askedConfig(source, flags)
  const dir = flags.out ?? runFolder(asked.name)
  const config = withStage1(asked, dir, flags.stage1From)
  if (flags.dryRun === true) {
    expectTrainable(config)
    print('stdout', visible(explainConfig(config)))
    return
  }
  expectFolder('--out', dir)
  const request = {
    config,
    dir,
    stage: flags.stage,
    runtime: runtimeOf(flags),
    listen: terminalListener(flags.json === true),
  }
  await whileShared(({ together, signal }) => {
    const sending = { server: leads(together) ? server : null, runs: [dir], listen: request.listen, signal }
    return whileSending(sending, async () => (await train({ ...request, together, signal })).finished)
  })
}

/** Adds `ul train`. */
export const trainCommand: AddCommand = (program) => {
  program
    .command('train')
    .description('train a run and write its report; the same command again resumes it')
    .argument('<preset or file.yaml>', `${Object.keys(presets).join(', ')}, or a configuration file`)
    .option('--out <dir>', 'run directory (default runs/<name>)')
    .addOption(new Option('--stage <stage>', 'which stage').choices([...stageFlags, 'all']).default('all'))
    .addOption(option.steps('steps of every stage'))
    .addOption(option.set())
    .addOption(option.device())
    .addOption(option.compute())
    .addOption(option.threads())
    .addOption(new Option('--seed <n>', 'seed of weights, order and noise').argParser(wholeNumber(0)))
    .option('--stage1-from <run>', "use that run's stage 1 instead of training one")
    .addOption(option.trackio())
    .option('--smoke', 'the same job shrunk to about a minute')
    .option('--dry-run', 'print the resolved configuration and stop')
    .addOption(option.json())
    .addHelpText('after', example('ul train quickstart --set decoder.lossFactor=2 --out runs/try'))
    .action(run)
}
