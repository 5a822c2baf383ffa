/** @file `ul reconstruct`: images encoded and decoded, with what that costs and loses. */
import { countOf, type HostTensor } from '../engine/host/tensor.ts'
import { type Reconstructed, reconstruct } from '../measure/reconstruct.ts'
import { latentOf } from '../method/config.ts'

import { pairGrid, visibleScale } from '../report/grid.ts'
import { rateMapsPng } from '../report/rateMaps.ts'
import { type LoadedImages, loadImages } from '../use/images.ts'
import { type OpenedRun, openRun } from '../use/openRun.ts'
import { decoderSampler } from '../use/samplers.ts'
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

const answerEach = (
  { files }: LoadedImages,
  { psnrs, bitsPerPixel }: Reconstructed,
  json: boolean | undefined,
): void => {
  for (const [i, file] of files.entries()) {
    const [psnr, bits] = [psnrs[i], bitsPerPixel[i]]
    answer(
      json,
      { event: 'image', file, psnr, bitsPerPixel: bits },
      `${file}  ${psnr.toFixed(2)} dB  ${bits.toFixed(3)} bits/pixel`,
    )
  }
}

const answerAll = (
  { files, skipped }: LoadedImages,
  { psnr, bitsPerPixel }: Reconstructed['figures'],
  { json, out, maps }: ReconstructFlags,
): void => {
  const count = files.length
  answer(
    json,
    { event: 'done', count, skipped: skipped.length, psnr, bitsPerPixel, out, maps },
    `overall (${count})  ${psnr.mean.toFixed(2)} ± ${psnr.error.toFixed(2)} dB  ${bitsPerPixel.mean.toFixed(3)} ± ${bitsPerPixel.error.toFixed(3)} bits/pixel`,
  )
}

/** Originals above reconstructions, eight beside each other. */
const pairsPng = (images: HostTensor, reconstructions: HostTensor): Promise<Uint8Array> =>
  pairGrid(images, reconstructions, Math.min(8, countOf(images)), { scale: visibleScale(images) })

/** The same with where the bits are below them. */
const mapsPng = (
  { model }: OpenedRun,
  images: HostTensor,
  reconstructions: HostTensor,
  rateElements: Float64Array,
): Promise<Uint8Array> => {
  const { channels, height, width } = latentOf(model)
  const maps = { images, reconstructions, rateElements, latent: [channels, height, width] as const }
  return rateMapsPng(maps, visibleScale(images, 96))
}

const run = async (dir: string, paths: string[], flags: ReconstructFlags): Promise<void> => {
  const runtime = runtimeOf(flags)
  const opened = openRun(runDirectory(dir), runtime, warn)
  expectFile('--out', flags.out)
  expectFile('--maps', flags.maps)
  const { size } = opened.config.data
  const loaded = await loadImages(paths, size)
  const { images } = loaded
  tellSkipped(flags.json, loaded.skipped)
  const measured = await reconstruct(opened, runtime, images, {
    seed: flags.seed,
    sampler: withSteps(decoderSampler(opened.config), flags.steps),
    rates: flags.maps !== undefined,
  })
  const { figures, reconstructions, rateElements } = measured
  answerEach(loaded, measured, flags.json)
  if (flags.out !== undefined) writeOutput(flags.out, await pairsPng(images, reconstructions))
  if (rateElements !== null)
    writeOutput(flags.maps, await mapsPng(opened, images, reconstructions, rateElements))
  answerAll(loaded, figures, flags)
}

/** Adds `ul reconstruct`. */
export const reconstructCommand: AddCommand = (program) => {
  program
    .command('reconstruct')
    .description('encode and decode images; print PSNR and latent bits/pixel for each and overall')
    .argument('<run>', runArgument)
    .argument('<image or folder...>', 'images')
    .addOption(option.steps('decoder steps'))
    .addOption(option.seed())
    .option('--out <file>', 'PNG with originals above reconstructions')
    .option('--maps <file>', 'PNG that also shows where the bits are: by latent position and by channel')
    .addOption(option.device())
    .addOption(option.compute())
    .addOption(option.json())
    .addHelpText('after', example('ul reconstruct runs/quickstart photos/ --out pairs.png'))
    .action(run)
}
