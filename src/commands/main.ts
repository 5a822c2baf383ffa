#!/usr/bin/env node
/** @file The process behind `ul <command>`. */
import { endWithReader } from './exit.ts'
import { runCommandLine } from './program.ts'

endWithReader()
process.exitCode = await runCommandLine(process.argv.slice(2))
