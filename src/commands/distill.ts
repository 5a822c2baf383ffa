/** @file `ul distill`: a run whose decoder takes few steps, taught by that of another run. */
import { relative } from 'node:path'
import { Option } from 'commander'
import { applySettings, explainConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { visible } from '../report/escape.ts'
import { expectTrainable } from '../stages/possible.ts'
import { lrShare, studentConfig, usualShare } from '../stages/student.ts'
import { train } from '../stages/train.ts'
import { type OpenedRun, openRun } from '../use/openRun.ts'
import { type AddCommand, example, option, positiveNumber, realNumber, wholeNumber } from './options.ts'
import { expectFolder, runFolder } from './output.ts'
import { print, warn } from './print.ts'
import { terminalListener } from './progress.ts'
import { type DeviceFlags, runtimeOf } from './runtime.ts'
import { whileShared } from './shared.ts'
import { runArgument, runDirectory } from './sources.ts'

interface DistillFlags extends DeviceFlags {
  readonly steps: number
  readonly teacherSteps?: number
  readonly generated?: number
  readonly trainSteps: number
  readonly batch: number
  readonly lr?: number
  readonly out?: string
  readonly set: readonly string[]
  readonly dryRun?: boolean
  readonly json?: boolean
}

/** The configuration of the student's run. @param from the teacher's directory, seen from the student's */
const askedConfig = ({ config, generates }: OpenedRun, from: string, flags: DistillFlags): Config => {
  const { steps, teacherSteps, trainSteps, batch, lr } = flags
  const generated = flags.generated ?? (generates ? usualShare : 0)
  const lesson = { from, steps, teacherSteps, generated, trainSteps, batch, lr }
  return applySettings(studentConfig(config, lesson), flags.set)
}

const run = async (given: string, flags: DistillFlags): Promise<void> => {
  const runtime = runtimeOf(flags)
  const teacher = runDirectory(given)
  const opened = openRun(teacher, runtime, warn)
  const dir = flags.out ?? runFolder(`${opened.config.name}-${flags.steps}step`)
  const config = askedConfig(opened, relative(dir, teacher), flags)
  if (flags.dryRun === true) {
    expectTrainable(config)
    print('stdout', visible(explainConfig(config)))
    return
  }
  expectFolder('--out', dir)
  const listen = terminalListener(flags.json === true)
  const request = { config, dir, stage: 'all', runtime, listen } as const
  await whileShared(async (shared) => (await train({ ...request, ...shared })).finished)
}

/** Adds `ul distill`. */
export const distillCommand: AddCommand = (program) => {
  program
    .command('distill')
    .description(
      'teach a decoder to do in a few steps what that of a run does in many; the result is a run of its own, which takes all else from that one',
    )
    .argument('<run>', runArgument)
    .addOption(option.steps('steps of the new decoder').default(1))
    .addOption(
      new Option(
        '--teacher-steps <n>',
        'steps of the decoder that teaches, a multiple of --steps (default: as the run decodes, at least twice as many)',
      ).argParser(wholeNumber(1)),
    )
    .addOption(
      new Option(
        '--generated <share>',
        `share of latents that the base model generates (default ${usualShare}, or 0 without one)`,
      ).argParser(realNumber),
    )
    .addOption(new Option('--train-steps <n>', 'training steps').argParser(wholeNumber(1)).default(1000))
    .addOption(new Option('--batch <n>', 'images per training step').argParser(wholeNumber(1)).default(32))
    .addOption(
      new Option(
        '--lr <rate>',
        `highest learning rate (default ${lrShare} of that of the run's stage 1)`,
      ).argParser(positiveNumber),
    )
    .option('--out <dir>', 'directory of the new run (default runs/<name>-<steps>step)')
    .addOption(option.set())
    .addOption(option.device())
    .addOption(option.compute())
    .addOption(option.threads())
    .option('--dry-run', 'print the resolved configuration and stop')
    .addOption(option.json())
    .addHelpText('after', example('ul distill runs/quickstart --steps 1 --out runs/quickstart-1step'))
    .action(run)
}
