/** @file ffmpeg, which reads and writes video: a program of its own that need not be installed. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'

/** The program that reads and writes, and the one that tells what a file holds. */
export type FfmpegTool = 'ffmpeg' | 'ffprobe'

/** UL_FFMPEG where set, with the ffprobe beside it, else what PATH has. */
export const ffmpegCommand = (tool: FfmpegTool): string => {
  const given = process.env.UL_FFMPEG
  if (!given || tool === 'ffmpeg') return given || tool
  const beside = `ffprobe${path.extname(given)}`
  return path.basename(given) === given ? beside : path.join(path.dirname(given), beside)
}

/** What to say where a tool does not start. @param purpose what it does, as "videos are decoded" */
export const missingFfmpeg = (purpose: string, tool: FfmpegTool, cause: NodeJS.ErrnoException): Error => {
  const where = process.env.UL_FFMPEG ? 'by UL_FFMPEG' : 'in PATH'
  const found = cause.code === 'ENOENT' ? `not found ${where}` : `cannot be started (${cause.code})`
  return new Error(
    `${purpose} by ffmpeg, but "${ffmpegCommand(tool)}" is ${found}; install it (Debian's package is ffmpeg) or set UL_FFMPEG to the path of ffmpeg`,
    { cause },
  )
}

/**
 * The program, once it was seen to run.
 * @param purpose what it is needed for, as "c.mp4 is written"
 * @throws one sentence when it does not run
 */
export const findFfmpeg = (purpose: string): string => {
  const program = ffmpegCommand('ffmpeg')
  const { error } = spawnSync(program, ['-version'], { stdio: 'ignore' })
  if (error !== undefined) throw missingFfmpeg(purpose, 'ffmpeg', error)
  return program
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
