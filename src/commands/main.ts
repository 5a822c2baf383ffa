#!/usr/bin/env node
/** @file The process behind `ul <command>`. */
import { setFlagsFromString } from 'node:v8'
import { watchOutput } from './print.ts'
import { runCommandLine } from './program.ts'

// Else V8 lets the garbage of thousands of images lie while there is room, and the peak grows with their number.
setFlagsFromString('--heap-growing-percent=50')

watchOutput()
process.exitCode = await runCommandLine(process.argv.slice(2))
