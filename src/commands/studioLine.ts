/** @file The command line of `ul studio` alone: what a process is to load that shall know nothing of the other commands. */
import { commandLine } from './line.ts'
import { studioCommand } from './studio.ts'

/** As in program.ts. */
export const runCommandLine = (args: readonly string[]): Promise<number> => commandLine([studioCommand], args)
