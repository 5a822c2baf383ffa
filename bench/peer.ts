/** @file Participants: one process each, which waits on stdin for one JSON command per line while others are timed. */
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'

/** What a participant says when its case is ready. */
export interface Prepared {
  /** Relative errors against our values, by name; empty for ourselves. */
  readonly errors: Readonly<Record<string, number>>
  /** Versions and settings. */
  readonly description: string
  /** Floating-point operations of one run; ours alone knows. */
  readonly gflops?: number
}

/** Times of a few runs. */
export interface Timing {
  readonly seconds: readonly number[]
  /** Processor seconds that the process took meanwhile. */
  readonly cpu: number
  /** The process's largest resident memory so far; null where it shares its process with others. */
  readonly peakBytes: number | null
}

/** How a participant is started. */
export interface Launch {
  readonly command: string
  readonly args: readonly string[]
  readonly env: NodeJS.ProcessEnv
}

/** A participant's process seen from outside. */
export interface Participant {
  /** Loads a case from a file (peers) or writes it (ourselves). @throws what went wrong in words. */
  prepare(path: string): Promise<Prepared>
  run(count: number): Promise<Timing>
  close(): void
}

const lastLine = (text: string): string => text.trim().split('\n').at(-1) ?? ''

/** Starts a participant. */
export const start = ({ command, args, env }: Launch): Participant => {
  const child: ChildProcess = spawn(command, args, { env, stdio: ['pipe', 'pipe', 'pipe'] })
  let complaints = ''
  child.stderr!.on('data', (chunk: Buffer) => {
    complaints = (complaints + chunk.toString()).slice(-10_000)
  })
  const answers = createInterface({ input: child.stdout! })[Symbol.asyncIterator]()
  const ask = async (question: object): Promise<unknown> => {
    child.stdin!.write(`${JSON.stringify(question)}\n`)
    const { value, done } = await answers.next()
    if (done === true) throw new Error(lastLine(complaints) || `the process ended without a word`)
    const answer = JSON.parse(value) as { readonly error?: string }
    if (answer.error !== undefined) throw new Error(answer.error)
    return answer
  }
  return {
    prepare: async (path) => (await ask({ prepare: path })) as Prepared,
    run: async (count) => (await ask({ run: count })) as Timing,
    close: () => {
      child.stdin!.on('error', () => undefined)
      child.kill('SIGKILL')
    },
  }
}

/** The work of a participant written in TypeScript. */
export interface Served extends Prepared {
  run(): Promise<unknown>
}

const peakBytes = (): number =>
  1024 * Number(/VmHWM:\s*(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? 0)

const timed = async (served: Served, count: number): Promise<Timing> => {
  const seconds: number[] = []
  const before = process.cpuUsage()
  for (let i = 0; i < count; i++) {
    const begin = performance.now()
    await served.run()
    seconds.push((performance.now() - begin) / 1000)
  }
  const { user, system } = process.cpuUsage(before)
  return { seconds, cpu: (user + system) / 1e6, peakBytes: peakBytes() }
}

/** The other end: answers the commands on stdin until it closes. */
export const serve = async (prepare: (path: string) => Promise<Served>): Promise<void> => {
  let served: Served | undefined
  for await (const line of createInterface({ input: process.stdin })) {
    const command = JSON.parse(line) as { readonly prepare?: string; readonly run?: number }
    let answer: object
    try {
      if (command.prepare !== undefined) {
        const { run, ...prepared } = await prepare(command.prepare)
        served = { run, ...prepared }
        answer = prepared
      } else {
        answer = await timed(served!, command.run!)
      }
    } catch (cause) {
      answer = { error: (cause as Error).message }
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`)
  }
}
