/** @file From what was typed to the exit code, whatever the commands are. */
import { Command } from 'commander'
import { exitCodeOf } from './exit.ts'
import { type AddCommand, example } from './options.ts'
import { print } from './print.ts'
import { expectShared, muteFollower } from './processes.ts'

/**
 * Does what a command line asks for. Results go to stdout, progress, warnings and errors to stderr.
 * @param commands those that it may name
 * @param args what comes after `ul`
 * @returns the exit code
 */
export const commandLine = (commands: readonly AddCommand[], args: readonly string[]): Promise<number> => {
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
