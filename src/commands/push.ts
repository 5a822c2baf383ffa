/** @file `ul push`: a run to the Hugging Face Hub. */
import { NodeRuntime } from '../engine/runtime/node/runtime.ts'
import { stoppable } from '../engine/runtime/stoppable.ts'
import { connect } from '../hub/client.ts'
import { expectModelName } from '../hub/names.ts'
import { push } from '../hub/push.ts'
import { inOneLine } from '../report/escape.ts'
import { untilInterrupted } from './exit.ts'
import { type AddCommand, example, option } from './options.ts'
import { answer, print, warn } from './print.ts'
import { runArgument, runDirectory } from './sources.ts'

interface PushFlags {
  readonly private?: boolean
  readonly onnx?: boolean
  readonly licence?: string
  readonly json?: boolean
}

const run = async (dir: string, model: string, flags: PushFlags, signal: AbortSignal): Promise<void> => {
  expectModelName(model)
  const { json } = flags
  const hub = await connect(signal, true)
  const pushed = await push(hub, runDirectory(dir), stoppable(new NodeRuntime(), signal), {
    model,
    isPrivate: flags.private === true,
    onnx: flags.onnx === true,
    licence: flags.licence,
    warn,
    listen: (path) => {
      if (json !== true) print('stderr', `uploaded ${inOneLine(path)}\n`)
    },
  })
  const { url, files, bytes } = pushed
  answer(
    json,
    { event: 'done', ...pushed },
    `${files.length} files, ${(bytes / 1e6).toFixed(1)} MB: ${url}\nget it with 'ul pull ${model}'`,
  )
}

/** Adds `ul push`. */
export const pushCommand: AddCommand = (program) => {
  program
    .command('push')
    .description('put a run on the Hugging Face Hub: what ul export writes, samples and a card')
    .argument('<run>', runArgument)
    .argument('<owner/name>', 'what to call it there; a model of that name that ul pushed is replaced')
    .option('--private', 'for you and your organisation alone')
    .option('--onnx', 'ONNX models as well, with float16 weights')
    .option('--licence <text>', 'licence of the weights, such as apache-2.0 or cc-by-4.0')
    .addOption(option.json())
    .addHelpText(
      'after',
      `\nThe token is read from HF_TOKEN, or from where 'hf auth login' keeps it.\n${example('ul push runs/mine me/mine --private --licence cc-by-4.0')}`,
    )
    .action((dir, model, flags) => untilInterrupted((signal) => run(dir, model, flags, signal)))
}
