#!/usr/bin/env node
/** @file The process behind `ul <command>`. */
import { watchOutput } from './print.ts'
import { runCommandLine } from './program.ts'

watchOutput()
process.exitCode = await runCommandLine(process.argv.slice(2))
