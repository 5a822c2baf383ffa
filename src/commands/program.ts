/** @file The command line: `ul <command>`. A new command is a file of its own and a line in the list below. */
import { Command } from 'commander'
import { dataCommand } from './data.ts'
import { decodeCommand } from './decode.ts'
import { distillCommand } from './distill.ts'
import { doctorCommand } from './doctor.ts'
import { encodeCommand } from './encode.ts'
import { evaluateCommand } from './evaluate.ts'
import { exitCodeOf } from './exit.ts'
import { exportCommand } from './export.ts'
import { featuresCommand } from './features.ts'
import { infoCommand } from './info.ts'
import { type AddCommand, example } from './options.ts'
import { planCommand } from './plan.ts'
import { print } from './print.ts'
import { expectShared, muteFollower } from './processes.ts'
import { profileCommand } from './profile.ts'
import { pullCommand } from './pull.ts'
import { pushCommand } from './push.ts'
import { reconstructCommand } from './reconstruct.ts'
import { reportCommand } from './report.ts'
import { resultsCommand } from './results.ts'
import { runsCommand } from './runs.ts'
import { sampleCommand } from './sample.ts'
import { sweepCommand } from './sweep.ts'
import { trainCommand } from './train.ts'

/** Every command, in the order in which help names them. */
const commands: readonly AddCommand[] = [
  trainCommand,
  distillCommand,
  sweepCommand,
  runsCommand,
  reportCommand,
  resultsCommand,
  planCommand,
  sampleCommand,
  reconstructCommand,
  encodeCommand,
  decodeCommand,
  evaluateCommand,
  exportCommand,
  pushCommand,
  pullCommand,
  dataCommand,
  infoCommand,
  profileCommand,
  featuresCommand,
  doctorCommand,
]

/**
 * Does what a command line asks for. Results go to stdout, progress, warnings and errors to stderr.
 * @param args what comes after `ul`
 * @returns the exit code
 */
export const runCommandLine = (args: readonly string[]): Promise<number> => {
  muteFollower()
  const program = new Command('ul')
    .description('Unified Latents: train, measure and use image latents with a known bitrate.')
    .version('0.1.0')
    .showHelpAfterError()
    .addHelpText(
      'after',
      example('ul train quickstart --smoke --out runs/smoke   (a minute; then open runs/smoke/report.html)'),
    )
    .exitOverride()
    .configureOutput({
      writeOut: (text) => print('stdout', text),
      writeErr: (text) => print('stderr', text),
    })
    .hook('preAction', (_, command) => expectShared(command.name()))
  for (const add of commands) add(program)
  return exitCodeOf(() => program.parseAsync(args, { from: 'user' }))
}
