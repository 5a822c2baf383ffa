/** @file `ul reconstruct`: images encoded and decoded, with what that costs and loses. */
import { ConfigError } from '../config/load.ts'
import { countOf } from '../engine/host/tensor.ts'
import { stoppable } from '../engine/runtime/stoppable.ts'
import { type Reconstructed, reconstruct } from '../measure/reconstruct.ts'
import { latentOf } from '../method/config.ts'
import type { MeasuredPart } from '../method/evaluate.ts'
import { decoderSampler } from '../model/samplers.ts'
import { pairGrid, visibleScale } from '../report/grid.ts'
import { rateMapsPng } from '../report/rateMaps.ts'
import { type FileImages, openExamples } from '../use/images.ts'
import { type OpenedRun, openRun } from '../use/openRun.ts'
import { untilInterrupted } from './exit.ts'
import { type AddCommand, type DeviceFlags, example, option, runtimeOf, withSteps } from './options.ts'
import { expectFile, writeOutput } from './output.ts'
import { answer, tellSkipped, warn } from './print.ts'
import { runArgument, runDirectory } from './sources.ts'

interface ReconstructFlags extends DeviceFlags {
  readonly steps?: number
  readonly seed: number
  readonly out?: string
  readonly maps?: string
  readonly json?: boolean
}

/** Images that a page of pairs or of maps shows at most. */
const shownAtMost = 64

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
  { psnr, bitsPerPixel }: Reconstructed['figures'],
  { json, out, maps }: ReconstructFlags,
): void => {
  const pages = [out, maps].filter((page) => page !== undefined)
  const isCut = count > shownAtMost && pages.length > 0
  const shown = isCut ? `\n${pages.join(', ')}: the first ${shownAtMost} of ${count} images` : ''
  answer(
    json,
    { event: 'done', count, skipped: skipped.length, psnr, bitsPerPixel, out, maps },
    `overall (${count})  ${psnr.mean.toFixed(2)} ± ${psnr.error.toFixed(2)} dB  ${bitsPerPixel.mean.toFixed(3)} ± ${bitsPerPixel.error.toFixed(3)} bits/pixel${shown}`,
  )
}

/** Originals above reconstructions, eight beside each other. */
const pairsPng = ({ images, reconstructions }: Reconstructed): Promise<Uint8Array> =>
  pairGrid(images, reconstructions, Math.min(8, countOf(images)), { scale: visibleScale(images) })

/** The same with where the bits are below them. */
const mapsPng = (
  { model }: OpenedRun,
  { images, reconstructions, rateElements }: Reconstructed,
): Promise<Uint8Array> => {
  const { channels, height, width } = latentOf(model)
  const maps = { images, reconstructions, rateElements, latent: [channels, height, width] as const }
  return rateMapsPng(maps, visibleScale(images, 96))
}

const run = async (
  dir: string,
  paths: string[],
  flags: ReconstructFlags,
  signal: AbortSignal,
): Promise<void> => {
  const runtime = stoppable(runtimeOf(flags), signal)
  const opened = openRun(runDirectory(dir), runtime, warn)
  expectFile('--out', flags.out)
  expectFile('--maps', flags.maps)
  if (flags.maps !== undefined && opened.config.video !== undefined)
    throw new ConfigError(
      `--maps ${flags.maps}: maps are drawn of images only; leave the option out for a run of clips`,
    )
  const images = await openExamples(opened.config, paths, signal)
  tellSkipped(flags.json, images)
  const measured = await reconstruct(opened, runtime, images, {
    seed: flags.seed,
    sampler: withSteps(decoderSampler(opened.config), flags.steps),
    shown: shownAtMost,
    look: (part) => answerEach(images.files, part, flags.json),
  })
  if (flags.out !== undefined) writeOutput(flags.out, await pairsPng(measured))
  if (flags.maps !== undefined) writeOutput(flags.maps, await mapsPng(opened, measured))
  answerAll(images, measured.figures, flags)
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
    .option('--out <file>', 'PNG with originals above reconstructions, of the first 64')
    .option('--maps <file>', 'PNG that also shows where the bits are: by latent position and by channel')
    .addOption(option.device())
    .addOption(option.compute())
    .addOption(option.threads())
    .addOption(option.json())
    .addHelpText('after', example('ul reconstruct runs/quickstart photos/ --out pairs.png'))
    .action((dir, paths, flags) => untilInterrupted((signal) => run(dir, paths, flags, signal)))
}
