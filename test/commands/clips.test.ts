/** @file A run of clips by its commands, end to end: from videos where ffmpeg is installed, else from animations. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { float32, type HostTensor } from '../../src/engine/host/tensor.ts'
import { inspectSafetensors } from '../../src/files/safetensors.ts'
import type { Prediction } from '../../src/metrics/figures.ts'
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

const settings = (source: string): string[] => [
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
const command = (source: string): string[] => [
  ...['train', 'moving', '--smoke', '--steps', '3', '--out', run],
  ...settings(source),
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
    expect(figures).toMatchObject({ event: 'done', prediction: { given: 3, guidance: 1 } })
  })

  it('shows clips beside their reconstructions, and where the bits are over time', async () => {
    const [pairs, maps] = [inWork('pairs.webp'), inWork('maps.webp')]
    const file = join(folder, `down/2.${ending}`)
    await jsonOf(['reconstruct', run, file, '--out', pairs, '--maps', maps])
    // One clip of 16×16 at four times its size, and of six times for maps, with two white pixels between pictures.
    expect(await shapeOf(pairs)).toEqual([frames, 64, 2 * 64 + 2])
    const [pages, height] = await shapeOf(maps)
    expect([pages, height]).toEqual([frames, 96])
    const sheet = inWork('maps.png')
    await jsonOf(['reconstruct', run, file, '--maps', sheet])
    expect((await sharp(sheet).metadata()).height).toBe(4 * 96 + 3 * 2)
    expect(await sentenceOf(2, ['reconstruct', run, file, '--maps', 'maps.txt'])).toMatch(
      /^--maps: clip: maps\.txt ends in none of \.webp, \.gif, \.png, \.mp4/,
    )
  })

  it('goes on from given frames more strongly when it is guided by them', async () => {
    const given = join(folder, `down/2.${ending}`)
    const sampled = async (...flags: string[]): Promise<Buffer> => {
      const sample = ['sample', run, '-n', '1', '--given', given, '--steps', '8'] // some are in the interval of guidance
      await jsonOf([...sample, '--out', inWork('guided.webp'), ...flags])
      return readFileSync(inWork('guided.webp'))
    }
    const plain = await sampled()
    expect((await sampled('--given-guidance', '1')).equals(plain)).toBe(true)
    // After three steps a base model says little.
    expect((await sampled('--given-guidance', '1e9')).equals(plain)).toBe(false)
    expect(await sentenceOf(2, ['sample', run, '--given-guidance', '2'])).toContain('no frames are given')

    const measured = async (scale: string) =>
      (await jsonOf(['evaluate', run, '--count', '2', '--given-guidance', scale])).at(-1)
    const [none, much] = [await measured('1'), await measured('1e9')] as { prediction: Prediction }[]
    expect([none.prediction.guidance, much.prediction.guidance]).toEqual([1, 1e9])
    expect(much.prediction.psnr.mean).not.toBe(none.prediction.psnr.mean)
    expect(await sentenceOf(2, ['evaluate', 'emoji64', '--given-guidance', '2'])).toMatch(
      /^--given-guidance 2: emoji64 predicts no clips to guide by given frames; leave it out/,
    )
  })

  it('teaches a decoder of one step, and is exported; both are used like any other run', async () => {
    const [student, exported] = [inWork('student'), inWork('exported')]
    await jsonOf([
      'distill',
      run,
      '--out',
      student,
      '--train-steps',
      '2',
      '--batch',
      '4',
      '--generated',
      '0.5',
    ])
    await jsonOf(['export', run, '--out', exported])
    for (const from of [student, exported]) {
      const out = inWork('of.webp')
      await jsonOf(['sample', from, '-n', '1', '--out', out])
      expect((await shapeOf(out))[0]).toBe(frames)
      const latents = inWork('of.safetensors')
      await jsonOf(['encode', from, join(folder, 'down'), '--out', latents])
      expect(inspectSafetensors(latents).entries.get('z')?.shape).toEqual([10, 16, 2, 4, 4])
    }
  })

  it('is one of a grid of runs, which are measured and from which a rate is planned', async () => {
    const [runs, steps] = [inWork('grid'), setting('train.stage1.steps', 4)]
    const grid = ['sweep', 'moving', '--grid', 'decoder.lossFactor=4,16', '--samples', '8', '--out', runs]
    const sizes = [
      ...setting('encoder.channels', '[8,16]'),
      ...setting('prior.width', 32),
      ...setting('prior.blocks', 1),
      ...setting('decoder.channels', '[8]'),
      ...setting('decoder.width', 32),
      ...setting('base.widths', '[32,32]'),
      ...setting('train.stage2.steps', 3),
      ...setting('sampler.decoderSteps', 1),
    ]
    const asked = [...grid, ...settings('clips'), ...steps, ...sizes]
    await jsonOf(asked)
    const [listed] = await jsonOf([...asked, '--dry-run'])
    expect(listed).toMatchObject({ event: 'done', left: 0 })
    const [planned] = (await jsonOf(['plan', runs, '--bits-per-pixel', '0.5'])).slice(-1)
    expect(planned).toMatchObject({ event: 'done' })
    const { stdout } = await ul(['report', runs])
    expect(stdout).toMatch(/^\| 4 \| 1 \|/m)
    expect(stdout).toMatch(/^\| 16 \| 1 \|/m)
  })

  it.runIf(ending === 'mp4')('asks for ffmpeg where it is missing, by the name of its package', async () => {
    vi.stubEnv('PATH', inWork('nothing'))
    const said = await sentenceOf(1, ['data', 'clips', '--path', folder, '--size', '8'])
    expect(said).toMatch(/ffprobe|ffmpeg/)
    expect(said).toContain("Debian's package is ffmpeg")
  })
})
