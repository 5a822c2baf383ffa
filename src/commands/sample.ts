/** @file `ul sample`: images that a trained run generates. */
import { Option } from 'commander'
import { gridPng } from '../report/grid.ts'
import { labelOf } from '../use/labels.ts'
import { type OpenedRun, openRun } from '../use/openRun.ts'
import { sample } from '../use/sample.ts'
import { configGuidance, decoderSampler, latentSampler } from '../use/samplers.ts'
import {
  type AddCommand,
  computeOption,
  type DeviceFlags,
  deviceOption,
  example,
  guidanceOption,
  jsonOption,
  runtimeOf,
  seedOption,
  stepsOption,
  wholeNumber,
  withSteps,
} from './options.ts'
import { enlargement, expectFile, writeOutput } from './output.ts'
import { answer, warn } from './print.ts'
import { runArgument, runDirectory } from './sources.ts'

interface SampleFlags extends DeviceFlags {
  readonly n: number
  readonly class?: string
  readonly guidance?: number
  readonly steps?: number
  readonly seed: number
  readonly out: string
  readonly json?: boolean
}

/** The class of each image: the one that is asked for, else all in turn; none where the run draws by none. */
const labelsOf = (run: OpenedRun, { n, class: asked }: SampleFlags): Int32Array => {
  const none = run.generatesByClass ? undefined : labelOf(run, 'none')
  const fixed = asked === undefined ? none : labelOf(run, asked)
  return Int32Array.from({ length: n }, (_, i) => fixed ?? i % run.info.classes.length)
}

const run = async (dir: string, flags: SampleFlags): Promise<void> => {
  const opened = openRun(runDirectory(dir), runtimeOf(flags), warn)
  expectFile('--out', flags.out)
  const { config } = opened
  const labels = labelsOf(opened, flags)
  const guidance = configGuidance(config)
  const start = performance.now()
  const images = await sample(opened, labels, {
    seed: flags.seed,
    sampler: withSteps(latentSampler(config), flags.steps),
    guidance: { ...guidance, scale: flags.guidance ?? guidance.scale },
    decoder: decoderSampler(config),
  })
  const scale = enlargement(config.data.size, 64)
  writeOutput(flags.out, await gridPng(images, Math.ceil(Math.sqrt(flags.n)), { scale }))
  const seconds = (performance.now() - start) / 1000
  answer(
    flags.json,
    { event: 'done', out: flags.out, count: flags.n, seconds },
    `${flags.n} images in ${seconds.toFixed(1)} s: ${flags.out}`,
  )
}

/** Adds `ul sample`. */
export const sampleCommand: AddCommand = (program) => {
  program
    .command('sample')
    .description('generate images with a trained run')
    .argument('<run>', runArgument)
    .addOption(new Option('-n <n>', 'number of images').argParser(wholeNumber(1)).default(16))
    .option('--class <name>', "class to draw, or 'none'; all classes in turn when absent")
    .addOption(guidanceOption())
    .addOption(stepsOption('steps of the latent chain'))
    .addOption(seedOption())
    .option('--out <file>', 'PNG to write', 'samples.png')
    .addOption(deviceOption())
    .addOption(computeOption())
    .addOption(jsonOption())
    .addHelpText('after', example('ul sample runs/quickstart -n 32 --class "Food & Drink" --out food.png'))
    .action(run)
}
