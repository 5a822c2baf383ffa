/** @file ffmpeg, which reads and writes video: a program of its own that need not be installed. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'

/**
 * The program: what UL_FFMPEG names, else `ffmpeg` as the system finds it.
 * @param purpose what it is needed for, for the error
 * @throws one sentence when it does not run
 */
export const findFfmpeg = (purpose: string): string => {
  const named = process.env.UL_FFMPEG || undefined
  const program = named ?? 'ffmpeg'
  try {
    execFileSync(program, ['-version'], { stdio: 'ignore' })
    return program
  } catch (cause) {
    const found = named === undefined ? 'is not installed' : `is not ${named}, which UL_FFMPEG names`
    throw new Error(
      `ffmpeg ${found}; ${purpose} takes it: install it (Debian's package ffmpeg), or set UL_FFMPEG to its path`,
      { cause },
    )
  }
}

/**
 * Gives ffmpeg bytes to read from `pipe:0` and waits until it has ended.
 * @param signal kills it once it is aborted, and its reason is thrown
 * @throws what ffmpeg says when it fails
 */
export const runFfmpeg = async (
  program: string,
  args: readonly string[],
  input: Uint8Array,
  signal?: AbortSignal,
): Promise<void> => {
  signal?.throwIfAborted()
  const child = spawn(program, ['-hide_banner', '-loglevel', 'error', ...args], {
    stdio: ['pipe', 'ignore', 'pipe'],
    signal,
    killSignal: 'SIGKILL',
  })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  // Where it ends before it has read everything, what it says is the error, and not the broken pipe.
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  const [code] = (await once(child, 'close').catch((error: Error) => {
    signal?.throwIfAborted()
    throw error
  })) as [number | null]
  if (code !== 0)
    throw new Error(`ffmpeg ended with ${code ?? 'a signal'}: ${said.trim().split('\n').at(-1)}`)
}
