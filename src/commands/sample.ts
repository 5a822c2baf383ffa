/** @file `ul sample`: images or clips that a trained run generates, clips also from frames that are given. */
import { join } from 'node:path'
import { Option } from 'commander'
import { ConfigError } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { leaderOnly } from '../distributed/collective.ts'
import { countOf, examplesOf, type HostTensor, stacked } from '../engine/host/tensor.ts'
import { stoppable } from '../engine/runtime/stoppable.ts'
import type { Facts } from '../method/conditions/condition.ts'
import { choicesOf, ofNoClass } from '../model/choices.ts'
import { configGuidance, decoderSampler, latentSampler } from '../model/samplers.ts'
import { expectClipFile, writeClip } from '../report/clip.ts'
import { gridPng, visibleScale, visibleSize } from '../report/grid.ts'
import { factsNamed } from '../use/facts.ts'
import { readGiven } from '../use/images.ts'
import { type OpenedRun, openRun } from '../use/openRun.ts'
import { type SampleRequest, sample, sampleParts } from '../use/sample.ts'
import { type AddCommand, example, option, wholeNumber, withSteps } from './options.ts'
import { expectFile, expectFolder, makeFolderOf, writeExample, writeOutput } from './output.ts'
import { answer, warn } from './print.ts'
import { type DeviceFlags, runtimeOf } from './runtime.ts'
import { type Shared, whileShared } from './shared.ts'
import { runArgument, runDirectory } from './sources.ts'

interface SampleFlags extends DeviceFlags {
  readonly n: number
  /** False for `--no-class`. */
  readonly class?: string | false
  readonly guidance?: number
  readonly givenGuidance?: number
  readonly steps?: number
  readonly given?: string
  readonly frames?: number
  readonly length?: number
  readonly overlap?: number
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
/** Frames of a clip at most: it is held in memory until it is written. */
const mostFrames = 10_000
/** Pixels of a grid at most: more samples go to a folder. */
const mostPixels = 2 ** 26

/** Whether samples are to be files of a folder of their own, rather than one grid. */
const isFolder = (out: string): boolean => /[/\\]$/.test(out)

/** @throws ConfigError when a grid would be larger than an image may be, or clips cannot be written to a file of that name */
const expectGrid = ({ n, out, length }: SampleFlags, { data, video }: Config): void => {
  const { size } = data
  const frames = length ?? data.frames
  expectFile('--out', out)
  if (video !== undefined) expectClipFile(out)
  const most = Math.floor(mostPixels / (frames * Math.max(size, visibleSize) ** 2))
  if (n > most)
    throw new ConfigError(
      `-n ${n}: a grid holds ${most} ${video === undefined ? 'images' : `clips of ${frames} frames`} of ${size}×${size}; give a folder for files of their own, as in --out ${out.replace(/\.\w+$/, '')}/`,
    )
}

/** Writes every sample to a file as it is made. */
const writeFiles = async (parts: ReturnType<typeof sampleParts>, out: string): Promise<void> => {
  for await (const { first, images } of parts) {
    for (let i = 0; i < countOf(images); i++)
      await writeExample(join(out, String(first + i).padStart(5, '0')), examplesOf(images, i, 1))
  }
}

/** Writes all samples to one file: images as a grid, clips as its ending says. */
const writeGrid = async (samples: HostTensor, out: string): Promise<void> => {
  if (samples.shape.length === 5) {
    makeFolderOf(out)
    return writeClip(out, samples)
  }
  const scale = visibleScale(samples)
  writeOutput(out, await gridPng(samples, Math.ceil(Math.sqrt(countOf(samples))), { scale }))
}

/**
 * The clip that is given to every sample. @throws ConfigError for a run of images, and for as many frames as a clip has
 */
const givenOf = async (
  { config, model }: OpenedRun,
  { given, frames, n, givenGuidance, length }: SampleFlags,
): Promise<SampleRequest['from']> => {
  if (givenGuidance !== undefined && given === undefined && length === undefined)
    throw new ConfigError(
      `--given-guidance ${givenGuidance}: no frames are given to guide by; name a clip by --given as well`,
    )
  if (given === undefined && frames === undefined) return undefined
  if (model.video === undefined)
    throw new ConfigError(
      `--${given === undefined ? 'frames' : 'given'}: this run makes images; give a run of clips`,
    )
  if (given === undefined)
    throw new ConfigError(`--frames ${frames}: frames of nothing; name the clip by --given as well`)
  const count = frames ?? model.video.given
  if (count >= model.frames)
    throw new ConfigError(
      `--frames ${count}: clips of this run have ${model.frames}, of which one at least is generated; give ${model.frames - 1} or fewer`,
    )
  const clip = await readGiven(given, config.data, count)
  const clips = {
    count: n,
    read: async (_: number, m: number) => stacked(Array.from({ length: m }, () => clip)),
  }
  return { clips, counts: Array.from({ length: n }, () => count) }
}

/** How far clips go on. @throws ConfigError for a run of images, and where windows would not go on */
const windowsOf = (
  { model: { video, frames } }: OpenedRun,
  { length, overlap }: SampleFlags,
): SampleRequest['windows'] => {
  if (length === undefined && overlap === undefined) return undefined
  if (video === undefined)
    throw new ConfigError(
      `--${length === undefined ? 'overlap' : 'length'}: this run makes images; give a run of clips`,
    )
  if (length === undefined)
    throw new ConfigError(
      `--overlap ${overlap}: frames between windows of one; say by --length how long clips are`,
    )
  if (length > mostFrames)
    throw new ConfigError(
      `--length ${length}: ${mostFrames} frames at most; go on from the end of a clip by --given`,
    )
  const shared = overlap ?? Math.min(video.given, frames - 1)
  if (shared >= frames)
    throw new ConfigError(
      `--overlap ${shared}: windows of this run have ${frames} frames, of which one at least is generated; give ${frames - 1} or fewer`,
    )
  return { frames: length, overlap: shared }
}

const run = async (dir: string, flags: SampleFlags, { together, signal }: Shared): Promise<void> => {
  const opened = openRun(runDirectory(dir), stoppable(runtimeOf(flags), signal), warn)
  const { config } = opened
  const inFiles = isFolder(flags.out)
  if (flags.n > mostSamples)
    throw new ConfigError(`-n ${flags.n}: ${mostSamples} at most; draw several sets by --seed`)
  const windows = windowsOf(opened, flags)
  if (inFiles) expectFolder('--out', flags.out)
  else expectGrid(flags, config)
  const guidance = configGuidance(config)
  const request = {
    facts: factsOf(opened, flags),
    seed: flags.seed,
    sampler: withSteps(latentSampler(config), flags.steps),
    guidance: {
      ...guidance,
      scale: flags.guidance ?? guidance.scale,
      given: flags.givenGuidance ?? guidance.given,
    },
    decoder: decoderSampler(config),
    from: await givenOf(opened, flags),
    windows,
  }
  const start = performance.now()
  if (inFiles) await writeFiles(sampleParts(opened, request, together), flags.out)
  else await leaderOnly(together, async () => writeGrid(await sample(opened, request), flags.out))
  await together.meet()
  const seconds = (performance.now() - start) / 1000
  answer(
    flags.json,
    { event: 'done', out: flags.out, count: flags.n, seconds },
    `${flags.n} ${config.video === undefined ? 'images' : 'clips'} in ${seconds.toFixed(1)} s: ${flags.out}`,
  )
}

/** Adds `ul sample`. */
export const sampleCommand: AddCommand = (program) => {
  program
    .command('sample')
    .description('generate images, or clips, with a trained run')
    .argument('<run>', runArgument)
    .addOption(new Option('-n <n>', 'number of images or clips').argParser(wholeNumber(1)).default(16))
    .option('--class <name>', "class to draw, or 'none'; all classes in turn when absent")
    .option('--no-class', "draw of no class, also where one is called 'none'")
    .addOption(option.guidance())
    .addOption(option.steps('steps of the latent chain'))
    .option(
      '--given <clip>',
      'a clip that every sample begins like: a video, an animation, a folder of frames',
    )
    .addOption(
      new Option('--frames <n>', 'frames taken of it (default: video.given of the run)').argParser(
        wholeNumber(1),
      ),
    )
    .addOption(option.givenGuidance())
    .addOption(
      new Option(
        '--length <n>',
        'frames of each clip; after those of the run, further ones follow in windows that are given the end of what is there',
      ).argParser(wholeNumber(1)),
    )
    .addOption(
      new Option(
        '--overlap <n>',
        'frames that such a window is given (default: video.given of the run)',
      ).argParser(wholeNumber(1)),
    )
    .addOption(option.seed())
    .option(
      '--out <file>',
      'PNG to write: a grid; of clips also .webp, .gif, .mp4; or a folder, ending in /, for a file each',
      'samples.png',
    )
    .addOption(option.device())
    .addOption(option.compute())
    .addOption(option.threads())
    .addOption(option.json())
    .addHelpText('after', example('ul sample runs/quickstart -n 32 --class "Food & Drink" --out food.png'))
    .action((dir, flags) => whileShared((shared) => run(dir, flags, shared)))
}
