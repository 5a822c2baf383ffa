/** @file `ul plan`: the law of the rate by finished runs, and the setting for a wanted rate. */
import { Option } from 'commander'
import { planRuns } from '../studies/plan.ts'
import { planText } from '../studies/planText.ts'
import { type AddCommand, example, option, positiveNumber, realNumber } from './options.ts'
import { answer } from './print.ts'

interface PlanFlags {
  readonly bitsPerPixel?: number
  readonly bias?: number
  readonly lossFactor?: number
  readonly budget?: number
  readonly check?: readonly string[]
  readonly json?: boolean
}

const run = (dirs: string[], { json, ...flags }: PlanFlags): void => {
  const plan = planRuns({ dirs, ...flags })
  answer(json, { event: 'done', ...plan }, planText(plan))
}

/** Adds `ul plan`. */
export const planCommand: AddCommand = (program) => {
  program
    .command('plan')
    .description('fit the law of the rate to finished runs, and find the setting for a wanted rate')
    .argument('<dir...>', 'run directories, directories above them, or files of results (.jsonl)')
    .addOption(new Option('--bits-per-pixel <R>', 'the wanted rate').argParser(positiveNumber))
    .addOption(
      new Option('--bias <b>', "decoder.bias to keep (default: the runs' usual one)").argParser(realNumber),
    )
    .addOption(
      new Option('--loss-factor <c>', 'decoder.lossFactor to keep; the bias is planned').argParser(
        realNumber,
      ),
    )
    .addOption(
      new Option(
        '--budget <FLOPs>',
        'plan the best rate for a base model of so many training FLOPs',
      ).argParser(positiveNumber),
    )
    .option('--check <dir...>', 'predict these runs and compare; they are left out of the fit')
    .addOption(option.json())
    .addHelpText('after', example('ul plan runs/ --bits-per-pixel 0.3 --check runs/try'))
    .action(run)
}
