/** @file `ul sample`: images that a trained run generates. */
import { Option } from 'commander'
import type { Facts } from '../method/conditions/condition.ts'
import { gridPng, visibleScale } from '../report/grid.ts'
import { choicesOf, factsNamed, ofNoClass } from '../use/facts.ts'
import { type OpenedRun, openRun } from '../use/openRun.ts'
import { sample } from '../use/sample.ts'
import { configGuidance, decoderSampler, latentSampler } from '../use/samplers.ts'
import {
  type AddCommand,
  type DeviceFlags,
  example,
  option,
  runtimeOf,
  wholeNumber,
  withSteps,
} from './options.ts'
import { expectFile, writeOutput } from './output.ts'
import { answer, warn } from './print.ts'
import { runArgument, runDirectory } from './sources.ts'

interface SampleFlags extends DeviceFlags {
  readonly n: number
  /** False for `--no-class`. */
  readonly class?: string | false
  readonly guidance?: number
  readonly steps?: number
  readonly seed: number
  readonly out: string
  readonly json?: boolean
}

/** What is known of each image: the class that is asked for, else everything that the run can be asked for, in turn. */
const factsOf = (run: OpenedRun, { n, class: asked }: SampleFlags): (Facts | null)[] => {
  const choices =
    asked === undefined
      ? choicesOf(run).map(({ facts }) => facts)
      : [asked === false ? ofNoClass(run) : factsNamed(run, asked)]
  return Array.from({ length: n }, (_, i) => choices[i % choices.length] ?? null)
}

const run = async (dir: string, flags: SampleFlags): Promise<void> => {
  const opened = openRun(runDirectory(dir), runtimeOf(flags), warn)
  expectFile('--out', flags.out)
  const { config } = opened
  const facts = factsOf(opened, flags)
  const guidance = configGuidance(config)
  const start = performance.now()
  const images = await sample(opened, {
    facts,
    seed: flags.seed,
    sampler: withSteps(latentSampler(config), flags.steps),
    guidance: { ...guidance, scale: flags.guidance ?? guidance.scale },
    decoder: decoderSampler(config),
  })
  const scale = visibleScale(images)
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
    .option('--no-class', "draw of no class, also where one is called 'none'")
    .addOption(option.guidance())
    .addOption(option.steps('steps of the latent chain'))
    .addOption(option.seed())
    .option('--out <file>', 'PNG to write', 'samples.png')
    .addOption(option.device())
    .addOption(option.compute())
    .addOption(option.json())
    .addHelpText('after', example('ul sample runs/quickstart -n 32 --class "Food & Drink" --out food.png'))
    .action(run)
}
