/** @file `ul profile`: where a training step spends its time. */
import { Option } from 'commander'
import { stoppable } from '../engine/runtime/stoppable.ts'
import { stageFlags, stageOf } from '../stages/list.ts'
import { type Profile, type ProfileRow, profileStep } from '../stages/profile.ts'
import { untilInterrupted } from './exit.ts'
import { type AddCommand, example, option, wholeNumber } from './options.ts'
import { answer } from './print.ts'
import { type DeviceFlags, runtimeOf } from './runtime.ts'
import { describedArgument, describedBy } from './sources.ts'

const profileRows = (title: string, rows: readonly ProfileRow[]): string[] => [
  title,
  ...rows
    .slice(0, 24)
    .map(
      ({ name, milliseconds, share, launches, megabytes }) =>
        `  ${(100 * share).toFixed(1).padStart(5)} %  ${milliseconds.toFixed(2).padStart(9)} ms  ${launches.toFixed(0).padStart(5)} launches  ${megabytes.toFixed(1).padStart(9)} MB  ${name}`,
    ),
]

const profileText = (p: Profile): string =>
  [
    `stage ${p.stage}, batch ${p.batch}: ${p.stepMilliseconds.toFixed(1)} ms per step, ${p.gflopsPerSecond.toFixed(1)} GFLOP/s; kernels ${p.kernelMilliseconds.toFixed(1)} ms while profiled`,
    `peak resident memory ${(p.residentBytes / 2 ** 20).toFixed(0)} MiB, predicted by ul info ${(p.predictedBytes / 2 ** 20).toFixed(0)} MiB`,
    ...profileRows('by operator', p.byOperator),
    ...profileRows('by layer', p.byLayer),
    ...profileRows('by op of the graph', p.byOp),
  ].join('\n')

interface ProfileFlags extends DeviceFlags {
  readonly stage: string
  readonly steps: number
  readonly set: readonly string[]
  readonly json?: boolean
}

const run = async (source: string, flags: ProfileFlags, signal: AbortSignal): Promise<void> => {
  const { config, classes } = describedBy(source, flags.set)
  const profile = await profileStep(
    stoppable(runtimeOf(flags), signal),
    config,
    stageOf(config, flags.stage),
    classes,
    flags.steps,
  )
  answer(flags.json, { event: 'done', ...profile }, profileText(profile))
}

/** Adds `ul profile`. */
export const profileCommand: AddCommand = (program) => {
  program
    .command('profile')
    .description("where a training step spends its time: by operator, by layer, and by the graph's ops")
    .argument(...describedArgument)
    .addOption(new Option('--stage <stage>', 'which stage').choices(stageFlags).default('1'))
    .addOption(new Option('--steps <n>', 'steps to average over').argParser(wholeNumber(1)).default(5))
    .addOption(option.set())
    .addOption(option.device())
    .addOption(option.compute())
    .addOption(option.threads())
    .addOption(option.json())
    .addHelpText('after', example('ul profile quickstart --stage 2'))
    .action((source, flags) => untilInterrupted((signal) => run(source, flags, signal)))
}
