/**
 * @file What commands print: results on stdout, progress, warnings and errors on stderr. Nothing is ever thrown by printing:
 * output that cannot be written is lost, and `lostOutput` says so. Names that come from files and their contents are shown
 * without what would steer a terminal.
 */
import { closeSync, openSync } from 'node:fs'
import { isatty } from 'node:tty'
import { ignoredLines, skippedText } from '../data/summary.ts'
import { inOneLine, visible } from '../report/escape.ts'
import type { FileImages } from '../use/images.ts'

/** Descriptors of stdin, stdout and stderr that were terminals at the start. */
let terminals: readonly number[] = []

/** Output that could not be written. */
export class OutputLost extends Error {
  /** Whether the reader of a pipe has gone, who may just have seen enough. */
  readonly isPipe: boolean
  /** Whether the terminal was closed, of which a signal tells, too, sooner or later. */
  readonly isTerminal: boolean
  constructor(stream: StreamName, { code, message }: NodeJS.ErrnoException) {
    const [isPipe, isTerminal] = [code === 'EPIPE', code === 'EIO' && terminals.length > 0]
    super(
      isPipe
        ? `nobody reads its ${stream} any more (EPIPE)`
        : `its ${stream} cannot be written (${code ?? message}); give it a place with room`,
    )
    this.isPipe = isPipe
    this.isTerminal = isTerminal
  }
}

type StreamName = 'stdout' | 'stderr'

const first = new AbortController()
const lost = new Set<StreamName>()

/** Aborted with an `OutputLost` once output could not be written. */
export const lostOutput: AbortSignal = first.signal

const lose = (stream: StreamName, error: NodeJS.ErrnoException): void => {
  lost.add(stream)
  first.abort(new OutputLost(stream, error))
}

/** Where someone can still read what has to be said: stderr, or stdout when that is lost. */
export const readable = (): StreamName => (lost.has('stderr') && !lost.has('stdout') ? 'stdout' : 'stderr')

/** Watches the streams of this process, whose errors would otherwise end it where it is. */
export const watchOutput = (): void => {
  terminals = [0, 1, 2].filter((descriptor) => isatty(descriptor))
  for (const stream of ['stdout', 'stderr'] as const)
    process[stream].on('error', (error) => lose(stream, error))
}

/** Lets go of a terminal that was closed: Node restores its settings at the end, and aborts where it cannot. */
export const leaveTerminal = (): void => {
  for (const descriptor of terminals) {
    closeSync(descriptor)
    openSync('/dev/null', 'r+') // takes the lowest number that is free, which is this one
  }
  terminals = []
}

let isMuted = false

/** Whether nothing is written from now on: a process that is one of several says only what nobody else can. */
export const mute = (isSo: boolean): void => {
  isMuted = isSo
}

/** Writes text as it is. */
export const print = (stream: StreamName, text: string): void => {
  if (isMuted) return
  try {
    process[stream].write(text)
  } catch (error) {
    // Files are written at once, and a full disk is thrown.
    lose(stream, error as NodeJS.ErrnoException)
  }
}

/** One line of JSON on stdout; what could steer a terminal is escaped as JSON does it. */
export const printJson = (value: object): void => print('stdout', `${visible(JSON.stringify(value))}\n`)

/** A result on stdout: as one JSON line, or as text for people. */
export const answer = (json: boolean | undefined, value: object, text: string): void => {
  if (json === true) printJson(value)
  else print('stdout', `${visible(text)}\n`)
}

/** A warning on stderr. */
export const warn = (text: string): void => print('stderr', `warning: ${inOneLine(text)}\n`)

/** Says what of the given files and folders is not read: on stdout for programs, else by kind and reason as a note and a warning. */
export const tellSkipped = (
  json: boolean | undefined,
  { skipped, ignored }: Pick<FileImages, 'skipped' | 'ignored'>,
): void => {
  if (json === true) for (const { file, reason } of skipped) printJson({ event: 'skipped', file, reason })
  else {
    for (const line of ignoredLines(ignored)) print('stderr', `${inOneLine(line)}\n`)
    if (skipped.length > 0) warn(`skipped ${skipped.length}: ${skippedText(skipped)}`)
  }
}
