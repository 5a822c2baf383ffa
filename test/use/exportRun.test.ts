/** @file Exported runs: they open like runs, stand on their own, and neither training nor an export overwrites the other. */

import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { ConfigError } from '../../src/config/load.ts'
import { float32, floats } from '../../src/engine/host/tensor.ts'
import type { Quality } from '../../src/metrics/figures.ts'
import { configGuidance, decoderSampler, latentSampler } from '../../src/model/samplers.ts'
import { runFiles } from '../../src/runs/files.ts'
import { evaluationIn, provenanceIn, qualityIn, writeQuality } from '../../src/runs/results.ts'
import { weightsFile } from '../../src/runs/runDirectory.ts'
import type { Weights } from '../../src/train/frozen.ts'
import { exportRun } from '../../src/use/exportRun.ts'
import { type OpenedRun, openRun } from '../../src/use/openRun.ts'
import { hasNetwork } from '../../src/use/weights.ts'
import { runDir, runtime, stagesSaved, tinyConfigOf, trainTiny } from '../stages/tinyRun.ts'

const opened = (name: string): OpenedRun => openRun(runDir(name), runtime)
const exported = (from: string, to: string): ReturnType<typeof exportRun> =>
  exportRun(runDir(from), runDir(to), runtime)
const card = (name: string): string => readFileSync(join(runDir(name), 'README.md'), 'utf8')

const comparison = (frechet: number, precision: number, recall: number) => ({
  ...{ frechet, frechetExtrapolated: null, bias: null, precision, recall },
  ...{ kid: { mean: 0.01234, error: 0.001 }, realCount: 32, fakeCount: 8 },
})
const quality: Quality = {
  protocol: {
    ...{ network: 'quarters', quantiser: 'round', reconstructionsOf: '8 images', samplesAgainst: 'all 32' },
    ...{ latentSampler: 'ancestral', decoderSampler: 'ddim', guidance: 1.5 },
  },
  reconstruction: comparison(12.25, 0.5, 0.5),
  generation: comparison(67.891, 0.625, 0.375),
}

beforeAll(async () => {
  await trainTiny('whole', tinyConfigOf())
  const other = ['seed=1', 'train.lr=1e-4', 'train.stage1.steps=9', 'data.balance=false']
  await trainTiny('borrowing', tinyConfigOf('train.stage1.from=../whole', ...other))
  writeQuality(runDir('whole'), quality, 'cpu')
})

/** Half precision keeps eleven bits; below the normal numbers, multiples of 2⁻²⁴. */
const expectHalved = (found: Weights, wanted: Weights): void => {
  expect(Object.keys(found).sort()).toEqual(Object.keys(wanted).sort())
  for (const [path, tensor] of Object.entries(wanted)) {
    expect(found[path].shape).toEqual(tensor.shape)
    const off = floats(tensor).findIndex(
      (value, i) =>
        !(Math.abs(floats(found[path])[i] - value) <= Math.max(Math.abs(value) * 2 ** -11, 2 ** -25)),
    )
    expect(off, path).toBe(-1)
  }
}

const greatest = (a: Float32Array, b: Float32Array): number => {
  expect(a.length).toBe(b.length)
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i])), 0)
}

/** What a run encodes, decodes and generates, with the same noise. */
const used = async (run: OpenedRun): Promise<Record<'z' | 'image' | 'sample', Float32Array>> => {
  const pixels = Float32Array.from({ length: 2 * 3 * 16 ** 2 }, (_, i) => Math.sin(i / 9))
  const images = float32([2, 3, 16, 16], pixels)
  const [codec, generator] = [run.codec(2), run.generator(2)]
  const z = await codec.encode(images, 3)
  const image = await codec.decode(codec.addNoise(z, 3), 3, decoderSampler(run.config))
  const chain = latentSampler(run.config)
  const sample = await generator.generate({
    facts: [{ label: 0 }, { label: 1 }],
    seed: 3,
    sampler: chain,
    guidance: configGuidance(run.config),
  })
  await codec.dispose()
  await generator.dispose()
  return { z: floats(z), image: floats(image), sample: floats(sample) }
}

/** Every file below a directory with its bytes. */
const contents = (dir: string): [string, string][] =>
  readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
    .map((file) => [file, readFileSync(file).toString('base64')])

describe('exportRun', () => {
  it('opens like the run: the same weights to half precision, and nearly the same results', async () => {
    const { path, parameters, bytes } = exported('whole', 'model')
    expect(path).toBe(join(runDir('model'), weightsFile))
    const [whole, model] = [opened('whole'), opened('model')]
    expectHalved(model.autoencoder(), whole.autoencoder())
    expectHalved(model.base(), whole.base())
    expect([model.config, model.info, model.model]).toEqual([whole.config, whole.info, whole.model])
    const all = [...Object.values(whole.autoencoder()), ...Object.values(whole.base())]
    expect(parameters).toBe(all.reduce((sum, { data }) => sum + data.length, 0))
    expect(bytes - 2 * parameters).toBeGreaterThan(0)
    expect(bytes - 2 * parameters).toBeLessThan(200 * all.length)
    const [a, b] = [await used(whole), await used(model)]
    for (const name of ['z', 'image', 'sample'] as const) {
      const most = a[name].reduce((m, v) => Math.max(m, Math.abs(v)), 0)
      expect(greatest(a[name], b[name]) / most).toBeLessThan(0.02)
      expect(greatest(a[name], b[name])).toBeGreaterThan(0)
    }
  })

  it('holds the figures and a card that states them, and nothing that only training needs', () => {
    const { config, info, evaluation, quality: distances, provenance } = runFiles
    const names = ['README.md', config, evaluation, distances, info, provenance, weightsFile]
    expect(readdirSync(runDir('model')).sort()).toEqual(names.sort())
    const { psnr, bitsPerPixel, count } = evaluationIn(runDir('whole'))!
    expect(evaluationIn(runDir('model'))).toEqual(evaluationIn(runDir('whole')))
    expect(qualityIn(runDir('model'))).toEqual(quality)
    expect(provenanceIn(runDir('model'))).toEqual(provenanceIn(runDir('whole')))
    const text = card('model')
    expect(text).toMatch(/^# study\n/)
    expect(text).toContain(`(${count}): PSNR ${psnr.mean.toFixed(2)} ± ${psnr.error.toFixed(2)} dB`)
    expect(text).toContain(`${bitsPerPixel.mean.toFixed(3)} ± ${bitsPerPixel.error.toFixed(3)} bits/pixel`)
    expect(text).toContain('- reconstructions: distance 12.25\n')
    expect(text).toContain('- samples: distance 67.89, KID 0.0123, precision 0.63, recall 0.38\n')
    for (const [name, value] of Object.entries(quality.protocol))
      expect(text).toContain(`  - ${name}: ${value}\n`)
    expect(text).toContain(`${opened('whole').info.trainCount} training images of 16×16`)
    expect(text).toContain('stage 1: 4 steps of 4; stage 2: 4 steps of 4; seed 0')
    expect(text).toContain('- licence: not stated\n')
    exportRun(runDir('whole'), runDir('licensed'), runtime, 'CC-BY-4.0')
    expect(card('licensed')).toBe(text.replace('not stated', 'CC-BY-4.0'))
  })

  it('takes the stage 1 of another run with it', () => {
    exported('borrowing', 'alone')
    expect(readdirSync(runDir('alone'))).not.toContain(runFiles.quality)
    const alone = opened('alone')
    expect(alone.config.train.stage1.from).toBeNull()
    // What trained its stage 1, and not what the run that borrowed it was given.
    const { train } = opened('whole').config
    expect(alone.config).toEqual({ ...opened('borrowing').config, train })
    expect(card('alone')).not.toContain('ul train')
    expect(card('model')).toContain('trained by `ul train config.yaml`')
    expect(card('alone')).toMatch(/stage 1: 4 steps of 4; .* seed 1$/m)
    expect(card('alone')).toMatch(/trained on other data: source folder, .*balance true/)
    expect(card('model')).not.toContain('other data')
    expect(alone.stage1Directory).toBe(runDir('alone'))
    expectHalved(alone.autoencoder(), opened('whole').autoencoder())
    expectHalved(alone.base(), opened('borrowing').base())
    // Wherever it is copied to.
    cpSync(runDir('alone'), runDir('elsewhere/alone'), { recursive: true })
    expect(opened('elsewhere/alone').autoencoder()).toEqual(alone.autoencoder())
  })

  it('serves as the stage 1 of another run', async () => {
    const before = contents(runDir('model'))
    const { result } = await trainTiny('on export', tinyConfigOf(`train.stage1.from=${runDir('model')}`))
    expect(result.finished).toBe(true)
    expect(stagesSaved('on export')).toEqual(['stage2'])
    expect(opened('on export').autoencoder()).toEqual(opened('model').autoencoder())
    // The latents lie with the run that trains on them.
    expect(contents(runDir('model'))).toEqual(before)
    expect(readdirSync(join(runDir('on export'), 'latents')).length).toBeGreaterThan(0)
  })

  it('of an export is the same again, and leaves no figures of another run behind', () => {
    exported('model', 'again')
    const [model, again] = [opened('model'), opened('again')]
    expect(again.autoencoder()).toEqual(model.autoencoder())
    expect(again.base()).toEqual(model.base())
    expect(existsSync(join(runDir('again'), runFiles.quality))).toBe(true)
    exported('borrowing', 'again')
    expect(existsSync(join(runDir('again'), runFiles.quality))).toBe(false)
    expectHalved(opened('again').base(), opened('borrowing').base())
    expect(card('again')).not.toContain('KID')
  })

  it('that was interrupted has no weights, old or new, and is whole when it is made again', () => {
    exported('whole', 'broken')
    const [before, blocked] = [contents(runDir('broken')), join(runDir('broken'), 'README.md')]
    rmSync(blocked)
    mkdirSync(join(blocked, 'in the way'), { recursive: true })
    expect(() => exported('borrowing', 'broken')).toThrow(/README\.md/)
    expect(readdirSync(runDir('broken'))).not.toContain(weightsFile)
    expect(() => opened('broken').autoencoder()).toThrow(/there is no checkpoint of its encoder/)
    rmSync(blocked, { recursive: true })
    exported('whole', 'broken')
    expect(contents(runDir('broken'))).toEqual(before)
  })

  it('without a stage 2 encodes and decodes, and says what it cannot do', async () => {
    await trainTiny('first', tinyConfigOf(), '1')
    rmSync(join(runDir('first'), runFiles.evaluation))
    exported('first', 'first model')
    expect(card('first model')).toContain('\nNot measured.\n')
    const run = opened('first model')
    const networks = ['encoder', 'prior', 'decoder', 'base']
    expect(networks.map((network) => hasNetwork(runDir('first model'), network))).toEqual([
      true,
      true,
      true,
      false,
    ])
    expectHalved(run.autoencoder(), opened('first').autoencoder())
    expect(() => run.generator(1)).toThrow(
      `${runDir('first model')}: it was exported without its base; train that, `,
    )
  })

  it('needs a stage 1', async () => {
    const config = tinyConfigOf('train.stage1.steps=0', 'train.stage2.steps=0')
    mkdirSync(runDir('nothing'))
    expect(() => exported('nothing', 'no model')).toThrow(/there is no config\.yaml/)
    await trainTiny('untrained', config).catch(() => undefined)
    expect(() => exported('untrained', 'no model')).toThrow(
      /there is no checkpoint of its encoder; train it first/,
    )
    expect(existsSync(runDir('no model'))).toBe(false)
  })
})

describe('runs and exports do not overwrite each other', () => {
  it.each([
    ['the same configuration', []],
    ['another', ['decoder.lossFactor=3']],
  ])('training %s into an export is refused in a sentence, and changes nothing', async (_, settings) => {
    const before = contents(runDir('model'))
    const attempt = trainTiny('model', tinyConfigOf(...settings))
    await expect(attempt).rejects.toThrow(ConfigError)
    await expect(attempt).rejects.toThrow(
      `${runDir('model')}: it holds an exported run, which has no state to train from; give another --out`,
    )
    expect(contents(runDir('model'))).toEqual(before)
  })

  it.each(['whole', 'borrowing'])('an export into the run %s is refused', (name) => {
    const before = contents(runDir(name))
    expect(() => exported('whole', name)).toThrow(
      `${runDir(name)}: it holds a run, which an export would overwrite`,
    )
    expect(contents(runDir(name))).toEqual(before)
  })

  it('an export into itself is refused', () => {
    expect(() => exported('model', 'model')).toThrow(ConfigError)
  })
})
