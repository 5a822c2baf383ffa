/** @file How the work of commands that several processes share is run, and ended from outside. */
import type { Collective } from '../distributed/collective.ts'
import { untilInterrupted } from './exit.ts'
import { inAllProcesses } from './processes.ts'

/** What the work of such a command is given. */
export interface Shared {
  readonly together: Collective
  /** Aborted when a signal, or the loss of its output, ends the command. */
  readonly signal: AbortSignal
}

/** Runs a command's work in all processes of its job. @throws see untilInterrupted, inAllProcesses */
export const whileShared = (work: (shared: Shared) => Promise<unknown>): Promise<void> =>
  inAllProcesses((together) => untilInterrupted((signal) => work({ together, signal })))
