/** @file data, info, profile and features: what things hold and cost, without training. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Command, Option } from 'commander'
import { applySettings, presetByName } from '../config/load.ts'
import { type Config, dataSources } from '../config/schema.ts'
import { buildMixed5 } from '../features/mixed5.ts'
import { openFeatureNetwork } from '../features/network.ts'
import { readRunConfig, readRunInfo } from '../runs/runDirectory.ts'
import { describeModel } from '../stages/info.ts'
import { expectData } from '../stages/possible.ts'
import { profileStep } from '../stages/profile.ts'
import { type DataOptions, describeData } from '../use/describeData.ts'
import { expectFile, writeOutput } from './output.ts'
import {
  answer,
  computeOption,
  type DeviceFlags,
  deviceOption,
  example,
  jsonOption,
  loadConfig,
  runtimeOf,
  setOption,
  wholeNumber,
} from './shared.ts'
import { dataText, infoText, profileText, terminalListener } from './show.ts'

/** Classes that data is taken to have before it is read: those of the best-known set of its kind. */
const assumedClasses: Readonly<Record<Config['data']['source'], number>> = {
  ...{ emoji: 9, cifar: 10, idx: 10 },
  ...{ folder: 1000, webdataset: 1000, parquet: 1000, npy: 1000 },
}

/** Configuration of a run, preset or file, and how many classes its data has or is taken to have. */
const describedBy = (
  source: string,
  set: readonly string[],
): { readonly config: Config; readonly classes: number } => {
  const isRun = existsSync(join(source, 'config.yaml'))
  const config = applySettings(isRun ? readRunConfig(source) : loadConfig(source), set)
  const assumed = assumedClasses[config.data.source]
  return { config, classes: isRun ? readRunInfo(source).classes.length : assumed }
}

interface DataFlags {
  readonly path?: string
  readonly size?: number
  readonly out?: string
  readonly set: readonly string[]
  readonly json?: boolean
}

/** Height and width at which a data set is looked at when no configuration says. */
const lookedAtSize = 64

/** A source by its name, or the data of a configuration; changed by `--set`, and then by the other flags. */
const dataOf = (asked: string, flags: DataFlags): DataOptions => {
  const known = dataSources.find((name) => name === asked)
  const config = known === undefined ? loadConfig(asked) : presetByName('quickstart')
  const named = known === undefined ? {} : { source: known, size: lookedAtSize }
  const { data } = applySettings({ ...config, data: { ...config.data, ...named } }, flags.set)
  const { path = data.path, size = data.size } = flags
  expectData({ ...data, path, size })
  return { source: data.source, path, size, skinTones: data.skinTones }
}

interface InfoFlags extends Pick<DeviceFlags, 'device'> {
  readonly set: readonly string[]
  readonly json?: boolean
}

interface ProfileFlags extends DeviceFlags {
  readonly stage: '1' | '2'
  readonly steps: number
  readonly set: readonly string[]
  readonly json?: boolean
}

/** Adds the commands. */
export const lookingCommands = (program: Command): void => {
  program
    .command('data')
    .description('what a data set holds: counts, classes, what is skipped, a contact sheet')
    .argument('<source or configuration>', `${dataSources.join(', ')}, a preset, or a configuration file`)
    .option('--path <path>', 'file or folder of the data')
    .addOption(new Option('--size <n>', 'height and width in pixels').argParser(wholeNumber(4)))
    .option('--out <file>', 'PNG to write: training images, a row for each class')
    .addOption(setOption())
    .addOption(jsonOption())
    .addHelpText('after', example('ul data webdataset --path shards/ --out sheet.png'))
    .action(async (source: string, flags: DataFlags) => {
      expectFile('--out', flags.out)
      const listen = terminalListener(flags.json === true)
      const { description, sheet } = await describeData(dataOf(source, flags), listen)
      writeOutput(flags.out, sheet)
      const wrote = flags.out === undefined ? '' : `\n${flags.out}`
      answer(
        flags.json,
        { event: 'done', ...description, out: flags.out },
        `${dataText(description)}${wrote}`,
      )
    })

  program
    .command('info')
    .description('parameters, GFLOPs, latent shape and memory of a run or preset')
    .argument('<run or preset>', 'run directory, preset, or configuration file')
    .addOption(setOption())
    .addOption(deviceOption())
    .addOption(jsonOption())
    .addHelpText('after', example('ul info imagenet512 --set train.batch=1'))
    .action((source: string, flags: InfoFlags) => {
      const { config, classes } = describedBy(source, flags.set)
      const info = describeModel(config, classes, flags.device)
      answer(flags.json, { event: 'done', ...info }, infoText(info))
    })

  program
    .command('profile')
    .description("where a training step spends its time: by operator, by layer, and by the graph's ops")
    .argument('<run or preset>', 'run directory, preset, or configuration file')
    .addOption(new Option('--stage <stage>', 'which stage').choices(['1', '2']).default('1'))
    .addOption(new Option('--steps <n>', 'steps to average over').argParser(wholeNumber(1)).default(5))
    .addOption(setOption())
    .addOption(deviceOption())
    .addOption(computeOption())
    .addOption(jsonOption())
    .addHelpText('after', example('ul profile quickstart --stage 2'))
    .action(async (source: string, flags: ProfileFlags) => {
      const { config, classes } = describedBy(source, flags.set)
      const runtime = runtimeOf(flags)
      const profile = await profileStep(runtime, config, flags.stage, classes, flags.steps)
      answer(flags.json, { event: 'done', ...profile }, profileText(profile))
    })

  program
    .command('features')
    .description('feature networks for Fréchet distances')
    .addHelpText('after', example('ul features build'))
    .command('build')
    .description('write FD-mixed5 (Inception v3 up to mixed5) out of the installed package nsfwjs')
    .option(
      '--out <file.onnx>',
      'ONNX file to write, its description beside it (default in the cache folder)',
    )
    .addOption(jsonOption())
    .addHelpText('after', example('ul features build --out mixed5.onnx'))
    .action(async (flags: { readonly out?: string; readonly json?: boolean }) => {
      expectFile('--out', flags.out)
      const out = buildMixed5(flags.out)
      const network = await openFeatureNetwork(out)
      const { name, dimension } = network
      answer(flags.json, { event: 'done', out, name, dimension }, `${out}\n${network.describe()}`)
      await network.dispose()
    })
}
