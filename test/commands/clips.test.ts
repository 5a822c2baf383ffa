/** @file A run of clips by its commands, end to end: from videos where ffmpeg is installed, else from animations. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { float32, type HostTensor } from '../../src/engine/host/tensor.ts'
import { inspectSafetensors } from '../../src/files/safetensors.ts'
import { writeClip } from '../../src/report/clip.ts'
import { inWork, jsonOf, sentenceOf, ul } from './ul.ts'

const ending = spawnSync('ffmpeg', ['-version']).status === 0 ? 'mp4' : 'webp'
const [size, frames] = [16, 8]

/** A bar that goes down or across: [1, 3, 12, 16, 16]. */
const bar = (i: number, across: boolean): HostTensor =>
  float32(
    [1, 3, 12, size, size],
    Float32Array.from({ length: 3 * 12 * size * size }, (_, k) => {
      const [x, y, t] = [k % size, Math.floor(k / size) % size, Math.floor(k / size ** 2) % 12]
      const at = (t + i) % size
      return Math.abs((across ? x : y) - at) < 2 ? 1 : -0.5
    }),
  )

const run = inWork('run')
let folder: string
const setting = (key: string, value: unknown): string[] => ['--set', `${key}=${value}`]

const command = (source: string): string[] => [
  ...['train', 'moving', '--smoke', '--steps', '3', '--out', run],
  ...setting('data.source', source),
  ...setting('data.path', folder),
  ...setting('data.size', size),
  ...setting('data.frames', frames),
  ...setting('train.batch', 4),
  ...setting('train.stage2.batch', 4),
  ...setting('sampler.steps', 2),
  ...setting('video.given', 3),
  ...setting('video.imageShare', 0.2),
]

/** Frames, height and width of an animation. */
const shapeOf = async (file: string): Promise<(number | undefined)[]> => {
  const { pages, pageHeight, width } = await sharp(file, { animated: true }).metadata()
  return [pages, pageHeight, width]
}

afterEach(() => vi.unstubAllEnvs())

beforeAll(async () => {
  folder = inWork('bars')
  for (const kind of ['across', 'down']) {
    mkdirSync(join(folder, kind), { recursive: true })
    for (let i = 0; i < 10; i++)
      await writeClip(join(folder, kind, `${i}.${ending}`), bar(i, kind === 'across'), { scale: 1, gap: 0 })
  }
  expect(await ul(command('clips'))).toMatchObject({ code: 0 })
})

describe(`a run of clips from .${ending}`, () => {
  it('says what it holds', async () => {
    const { stdout } = await ul(['info', run])
    expect(stdout).toContain('latent 16×2×4×4')
    expect(existsSync(join(run, 'samples', 'predictions.webp'))).toBe(true)
  })

  it('is sampled in clips of any length, that begin as one that is given', async () => {
    const out = inWork('samples.webp')
    const given = join(folder, `down/2.${ending}`)
    const sampled = ['sample', run, '-n', '1', '--out', out]
    await jsonOf([...sampled, '--given', given, '--frames', '2'])
    const [pages, height, width] = await shapeOf(out)
    expect(pages).toBe(frames)
    await jsonOf([...sampled, '--given', given, '--length', '19', '--overlap', '2'])
    expect(await shapeOf(out)).toEqual([19, height, width])
    await jsonOf([...sampled, '--length', '3'])
    expect(await shapeOf(out)).toEqual([3, height, width])
  })

  it('refuses lengths that are none, each in a sentence', async () => {
    const sampled = ['sample', run, '--out', 'x.webp']
    expect(await sentenceOf(2, [...sampled, '--length', '20', '--overlap', '8'])).toBe(
      '--overlap 8: windows of this run have 8 frames, of which one at least is generated; give 7 or fewer',
    )
    expect(await sentenceOf(2, [...sampled, '--overlap', '2'])).toContain(
      'say by --length how long clips are',
    )
    expect(await sentenceOf(2, [...sampled, '--length', '20000'])).toContain('10000 frames at most')
    for (const flag of ['--length', '--overlap'])
      expect(await sentenceOf(2, ['sample', 'emoji64', flag, '4'])).toBe(
        `${flag}: this run makes images; give a run of clips`,
      )
  })

  it('is encoded, decoded, reconstructed and measured', async () => {
    const latents = inWork('z.safetensors')
    await jsonOf(['encode', run, join(folder, 'down'), '--out', latents])
    expect(inspectSafetensors(latents).entries.get('z')?.shape).toEqual([10, 16, 2, 4, 4])
    await jsonOf(['decode', run, latents, '--out', inWork('decoded')])
    expect(readdirSync(inWork('decoded'))).toHaveLength(10)
    const [, ...lines] = await jsonOf(['reconstruct', run, join(folder, 'down')])
    expect(lines.at(-1)).toMatchObject({ event: 'done', count: 10 })
    const [figures] = (await jsonOf(['evaluate', run])).slice(-1)
    expect(figures).toMatchObject({ event: 'done', prediction: { given: 3 } })
  })

  it.runIf(ending === 'mp4')('asks for ffmpeg where it is missing, by the name of its package', async () => {
    vi.stubEnv('PATH', inWork('nothing'))
    const said = await sentenceOf(1, ['data', 'clips', '--path', folder, '--size', '8'])
    expect(said).toMatch(/ffprobe|ffmpeg/)
    expect(said).toContain("Debian's package is ffmpeg")
  })
})
