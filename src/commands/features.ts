/** @file `ul features build`: writes the usual feature network. */
import { buildMixed5 } from '../features/mixed5.ts'
import { openFeatureNetwork } from '../features/network.ts'
import { type AddCommand, example, option } from './options.ts'
import { expectFile } from './output.ts'
import { answer } from './print.ts'

interface BuildFlags {
  readonly out?: string
  readonly json?: boolean
}

const build = async (flags: BuildFlags): Promise<void> => {
  expectFile('--out', flags.out)
  const out = buildMixed5(flags.out)
  const network = await openFeatureNetwork(out)
  const { name, dimension } = network
  answer(flags.json, { event: 'done', out, name, dimension }, `${out}\n${network.describe()}`)
  await network.dispose()
}

/** Adds `ul features`, and below it `build`. */
export const featuresCommand: AddCommand = (program) => {
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
    .addOption(option.json())
    .addHelpText('after', example('ul features build --out mixed5.onnx'))
    .action(build)
}
