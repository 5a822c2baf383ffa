/** @file Runs the command line, in this process or in one of its own, and makes the small runs that its tests work on. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, vi } from 'vitest'
import type { HostTensor } from '../../src/engine/host/tensor.ts'
import { readSafetensors } from '../../src/files/safetensors.ts'
import { image, type Rgb, temporaryFolder, writeFiles } from '../data/temporary.ts'

const cli = fileURLToPath(new URL('../../dist/commands/main.mjs', import.meta.url))
if (!existsSync(cli)) throw new Error(`${cli} is missing: run 'npm run build' before these tests`)

/** How a command ended. */
export interface Finished {
  /** Null when a signal ended it. */
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** One JSON line of a command. */
export type JsonLine = Readonly<Record<string, unknown>>

/** A folder of its own, removed when the test file ends; the cache of decoded images lies in it. */
export const workFolder: string = await temporaryFolder()

// Here and in processes of their own, which inherit it.
delete process.env.UL_DEBUG
process.env.UL_CACHE = join(workFolder, 'cache')
process.env.NO_COLOR = '1'
// Only now: whether there are colours is decided when the commands are loaded.
const { runCommandLine } = await import('../../src/commands/program.ts')

/** Runs `ul` in this process, as if started in the work folder: for all that does not depend on its process. */
export const ul = async (args: readonly string[]): Promise<Finished> => {
  let [stdout, stderr] = ['', '']
  const spies = [
    vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
      stdout += String(text)
      return true
    }),
    vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
      stderr += String(text)
      return true
    }),
  ]
  const before = process.cwd()
  process.chdir(workFolder)
  try {
    const code = await runCommandLine(args)
    return { code, signal: null, stdout, stderr }
  } finally {
    process.chdir(before)
    for (const spy of spies) spy.mockRestore()
  }
}

/**
 * Runs the built `ul` in a process of its own, in the work folder.
 * @param onLine called with every whole line of stdout while the command runs
 */
export const startUl = (
  args: readonly string[],
  onLine: (line: string, child: ChildProcess) => void = () => undefined,
): Promise<Finished> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [cli, ...args], {
      cwd: workFolder,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let [stdout, stderr, seen] = ['', '', 0]
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
      for (let end = stdout.indexOf('\n', seen); end >= 0; end = stdout.indexOf('\n', seen)) {
        const line = stdout.slice(seen, end)
        seen = end + 1
        onLine(line, child)
      }
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
    })
    child.once('error', reject)
    child.once('close', (code, signal) => resolve({ code, signal, stdout, stderr }))
  })

/** Every line of stdout as the JSON object that it must be. */
export const jsonLines = ({ stdout }: Finished): JsonLine[] => {
  expect(stdout.endsWith('\n')).toBe(true)
  return stdout
    .slice(0, -1)
    .split('\n')
    .map((line) => {
      const value: unknown = JSON.parse(line)
      expect(value, line).toBeTypeOf('object')
      expect((value as JsonLine).event, line).toBeTypeOf('string')
      return value as JsonLine
    })
}

/** The JSON lines of a command that must succeed without a word on stderr. */
export const jsonOf = async (args: readonly string[], start: typeof ul = ul): Promise<JsonLine[]> => {
  const finished = await start([...args, '--json'])
  expect(finished).toMatchObject({ code: 0, stderr: '' })
  return jsonLines(finished)
}

/** The one sentence on stderr with which a command must fail: no stack trace, nothing on stdout. */
export const sentenceOf = async (code: number, args: readonly string[]): Promise<string> => {
  const finished = await ul(args)
  expect(finished, args.join(' ')).toMatchObject({ code, stdout: '' })
  const lines = finished.stderr.trimEnd().split('\n')
  expect(lines, finished.stderr).toHaveLength(1)
  expect(lines[0]).toMatch(/^ul: \S/)
  return lines[0].slice('ul: '.length)
}

/** Discs and stripes of twelve kinds each, 16×16. */
const drawn: Readonly<Record<string, (i: number) => (x: number, y: number) => Rgb>> = {
  discs: (i) => (x, y) => (Math.hypot(x - 8, y - 8) < 2 + i / 2 ? [200, 20 * i, 30] : [240, 240, 255]),
  stripes: (i) => (x) => ((x + i) % 6 < 3 ? [20, 20 * i, 200] : [255, 250, 220]),
}

/** Writes 24 images in two class folders and one file that is no image; returns the folder. */
export const makeImages = async (name: string): Promise<string> => {
  const files: Record<string, Uint8Array | string> = { 'discs/broken.png': 'not an image' }
  for (const [kind, draw] of Object.entries(drawn)) {
    for (let i = 0; i < 12; i++) {
      files[`${kind}/${kind}-${i}.png`] = await image(16, 16, draw(i)).png().toBuffer()
    }
  }
  const folder = join(workFolder, name)
  await writeFiles(folder, files)
  return folder
}

/** Steps of both stages of a small run, and between its checkpoints. */
export const tinySteps = 20
export const tinyEvery = 10

/** Settings, key=value each, that make networks and batches of a run small; every step is logged. */
export const tinySettings = (images: string): string[] =>
  Object.entries({
    'data.source': 'folder',
    'data.path': images,
    'data.size': 16,
    'encoder.channels': '[8, 16]',
    'prior.width': 32,
    'decoder.channels': '[8]',
    'decoder.width': 32,
    'base.widths': '[32, 32]',
    'train.batch': 8,
    'train.stage2.batch': 8,
    'train.logEvery': 1,
    'train.checkpointEvery': tinyEvery,
    'train.sampleEvery': 5,
    'sampler.steps': 3,
    'sampler.decoderSteps': 2,
  }).map(([key, value]) => `${key}=${value}`)

/** Arguments that train a small run of a second or two. */
export const tinyTraining = (images: string, out: string): string[] => {
  const sets = tinySettings(images).flatMap((set) => ['--set', set])
  return ['train', 'quickstart', '--smoke', '--steps', `${tinySteps}`, ...sets, '--out', out]
}

/** Directory of a checkpoint. */
export const checkpointOf = (run: string, stage: string, step: number): string =>
  join(run, 'checkpoints', `${stage}-${String(step).padStart(9, '0')}`)

/** The tensors of a checkpoint. */
export const tensorsOf = (run: string, stage: string, step: number): Record<string, HostTensor> =>
  readSafetensors(join(checkpointOf(run, stage, step), 'state.safetensors')).tensors

const bytesOf = ({ data }: HostTensor): Uint8Array =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength)

/** Names of the tensors of the last checkpoints of stages that differ between two runs in any bit. */
export const differingTensors = (
  a: string,
  b: string,
  stages: readonly string[] = ['stage1', 'stage2'],
): string[] =>
  stages.flatMap((stage) => {
    const [x, y] = [tensorsOf(a, stage, tinySteps), tensorsOf(b, stage, tinySteps)]
    expect(Object.keys(x).length).toBeGreaterThan(20)
    expect(Object.keys(x)).toEqual(Object.keys(y))
    return Object.keys(x).filter((name) => Buffer.compare(bytesOf(x[name]), bytesOf(y[name])) !== 0)
  })

/** metrics.jsonl without what depends on the clock. */
export const metricsOf = (run: string): JsonLine[] =>
  readFileSync(join(run, 'metrics.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => {
      const { imagesPerSecond: _, ...rest } = JSON.parse(line) as JsonLine
      return rest
    })

/** Where the tests' own files lie. */
export const inWork = (...parts: string[]): string => join(workFolder, ...parts)
