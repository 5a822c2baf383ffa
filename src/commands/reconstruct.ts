/** @file `ul reconstruct`: images encoded and decoded, with what that costs and loses. */
import { ConfigError } from '../config/load.ts'
import { countOf, examplesOf, stacked } from '../engine/host/tensor.ts'
import { stoppable } from '../engine/runtime/stoppable.ts'
import { type Reconstructed, reconstruct } from '../measure/reconstruct.ts'
import { latentOf } from '../method/config.ts'
import type { MeasuredPart } from '../method/evaluate.ts'
import { decoderSampler } from '../model/samplers.ts'
import { expectClipFile, writeClip } from '../report/clip.ts'
import { writeClipRateMaps } from '../report/clipRateMaps.ts'
import { pairGrid, visibleScale } from '../report/grid.ts'
import { rateMapsPng } from '../report/rateMaps.ts'
import { type FileImages, openExamples } from '../use/images.ts'
import { type OpenedRun, openRun } from '../use/openRun.ts'
import { untilInterrupted } from './exit.ts'
import { type AddCommand, example, option, withSteps } from './options.ts'
import { expectFile, makeFolderOf, writeOutput } from './output.ts'
import { answer, tellSkipped, warn } from './print.ts'
import { type DeviceFlags, runtimeOf } from './runtime.ts'
import { runArgument, runDirectory } from './sources.ts'

interface ReconstructFlags extends DeviceFlags {
  readonly steps?: number
  readonly seed: number
  readonly out?: string
  readonly maps?: string
  readonly json?: boolean
}

/** Images, and clips, that a page of pairs or of maps shows at most. */
const shownAtMost = ({ config }: OpenedRun): number => (config.video === undefined ? 64 : 16)

const answerEach = (
  files: readonly string[],
  { first, psnrs, bitsPerPixel }: MeasuredPart,
  json: boolean | undefined,
): void => {
  for (const [i, psnr] of psnrs.entries()) {
    const [file, bits] = [files[first + i], bitsPerPixel[i]]
    answer(
      json,
      { event: 'image', file, psnr, bitsPerPixel: bits },
      `${file}  ${psnr.toFixed(2)} dB  ${bits.toFixed(3)} bits/pixel`,
    )
  }
}

const answerAll = (
  { count, skipped }: FileImages,
  { figures: { psnr, bitsPerPixel }, images }: Reconstructed,
  { json, out, maps }: ReconstructFlags,
): void => {
  const pages = [out, maps].filter((page) => page !== undefined)
  const [drawn, what] = [countOf(images), images.shape.length === 5 ? 'clips' : 'images']
  const isCut = count > drawn && pages.length > 0
  const shown = isCut ? `\n${pages.join(', ')}: the first ${drawn} of ${count} ${what}` : ''
  answer(
    json,
    { event: 'done', count, skipped: skipped.length, psnr, bitsPerPixel, out, maps },
    `overall (${count})  ${psnr.mean.toFixed(2)} ± ${psnr.error.toFixed(2)} dB  ${bitsPerPixel.mean.toFixed(3)} ± ${bitsPerPixel.error.toFixed(3)} bits/pixel${shown}`,
  )
}

/** @throws ConfigError when a page cannot be written, of clips also for a name that says no kind of file */
const expectPage = (option: string, path: string | undefined, { config }: OpenedRun): void => {
  expectFile(option, path)
  if (path === undefined || config.video === undefined) return
  try {
    expectClipFile(path)
  } catch (cause) {
    throw new ConfigError(`${option}: ${(cause as Error).message}`, { cause })
  }
}

/** Originals above reconstructions, eight beside each other. */
const writePairs = async (path: string, { images, reconstructions }: Reconstructed): Promise<void> =>
  writeOutput(
    path,
    await pairGrid(images, reconstructions, Math.min(8, countOf(images)), { scale: visibleScale(images) }),
  )

/** Clips with their reconstructions: beside each other in a file that plays, below each other in a sheet of frames. */
const writeClipPairs = async (path: string, measured: Reconstructed, signal: AbortSignal): Promise<void> => {
  if (path.toLowerCase().endsWith('.png')) return writePairs(path, measured)
  const { images, reconstructions } = measured
  const pairs = Array.from({ length: countOf(images) }, (_, n) => [
    examplesOf(images, n, 1),
    examplesOf(reconstructions, n, 1),
  ]).flat()
  makeFolderOf(path)
  await writeClip(path, stacked(pairs), { columns: 2, signal })
}

/** Side in pixels of what is drawn of bits. */
const mapSize = 96

const writeMaps = async (
  path: string,
  { model }: OpenedRun,
  { images, reconstructions, rateElements }: Reconstructed,
  signal: AbortSignal,
): Promise<void> => {
  const { channels, frames, height, width } = latentOf(model)
  const scale = visibleScale(images, mapSize)
  makeFolderOf(path)
  if (frames === undefined) {
    const latent = [channels, height, width] as const
    return writeOutput(path, await rateMapsPng({ images, reconstructions, rateElements, latent }, scale))
  }
  const latent = [channels, frames, height, width] as const
  await writeClipRateMaps(path, { clips: images, reconstructions, rateElements, latent }, { scale, signal })
}

const run = async (
  dir: string,
  paths: string[],
  flags: ReconstructFlags,
  signal: AbortSignal,
): Promise<void> => {
  const runtime = stoppable(runtimeOf(flags), signal)
  const opened = openRun(runDirectory(dir), runtime, warn)
  expectPage('--out', flags.out, opened)
  expectPage('--maps', flags.maps, opened)
  const images = await openExamples(opened.config, paths, signal)
  tellSkipped(flags.json, images)
  const measured = await reconstruct(opened, runtime, images, {
    seed: flags.seed,
    sampler: withSteps(decoderSampler(opened.config), flags.steps),
    shown: shownAtMost(opened),
    look: (part) => answerEach(images.files, part, flags.json),
  })
  const { out, maps } = flags
  if (out !== undefined)
    await (opened.config.video === undefined ? writePairs : writeClipPairs)(out, measured, signal)
  if (maps !== undefined) await writeMaps(maps, opened, measured, signal)
  answerAll(images, measured, flags)
}

/** Adds `ul reconstruct`. */
export const reconstructCommand: AddCommand = (program) => {
  program
    .command('reconstruct')
    .description('encode and decode images, or clips; print PSNR and latent bits/pixel for each and overall')
    .argument('<run>', runArgument)
    .argument('<image or folder...>', 'images, or clips where the run is of clips')
    .addOption(option.steps('decoder steps'))
    .addOption(option.seed())
    .option(
      '--out <file>',
      'PNG with originals above reconstructions, of the first 64; of the first 16 clips also .webp, .gif, .mp4',
    )
    .option(
      '--maps <file>',
      'the same with where the bits are: by latent position and by channel, of clips over time as well',
    )
    .addOption(option.device())
    .addOption(option.compute())
    .addOption(option.threads())
    .addOption(option.json())
    .addHelpText('after', example('ul reconstruct runs/quickstart photos/ --out pairs.png'))
    .action((dir, paths, flags) => untilInterrupted((signal) => run(dir, paths, flags, signal)))
}
