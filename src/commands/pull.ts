/** @file `ul pull`: a model from the Hugging Face Hub. */
import { join } from 'node:path'
import { NodeRuntime } from '../engine/runtime/node/runtime.ts'
import { connect } from '../hub/client.ts'
import { expectModelName } from '../hub/names.ts'
import { pull } from '../hub/pull.ts'
import { inOneLine } from '../report/escape.ts'
import { untilInterrupted } from './exit.ts'
import { type AddCommand, example, option } from './options.ts'
import { expectFolder } from './output.ts'
import { answer, print, warn } from './print.ts'

interface PullFlags {
  readonly out?: string
  readonly revision: string
  readonly json?: boolean
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`

const run = async (model: string, flags: PullFlags, signal: AbortSignal): Promise<void> => {
  expectModelName(model)
  const { json, revision } = flags
  const out = flags.out ?? join('models', model.split('/')[1])
  if (flags.out !== undefined) expectFolder('--out', out, join(out, '..'))
  const hub = await connect(signal, false)
  const pulled = await pull(hub, new NodeRuntime(), {
    model,
    revision,
    out,
    listen: (path, bytes) => {
      if (json !== true) print('stderr', `${inOneLine(path)}, ${megabytes(bytes)}\n`)
    },
  })
  const { path, commit, files, left, bytes } = pulled
  if (left.length > 0) warn(`left there, as no model of ul has them: ${left.join(', ')}`)
  answer(
    json,
    { event: 'done', model, ...pulled },
    `${model} at ${commit.slice(0, 7)}, ${files.length} files, ${megabytes(bytes)}, each as the Hub says: ${path}\nuse it like a run: ul sample ${path}`,
  )
}

/** Adds `ul pull`. */
export const pullCommand: AddCommand = (program) => {
  program
    .command('pull')
    .description('get a model that ul push put on the Hugging Face Hub')
    .argument('<owner/name>', 'what it is called there')
    .option('--out <dir>', 'directory for it (default: models/name)')
    .option('--revision <name>', 'branch, tag or commit', 'main')
    .addOption(option.json())
    .addHelpText('after', example('ul pull me/mine --out models/mine'))
    .action((model, flags) => untilInterrupted((signal) => run(model, flags, signal)))
}
