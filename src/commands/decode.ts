/** @file `ul decode`: images or clips out of a file of latents. */
import { basename, extname, join } from 'node:path'
import { countOf, examplesOf } from '../engine/host/tensor.ts'
import { stoppable } from '../engine/runtime/stoppable.ts'
import { inspectSafetensors } from '../files/safetensors.ts'
import { decoderSampler } from '../model/samplers.ts'
import { decodeFile } from '../use/latentFiles.ts'
import { openRun } from '../use/openRun.ts'
import { messageOf, untilInterrupted } from './exit.ts'
import { type AddCommand, example, option, withSteps } from './options.ts'
import { expectFolder, writeExample } from './output.ts'
import { answer, warn } from './print.ts'
import { type DeviceFlags, runtimeOf } from './runtime.ts'
import { runArgument, runDirectory } from './sources.ts'

interface DecodeFlags extends DeviceFlags {
  readonly seed: number
  readonly out: string
  readonly steps?: number
  readonly json?: boolean
}

/** @throws in one sentence when a file holds no tensors. */
const expectTensors = (file: string): void => {
  try {
    inspectSafetensors(file)
  } catch (cause) {
    throw new Error(`${messageOf(cause)}; give a file that 'ul encode' wrote`, { cause })
  }
}

/** The file of image i, without its ending: its number, and the name of the image that was encoded. */
const fileName = (i: number, encoded = 'latent'): string =>
  `${String(i).padStart(5, '0')}-${basename(encoded, extname(encoded))}`

const run = async (dir: string, file: string, flags: DecodeFlags, signal: AbortSignal): Promise<void> => {
  const opened = openRun(runDirectory(dir), stoppable(runtimeOf(flags), signal), warn)
  expectFolder('--out', flags.out)
  expectTensors(file)
  const sampler = withSteps(decoderSampler(opened.config), flags.steps)
  let count = 0
  for await (const { first, images, names } of decodeFile(opened, file, { seed: flags.seed, sampler })) {
    for (let i = 0; i < countOf(images); i++) {
      await writeExample(join(flags.out, fileName(first + i, names[i])), examplesOf(images, i, 1))
    }
    count = first + countOf(images)
  }
  answer(
    flags.json,
    { event: 'done', count, out: flags.out },
    `${count} ${opened.config.video === undefined ? 'images' : 'clips'}: ${flags.out}`,
  )
}

/** Adds `ul decode`. */
export const decodeCommand: AddCommand = (program) => {
  program
    .command('decode')
    .description('turn latents from a safetensors file into PNG files, those of clips into WebP files')
    .argument('<run>', runArgument)
    .argument('<latents>', 'safetensors written by ul encode')
    .requiredOption('--out <dir>', 'directory for the files')
    .addOption(option.steps('decoder steps'))
    .addOption(option.seed())
    .addOption(option.device())
    .addOption(option.compute())
    .addOption(option.threads())
    .addOption(option.json())
    .addHelpText('after', example('ul decode runs/quickstart z.safetensors --out decoded/'))
    .action((dir, file, flags) => untilInterrupted((signal) => run(dir, file, flags, signal)))
}
