#!/usr/bin/env node
/** @file The process behind `ul <command>`. */
import { setFlagsFromString } from 'node:v8'
import { watchOutput } from './print.ts'

// Else V8 lets the garbage of thousands of images lie while there is room, and the peak grows with their number.
setFlagsFromString('--heap-growing-percent=50')

watchOutput()
const args = process.argv.slice(2)
// The studio watches trainers for days: it has a process without anything that trains, and without native libraries.
const { runCommandLine } = await (args[0] === 'studio' ? import('./studioLine.ts') : import('./program.ts'))
process.exitCode = await runCommandLine(args)
