/** @file Other commands of `ul`, each in a process of its own: what needs models is told by them, so that none is loaded here. */
import { spawn } from 'node:child_process'
import { Refused } from './refused.ts'

/** How a command ended. */
export interface Finished {
  readonly code: number | null
  readonly stdout: string
  /** The one sentence of a command that failed; empty otherwise. */
  readonly sentence: string
}

/** Runs commands. */
export interface Commands {
  /** What starts `ul`: the program and the arguments before the command's. */
  readonly start: readonly [program: string, ...args: string[]]
  /** Runs a command to its end. @throws Refused when too many wait, or it takes too long or says too much */
  run(args: readonly string[]): Promise<Finished>
  /** Ends those under way. */
  stop(): void
}

/** Commands at once, and those that wait for a turn, at most. */
const [mostAtOnce, mostWaiting] = [2, 16]
/** Milliseconds, and characters of output, of a command at most. */
const [longest, mostOutput] = [120_000, 2 ** 24]

/** The sentence in what a command says on stderr: `ul: …` on its last line. */
export const sentenceIn = (stderr: string): string => {
  const lines = stderr.trimEnd().split('\n')
  return (lines.findLast((line) => line.startsWith('ul: ')) ?? lines.at(-1) ?? '').replace(/^ul: /, '')
}

/** @param start what starts `ul` */
export const createCommands = (start: Commands['start']): Commands => {
  const stopping = new AbortController()
  const waiting: (() => void)[] = []
  let atWork = 0

  const once = (args: readonly string[]): Promise<Finished> =>
    new Promise((resolve, reject) => {
      const [program, ...before] = start
      const signal = AbortSignal.any([stopping.signal, AbortSignal.timeout(longest)])
      const env = { ...process.env, NO_COLOR: '1' }
      const child = spawn(program, [...before, ...args], { stdio: ['ignore', 'pipe', 'pipe'], signal, env })
      let [stdout, stderr] = ['', '']
      const kept = (text: string): string => {
        if (stdout.length + stderr.length + text.length > mostOutput) child.kill('SIGKILL')
        return text
      }
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        stdout += kept(text)
      })
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        stderr += kept(text)
      })
      child.once('error', (cause) => {
        const why = signal.aborted ? 'took too long' : 'could not be started'
        reject(new Refused(503, `ul ${args[0]} ${why}; try again`, { cause }))
      })
      child.once('close', (code) => resolve({ code, stdout, sentence: code === 0 ? '' : sentenceIn(stderr) }))
    })

  return {
    start,
    run: async (args) => {
      if (waiting.length >= mostWaiting)
        throw new Refused(503, `ul ${args[0]}: ${mostWaiting} others wait already; try again in a while`)
      if (atWork >= mostAtOnce) await new Promise<void>((resolve) => waiting.push(resolve))
      atWork++
      try {
        return await once(args)
      } finally {
        atWork--
        waiting.shift()?.()
      }
    },
    stop: () => stopping.abort(),
  }
}
