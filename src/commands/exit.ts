/** @file How the command line ends: exit codes, what is said of an error, and what Ctrl-C does. */
import { CommanderError } from 'commander'
import { ConfigError } from '../config/load.ts'

/** Exit codes: all went well, something failed, what was asked for is not possible, stopped by Ctrl-C. */
const exitCodes = { done: 0, failure: 1, usage: 2, interrupted: 130 } as const

/** Thrown by a job that stopped when it was told to; it has said so itself. */
class Interrupted extends Error {}

/**
 * Runs a job that Ctrl-C, or a polite kill, may stop.
 * @param job stops soon after its signal, and returns whether it got to its end
 * @throws when it did not, for the exit code
 */
export const untilInterrupted = async (job: (signal: AbortSignal) => Promise<boolean>): Promise<void> => {
  const abort = new AbortController()
  const stop = (): void => abort.abort()
  // Once: who asks a second time does not want to wait for a checkpoint.
  process.once('SIGINT', stop).once('SIGTERM', stop)
  const finished = await job(abort.signal)
  if (!finished) throw new Interrupted()
}

/** What an error says. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** Runs a command line: says in one sentence on stderr why it failed, and gives the exit code. */
export const exitCodeOf = async (run: () => Promise<unknown>): Promise<number> => {
  try {
    await run()
    return exitCodes.done
  } catch (error) {
    // Commander has already printed its own message (help and version end with code 0).
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.usage
    if (error instanceof Interrupted) return exitCodes.interrupted
    process.stderr.write(`ul: ${messageOf(error)}\n`)
    if (process.env.UL_DEBUG !== undefined && error instanceof Error) process.stderr.write(`${error.stack}\n`)
    return error instanceof ConfigError ? exitCodes.usage : exitCodes.failure
  }
}

/** Ends quietly when whoever read the output has gone, as in `ul --help | head -1`. */
export const endWithReader = (): void => {
  const end = (error: NodeJS.ErrnoException): void => {
    if (error.code !== 'EPIPE') throw error
    process.exit()
  }
  process.stdout.on('error', end)
  process.stderr.on('error', end)
}
