/**
 * @file How the command line ends: exit codes, what is said of an error, and what ends a command from outside: signals
 * (Ctrl-C, a polite kill, a closed terminal) and output that nobody takes any more (docs/reliability.md).
 */
import { CommanderError } from 'commander'
import { ConfigError } from '../config/load.ts'
import { causesOf } from '../engine/runtime/stoppable.ts'
import { systemSentence } from '../files/systemErrors.ts'
import { inOneLine } from '../report/escape.ts'
import { leaveTerminal, lostOutput, OutputLost, print, readable } from './print.ts'
import { abortJob, afterTheLeader } from './processes.ts'

/** Exit codes: all went well, something failed, what was asked for is not possible. */
const exitCodes = { done: 0, failure: 1, usage: 2 } as const

/** Signals that end a job once it has saved, with the exit codes by which shells know them: 128 and their number. */
const signalCodes = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const
type EndingSignal = keyof typeof signalCodes
const endingSignals = Object.keys(signalCodes) as EndingSignal[]

/** A job was ended by a signal. */
class Interrupted extends Error {
  readonly signal: EndingSignal
  constructor(signal: EndingSignal) {
    super(`stopped by ${signal} before it was done`)
    this.signal = signal
  }
}

/** Thrown in place of an `Interrupted` by a job that has said so itself. */
class SaidSo extends Error {}

/** npm passes on what the terminal has already sent: two of the same within so many milliseconds are one. */
const sameKeyPress = 150
/** Milliseconds after which someone who waits for an end is told what for. */
const patience = 1500
/** Milliseconds that work in other threads has to come to its end when all is said and saved. */
const grace = 250

const waiting =
  'stopping as soon as the step under way is done and saved; the same signal again (Ctrl-C) ends at once\n'

/**
 * Runs a job that a signal, or the loss of its output, may end.
 * @param job ends soon after its signal: it throws the signal's reason, or returns false when it has said so itself
 * @throws when it did not get to its end, for the exit code
 */
export const untilInterrupted = async (job: (signal: AbortSignal) => Promise<unknown>): Promise<void> => {
  const asked = new AbortController()
  const timers: NodeJS.Timeout[] = []
  // From then on a signal does what it does by itself: who asks a second time does not want to wait for a checkpoint.
  const leaveSignals = (): void => {
    for (const signal of endingSignals) process.removeListener(signal, stop)
  }
  const stop = (signal: EndingSignal): void => {
    if (asked.signal.aborted) return
    asked.abort(new Interrupted(signal))
    timers.push(
      setTimeout(leaveSignals, sameKeyPress),
      setTimeout(() => print('stderr', waiting), patience),
    )
  }
  for (const signal of endingSignals) process.on(signal, stop)
  const ended = AbortSignal.any([asked.signal, lostOutput])
  try {
    const finished = await job(ended)
    if (finished === false) throw new SaidSo('', { cause: ended.reason })
  } finally {
    for (const timer of timers) clearTimeout(timer)
    leaveSignals()
  }
}

/** What an error says. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** Says one sentence where someone can still read it, and with UL_DEBUG the stack. */
const sayWhy = (sentence: string, error: unknown): void => {
  print(readable(), `ul: ${inOneLine(sentence)}\n`)
  if (process.env.UL_DEBUG !== undefined && error instanceof Error) print(readable(), `${error.stack}\n`)
}

/** Ends a process that is done, whatever other threads are still at, such as an image that is being decoded. */
const endSoon = (end: () => void): void => {
  setTimeout(end, grace).unref()
}

const isInterruption = (cause: unknown): cause is Interrupted => cause instanceof Interrupted

/** @param who says why, as the beginning of the sentence; empty for the only one */
const failed = (error: unknown, who: string): number => {
  // Commander has already printed its own message (help and version end with code 0).
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.usage
  const causes = causesOf(error)
  const interrupted = causes.find(isInterruption)
  if (interrupted !== undefined) {
    if (!(error instanceof SaidSo)) sayWhy(interrupted.message, error)
    if (interrupted.signal === 'SIGHUP') leaveTerminal()
    endSoon(() => process.kill(process.pid, interrupted.signal))
    return signalCodes[interrupted.signal]
  }
  const output = causes.find((cause) => cause instanceof OutputLost)
  if (output !== undefined) {
    sayWhy(
      `${output.message}, so it was stopped${error instanceof SaidSo ? '; the same command resumes' : ''}`,
      error,
    )
    const code = output.isTerminal ? signalCodes.SIGHUP : exitCodes.failure
    if (output.isTerminal) leaveTerminal()
    endSoon(() => process.exit(code))
    return code
  }
  sayWhy(`${who}${systemSentence(error) ?? messageOf(error)}`, error)
  return error instanceof ConfigError ? exitCodes.usage : exitCodes.failure
}

/** Runs a command line: says in one sentence on stderr why it failed, and gives the exit code. */
export const exitCodeOf = async (run: () => Promise<unknown>): Promise<number> => {
  try {
    await run()
  } catch (error) {
    const code = failed(error, await afterTheLeader(causesOf(error).some(isInterruption)))
    abortJob(code)
    return code
  }
  // What a stream could not take is known a turn later.
  await new Promise((resolve) => setImmediate(resolve))
  if (!lostOutput.aborted) return exitCodes.done
  const output: unknown = lostOutput.reason
  // A reader who has gone has seen enough, as in `ul --help | head -1`.
  if (!(output instanceof OutputLost) || output.isPipe) return exitCodes.done
  sayWhy(output.message, output)
  return exitCodes.failure
}
