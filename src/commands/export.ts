/** @file `ul export`: a run as a model to hand on. */
import { NodeRuntime } from '../engine/runtime/node/runtime.ts'
import { exportRun } from '../use/exportRun.ts'
import { type AddCommand, example, option } from './options.ts'
import { expectFolder } from './output.ts'
import { answer, warn } from './print.ts'
import { runArgument, runDirectory } from './sources.ts'

interface ExportFlags {
  readonly out: string
  readonly licence?: string
  readonly json?: boolean
}

const run = (dir: string, { out, licence, json }: ExportFlags): void => {
  expectFolder('--out', out)
  const exported = exportRun(runDirectory(dir), out, new NodeRuntime(), licence, warn)
  const { path, parameters, bytes } = exported
  answer(
    json,
    { event: 'done', ...exported },
    `${(parameters / 1e6).toFixed(2)} M parameters, ${(bytes / 1e6).toFixed(1)} MB: ${path}`,
  )
}

/** Adds `ul export`. */
export const exportCommand: AddCommand = (program) => {
  program
    .command('export')
    .description('write a run as a model to hand on: averaged float16 weights, settings, figures, a card')
    .argument('<run>', runArgument)
    .requiredOption(
      '--out <dir>',
      'directory to write; sample, reconstruct and the others take it like a run',
    )
    .option('--licence <text>', 'licence of the weights, for the card')
    .addOption(option.json())
    .addHelpText('after', example('ul export runs/mine --out models/mine --licence CC-BY-4.0'))
    .action(run)
}
