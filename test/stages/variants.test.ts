/** @file Variants as whole runs: what they train, and the combinations that are refused before anything happens. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ConfigError } from '../../src/config/load.ts'
import { floats, stacked } from '../../src/engine/host/tensor.ts'
import { readSafetensors } from '../../src/files/safetensors.ts'
import { imageSetOf } from '../../src/method/programs.ts'
import { decoderSampler } from '../../src/model/samplers.ts'
import { decodeFile, encodeToFile } from '../../src/use/latentFiles.ts'
import { openRun } from '../../src/use/openRun.ts'
import { normal } from '../method/support.ts'
import { runDir, runtime, stagesSaved, tinyConfigOf, trainTiny, workFolder } from './tinyRun.ts'

const pixels = ['variant.encoder=pixels', 'latent.channels=12', 'latent.downsample=2']

it('pixel diffusion by a U-ViT on whole pixels trains and samples', async () => {
  const sizes = ['channels=[8, 8]', 'width=16', 'blocks=1'].map((size) => `base.uvit.${size}`)
  const space = ['variant.encoder=pixels', 'latent.channels=3', 'latent.downsample=1']
  const { result } = await trainTiny('uvit', tinyConfigOf(...space, 'base.headWidth=8', ...sizes))
  expect(result).toEqual({ finished: true, evaluation: null })
  expect(existsSync(join(runDir('uvit'), 'samples', 'samples.png'))).toBe(true)
})

it('pixel diffusion trains stage 2 alone, and images survive encoding bit by bit', async () => {
  const { result } = await trainTiny('pixels', tinyConfigOf(...pixels))
  expect(result).toEqual({ finished: true, evaluation: null })
  expect(stagesSaved('pixels')).toEqual(['stage2'])
  for (const file of ['report.html', join('samples', 'samples.png')]) {
    expect(existsSync(join(runDir('pixels'), file))).toBe(true)
  }
  const run = openRun(runDir('pixels'), runtime)
  // More than are worked on at a time.
  const images = normal('images', [70, 3, 16, 16])
  const loaded = { files: Array.from({ length: 70 }, (_, i) => `${i}`), ...imageSetOf(images) }
  const file = join(workFolder, 'pixels.safetensors')
  await encodeToFile(run, loaded, 1, file)
  const parts = []
  for await (const part of decodeFile(run, file, { seed: 2, sampler: decoderSampler(run.config) }))
    parts.push(part)
  expect(parts.map(({ first, names }) => [first, names.length])).toEqual([
    [0, 64],
    [64, 6],
  ])
  expect(parts.flatMap(({ names }) => names)).toEqual(loaded.files)
  expect(stacked(parts.map((part) => part.images))).toEqual(images)
})

it.each([
  ['normal prior', ['variant.prior=normal', 'variant.klWeight=0.1']],
  ['MSE decoder', ['variant.decoder=mse']],
  ['normal prior, learned', ['variant.prior=normal', 'variant.klWeight=1', 'variant.variance=learned']],
  [
    'KL-VAE',
    [
      'variant.prior=normal',
      'variant.klWeight=0.01',
      'variant.variance=learned',
      'variant.decoder=mse',
      'latent.logSnr0=10',
    ],
  ],
  ['row A, learned', ['variant.stopGradient=true', 'variant.klWeight=0.01', 'variant.variance=learned']],
  ['weighted prior', ['variant.priorBias=0', 'sampler.generator=prior']],
  ['row A', ['variant.stopGradient=true', 'variant.klWeight=0.01', 'decoder.dropout=0.1']],
  ['learned weighted prior', ['variant.variance=learned', 'variant.priorBias=0', 'sampler.generator=prior']],
])('trains and is measured: %s', async (name, settings) => {
  const { result } = await trainTiny(name, tinyConfigOf(...settings))
  const { bitsPerPixel, baseBitsPerPixel, decoderNats, psnr } = result.evaluation!
  expect(baseBitsPerPixel === undefined).toBe(settings.includes('sampler.generator=prior'))
  for (const { mean, error } of [bitsPerPixel, decoderNats, psnr, baseBitsPerPixel ?? psnr]) {
    expect(Number.isFinite(mean) && Number.isFinite(error)).toBe(true)
  }
  expect(decoderNats.mean).toBeGreaterThan(0)
})

it('encoding to a file draws a learned variance by the seed', async () => {
  await trainTiny('drawn', tinyConfigOf('variant.variance=learned', 'sampler.generator=prior'))
  const run = openRun(runDir('drawn'), runtime)
  const images = normal('images', [3, 3, 16, 16])
  const codec = run.codec(3)
  const written = async (seed: number): Promise<Float32Array> => {
    const file = join(workFolder, 'drawn.safetensors')
    await encodeToFile(run, { files: ['a', 'b', 'c'], ...imageSetOf(images) }, seed, file)
    return floats(readSafetensors(file).tensors.z)
  }
  for (const seed of [0, 1]) expect(await written(seed)).toEqual(floats(await codec.encode(images, seed)))
  expect(await written(0)).not.toEqual(await written(1))
  await codec.dispose()
})

describe('refused before a directory is made', () => {
  it.each([
    ['video', ['data.frames=16'], 'data.frames is 16, but there is no time axis; set video too'],
    ['wrong channels', ['variant.encoder=pixels'], 'set latent.channels=48'],
    ['no prior of pixels', [...pixels, 'sampler.generator=prior'], 'but variant.encoder=pixels trains none'],
    [
      'no normal generator',
      ['variant.prior=normal', 'sampler.generator=prior'],
      'but variant.prior=normal trains none; set sampler.generator=base',
    ],
    [
      'normal bias',
      ['variant.prior=normal', 'variant.klWeight=1', 'variant.priorBias=1'],
      'variant.priorBias is 1, but weighs',
    ],
    [
      'normal for nothing',
      ['variant.prior=normal'],
      'nothing would charge for the latent; set variant.klWeight=1',
    ],
  ])('%s', async (name, settings, message) => {
    const attempt = trainTiny(name, tinyConfigOf(...settings))
    await expect(attempt).rejects.toThrow(message)
    await expect(attempt).rejects.toBeInstanceOf(ConfigError)
    expect(existsSync(runDir(name))).toBe(false)
  })
})
