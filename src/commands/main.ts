#!/usr/bin/env node
/** @file The command line: `ul <command>`. Each command reads its options, calls one job and prints what it says. */
import { Command } from 'commander'
import { ConfigError } from '../config/load.ts'
import { lookingCommands } from './looking.ts'
import { resultsCommand } from './results.ts'
import { example, exitFailure, exitUsage } from './shared.ts'
import { trainingCommands } from './training.ts'
import { usingCommands } from './using.ts'

const program = new Command('ul')
  .description('Unified Latents: train, measure and use image latents with a known bitrate.')
  .version('0.1.0')
  .showHelpAfterError()
  .addHelpText(
    'after',
    example('ul train quickstart --smoke --out runs/smoke   (a minute; then open runs/smoke/report.html)'),
  )
  .exitOverride()

trainingCommands(program)
resultsCommand(program)
usingCommands(program)
lookingCommands(program)

const fail = (error: unknown): void => {
  // Commander has already printed its own message (help and version end with code 0).
  if (typeof error === 'object' && error !== null && 'exitCode' in error && 'code' in error) {
    process.exitCode = error.exitCode === 0 ? 0 : exitUsage
    return
  }
  const message = error instanceof Error ? error.message : String(error)
  process.stderr.write(`ul: ${message}\n`)
  if (process.env.UL_DEBUG !== undefined && error instanceof Error) process.stderr.write(`${error.stack}\n`)
  process.exitCode = error instanceof ConfigError ? exitUsage : exitFailure
}

/** Ends quietly when whoever read the output has gone, as in `ul --help | head -1`. */
const stopReading = (error: NodeJS.ErrnoException): void => {
  if (error.code !== 'EPIPE') throw error
  process.exit()
}
process.stdout.on('error', stopReading)
process.stderr.on('error', stopReading)

program.parseAsync().catch(fail)
