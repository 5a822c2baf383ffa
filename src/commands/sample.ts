/** @file `ul sample`: images that a trained run generates. */
import { join } from 'node:path'
import { Option } from 'commander'
import { ConfigError } from '../config/load.ts'
import { countOf, examplesOf } from '../engine/host/tensor.ts'
import { stoppable } from '../engine/runtime/stoppable.ts'
import type { Facts } from '../method/conditions/condition.ts'
import { gridPng, visibleScale, visibleSize } from '../report/grid.ts'
import { choicesOf, factsNamed, ofNoClass } from '../use/facts.ts'
import { type OpenedRun, openRun } from '../use/openRun.ts'
import { sample, sampleParts } from '../use/sample.ts'
import { configGuidance, decoderSampler, latentSampler } from '../use/samplers.ts'
import { untilInterrupted } from './exit.ts'
import {
  type AddCommand,
  type DeviceFlags,
  example,
  option,
  runtimeOf,
  wholeNumber,
  withSteps,
} from './options.ts'
import { expectFile, expectFolder, writeOutput } from './output.ts'
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

/** Samples drawn by one command at most. */
const mostSamples = 10_000_000
/** Pixels of a grid at most: more samples go to a folder. */
const mostPixels = 2 ** 26

/** Whether samples are to be files of a folder of their own, rather than one grid. */
const isFolder = (out: string): boolean => /[/\\]$/.test(out)

/** @throws ConfigError when a grid would be larger than an image may be */
const expectGrid = ({ n, out }: SampleFlags, size: number): void => {
  expectFile('--out', out)
  const most = Math.floor(mostPixels / Math.max(size, visibleSize) ** 2)
  if (n > most)
    throw new ConfigError(
      `-n ${n}: a grid holds ${most} images of ${size}×${size}; give a folder for files of their own, as in --out ${out.replace(/\.\w+$/, '')}/`,
    )
}

/** Writes every sample to a file as it is made. */
const writeFiles = async (parts: ReturnType<typeof sampleParts>, out: string): Promise<void> => {
  for await (const { first, images } of parts) {
    for (let i = 0; i < countOf(images); i++)
      writeOutput(
        join(out, `${String(first + i).padStart(5, '0')}.png`),
        await gridPng(examplesOf(images, i, 1), 1),
      )
  }
}

const run = async (dir: string, flags: SampleFlags, signal: AbortSignal): Promise<void> => {
  const opened = openRun(runDirectory(dir), stoppable(runtimeOf(flags), signal), warn)
  const { config } = opened
  const inFiles = isFolder(flags.out)
  if (flags.n > mostSamples)
    throw new ConfigError(`-n ${flags.n}: ${mostSamples} at most; draw several sets by --seed`)
  if (inFiles) expectFolder('--out', flags.out)
  else expectGrid(flags, config.data.size)
  const guidance = configGuidance(config)
  const request = {
    facts: factsOf(opened, flags),
    seed: flags.seed,
    sampler: withSteps(latentSampler(config), flags.steps),
    guidance: { ...guidance, scale: flags.guidance ?? guidance.scale },
    decoder: decoderSampler(config),
  }
  const start = performance.now()
  if (inFiles) await writeFiles(sampleParts(opened, request), flags.out)
  else {
    const images = await sample(opened, request)
    const scale = visibleScale(images)
    writeOutput(flags.out, await gridPng(images, Math.ceil(Math.sqrt(flags.n)), { scale }))
  }
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
    .option('--out <file>', 'PNG to write: a grid; or a folder, ending in /, for a file each', 'samples.png')
    .addOption(option.device())
    .addOption(option.compute())
    .addOption(option.json())
    .addHelpText('after', example('ul sample runs/quickstart -n 32 --class "Food & Drink" --out food.png'))
    .action((dir, flags) => untilInterrupted((signal) => run(dir, flags, signal)))
}
