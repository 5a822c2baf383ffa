/** @file `ul encode`: latents of images, in a file. */
import { leads } from '../distributed/collective.ts'
import { stoppable } from '../engine/runtime/stoppable.ts'
import { openExamples } from '../use/images.ts'
import { encodeToFile } from '../use/latentFiles.ts'
import { openRun } from '../use/openRun.ts'
import { type AddCommand, example, option } from './options.ts'
import { expectFile, makeFolderOf } from './output.ts'
import { answer, tellSkipped, warn } from './print.ts'
import { type DeviceFlags, runtimeOf } from './runtime.ts'
import { type Shared, whileShared } from './shared.ts'
import { runArgument, runDirectory } from './sources.ts'

interface EncodeFlags extends DeviceFlags {
  readonly seed: number
  readonly out: string
  readonly json?: boolean
}

const run = async (
  dir: string,
  paths: string[],
  { json, seed, out, ...where }: EncodeFlags,
  { together, signal }: Shared,
): Promise<void> => {
  const opened = openRun(runDirectory(dir), stoppable(runtimeOf(where), signal), warn)
  expectFile('--out', out)
  const images = await openExamples(opened.config, paths, signal, together)
  tellSkipped(json, images)
  if (leads(together)) makeFolderOf(out)
  await encodeToFile(opened, images, seed, out, together)
  const { count } = images
  answer(json, { event: 'done', count, out }, `${count} latents: ${out}`)
}

/** Adds `ul encode`. */
export const encodeCommand: AddCommand = (program) => {
  program
    .command('encode')
    .description('write the latents of images, or clips, to a safetensors file')
    .argument('<run>', runArgument)
    .argument('<image or folder...>', 'images, or clips where the run is of clips')
    .requiredOption('--out <file>', 'safetensors to write: z (clean), z0 (with the fixed noise)')
    .addOption(option.seed())
    .addOption(option.device())
    .addOption(option.compute())
    .addOption(option.threads())
    .addOption(option.json())
    .addHelpText('after', example('ul encode runs/quickstart photos/ --out z.safetensors'))
    .action((dir, paths, flags) => whileShared((shared) => run(dir, paths, flags, shared)))
}
