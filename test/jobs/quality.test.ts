/** @file Quality by features: a tiny run measured with a feature network of a few means. */
import { beforeAll, describe, expect, it } from 'vitest'
import { readPictures } from '../../src/data/batches.ts'
import { openData } from '../../src/data/open.ts'
import type { ImageSource } from '../../src/data/source.ts'
import { compareFeatureSets, type FeatureComparison } from '../../src/eval/compareFeatures.ts'
import { type FeatureSet, featureSet } from '../../src/eval/featureSet.ts'
import { openFeatureNetwork } from '../../src/features/network.ts'
import { quantisePictures } from '../../src/features/quantise.ts'
import { type OpenedRun, openRun } from '../../src/jobs/openRun.ts'
import { measureQuality, type QualityOptions } from '../../src/jobs/quality.ts'
import { decoderSampler, evenly, latentSampler } from '../../src/jobs/use.ts'
import { writeQuarters } from '../features/quarters.ts'
import { runDir, runtime, tinyConfigOf, trainTiny, workFolder } from './tinyRun.ts'

const side = { height: 16, width: 16 }

const features = writeQuarters(workFolder)
let run: OpenedRun
let source: ImageSource

beforeAll(async () => {
  const config = tinyConfigOf()
  await trainTiny('measured', config)
  run = openRun(runDir('measured'), runtime)
  const { source: kind, path, size } = config.data
  source = (await openData({ source: kind, path, size })).train
})

const guidance = { scale: 1.5, logSnrMin: -4, logSnrMax: 4 }
const measure = (changes: Partial<QualityOptions> = {}) =>
  measureQuality(run, source, {
    features,
    samples: 11,
    seed: 3,
    reconstructs: true,
    generates: true,
    guidance,
    fitBias: false,
    ...changes,
  })

const featuresOf = async (images: Float32Array): Promise<FeatureSet> => {
  const network = await openFeatureNetwork(features)
  const rows = await network.features(quantisePictures(images, side), side)
  await network.dispose()
  return featureSet(rows, 12)
}

const expectFinite = ({ frechet, kid, precision, recall }: FeatureComparison): void => {
  expect([frechet, kid.mean, kid.error].every(Number.isFinite)).toBe(true)
  expect(frechet).toBeGreaterThan(0)
  for (const share of [precision, recall]) {
    expect(share).toBeGreaterThanOrEqual(0)
    expect(share).toBeLessThanOrEqual(1)
  }
}

describe('measureQuality', () => {
  it('gives finite figures, the same for the same seed, and the protocol they depend on', async () => {
    const first = await measure()
    expectFinite(first.reconstruction!)
    expectFinite(first.generation!)
    expect(first.reconstruction).toMatchObject({ realCount: 11, fakeCount: 11, bias: null })
    expect(first.generation).toMatchObject({ realCount: source.count, fakeCount: 11 })
    expect(first.protocol.network).toMatch(/^quarters: 12 features from 16×16 \(resize none\)/)
    expect(first.protocol).toMatchObject({
      quantiser: 'round(127.5x + 127.5), clipped to 0 … 255',
      reconstructionsOf: `11 pictures of ${source.name}`,
      samplesAgainst: `11 samples against all ${source.count} pictures of ${source.name}`,
      latentSampler: 'ancestral, 3 steps, variance 0.2',
      decoderSampler: 'ddim, 2 steps',
      guidance: 1.5,
    })
    expect(await measure()).toEqual(first)
    const other = await measure({ seed: 4 })
    expect(other.reconstruction!.frechet).not.toBe(first.reconstruction!.frechet)
    expect(other.generation!.frechet).not.toBe(first.generation!.frechet)
  })

  it.each([1, 3, 8])('does not depend on how many pictures are in memory: %d', async (atOnce) => {
    expect(await measure({ atOnce })).toEqual(await measure())
  })

  it('compares reconstructions with the same pictures, encoded and decoded as one set', async () => {
    const pictures = await readPictures(source, evenly(11, source.count))
    const codec = run.codec(11)
    const z0 = codec.addNoise(await codec.encode(pictures, 3), 3)
    const reconstructed = await codec.decode(z0, 3, decoderSampler(run.config))
    await codec.dispose()
    const [real, fake] = [await featuresOf(pictures), await featuresOf(reconstructed)]
    // Means of the first quarter by hand: the network sees the pictures, in [0, 1].
    const quarter = Array.from({ length: 64 }, (_, i) => pictures[Math.floor(i / 8) * 16 + (i % 8)]!)
    const mean = quarter.reduce((a, b) => a + b, 0) / 64
    expect(real.data[0]).toBeCloseTo((mean + 1) / 2, 5)
    const wanted = compareFeatureSets(real, fake, { seed: 3, fitBias: false })
    const { reconstruction } = await measure({ generates: false })
    expect(reconstruction!.frechet).toBeCloseTo(wanted.frechet, 6)
    expect(reconstruction!.kid.mean).toBeCloseTo(wanted.kid.mean, 6)
    expect(reconstruction).toMatchObject({ precision: wanted.precision, recall: wanted.recall })
  })

  it('compares samples, classes as often as there, with all pictures', async () => {
    const labels = Int32Array.from({ length: 11 }, (_, i) =>
      source.label(Math.floor((i * source.count) / 11)),
    )
    for (const label of [0, 1]) {
      const there = Array.from({ length: source.count }, (_, i) => source.label(i)).filter((l) => l === label)
      const here = labels.filter((l) => l === label)
      expect(Math.abs(here.length / 11 - there.length / source.count)).toBeLessThan(1 / 11)
    }
    const [generator, codec] = [run.generator(11), run.codec(11)]
    const z0 = await generator.generate(labels, 3, latentSampler(run.config), guidance)
    const samples = await codec.decode(z0, 4, decoderSampler(run.config))
    await Promise.all([generator.dispose(), codec.dispose()])
    const all = await readPictures(
      source,
      Array.from({ length: source.count }, (_, i) => i),
    )
    const wanted = compareFeatureSets(await featuresOf(all), await featuresOf(samples), {
      seed: 3,
      fitBias: false,
    })
    const { generation } = await measure()
    expect(generation!.frechet).toBeCloseTo(wanted.frechet, 6)
    expect(generation!.kid.mean).toBeCloseTo(wanted.kid.mean, 6)
    expect(generation).toMatchObject({ precision: wanted.precision, recall: wanted.recall })
  })

  it('generates nothing where there is nothing that generates, and takes no more pictures than there are', async () => {
    const { generation, reconstruction, protocol } = await measure({ generates: false, samples: 1000 })
    expect(generation).toBeNull()
    expect(reconstruction).toMatchObject({ realCount: source.count, fakeCount: source.count })
    expect(protocol.reconstructionsOf).toBe(`${source.count} pictures of ${source.name}`)
  })
})
