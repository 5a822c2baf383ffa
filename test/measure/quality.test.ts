/** @file Quality by features: a tiny run measured with a feature network of a few means. */
import { beforeAll, describe, expect, it } from 'vitest'
import { evaluationText } from '../../src/commands/evaluate.ts'
import { readImages } from '../../src/data/batches.ts'
import type { ImageSource } from '../../src/data/images/source.ts'
import { openData } from '../../src/data/open.ts'
import { quantiseImages } from '../../src/engine/host/pixels.ts'
import { floats, type HostTensor } from '../../src/engine/host/tensor.ts'
import { openHubNetwork } from '../../src/features/hub.ts'
import { openFeatureNetwork } from '../../src/features/network.ts'
import { measureQuality, type QualityOptions } from '../../src/measure/quality.ts'
import { baseRate } from '../../src/measure/reconstruct.ts'
import { compareFeatureSets, type FeatureComparison } from '../../src/metrics/compareFeatures.ts'
import { type FeatureSet, featureSet } from '../../src/metrics/featureSet.ts'
import type { ClipScore, Quality } from '../../src/metrics/figures.ts'
import { decoderSampler, latentSampler } from '../../src/model/samplers.ts'
import { evenly } from '../../src/use/evenly.ts'
import { type OpenedRun, openRun } from '../../src/use/openRun.ts'
import { fakeTransformers } from '../features/fakeTransformers.ts'
import { writeQuarters } from '../features/quarters.ts'
import { runDir, runtime, tinyConfigOf, trainTiny, workFolder } from '../stages/tinyRun.ts'

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

let first: ReturnType<typeof measure> | undefined
/** The measurement without changes, made once. */
const usual = (): ReturnType<typeof measure> => {
  first ??= measure()
  return first
}

const featuresOf = async (images: HostTensor): Promise<FeatureSet> => {
  const network = await openFeatureNetwork(features)
  const rows = await network.features(quantiseImages(images), side)
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
    const first = await usual()
    expectFinite(first.reconstruction!)
    expectFinite(first.generation!)
    expect(first.reconstruction).toMatchObject({ realCount: 11, fakeCount: 11, bias: null })
    expect(first.generation).toMatchObject({ realCount: source.count, fakeCount: 11 })
    expect(first.protocol.network).toMatch(/^quarters: 12 features from 16×16 \(resize none\)/)
    expect(first.protocol).toMatchObject({
      quantiser: 'round(127.5x + 127.5), clipped to 0 … 255',
      reconstructionsOf: `11 images of ${source.name}`,
      samplesAgainst: `11 samples by the base model against all ${source.count} images of ${source.name}`,
      latentSampler: 'ancestral, 3 steps, variance 0.2',
      decoderSampler: 'ddim, 2 steps',
      guidance: 1.5,
      samples: 11,
    })
    expect(await measure()).toEqual(first)
    const other = await measure({ seed: 4 })
    expect(other.reconstruction!.frechet).not.toBe(first.reconstruction!.frechet)
    expect(other.generation!.frechet).not.toBe(first.generation!.frechet)
  })

  it.each([1, 3, 8])('does not depend on how many images are in memory: %d', async (atOnce) => {
    expect(await measure({ atOnce })).toEqual(await usual())
  })

  it('compares reconstructions with the same images, encoded and decoded as one set', async () => {
    const images = await readImages(source, evenly(11, source.count))
    const codec = run.codec(11)
    const z0 = codec.addNoise(await codec.encode(images, 3), 3)
    const reconstructed = await codec.decode(z0, 3, decoderSampler(run.config))
    await codec.dispose()
    const [real, fake] = [await featuresOf(images), await featuresOf(reconstructed)]
    // Means of the first quarter by hand: the network sees the images, in [0, 1].
    const quarter = Array.from({ length: 64 }, (_, i) => floats(images)[Math.floor(i / 8) * 16 + (i % 8)])
    const mean = quarter.reduce((a, b) => a + b, 0) / 64
    expect(real.rows(0, 1)[0]).toBeCloseTo((mean + 1) / 2, 5)
    const wanted = compareFeatureSets(real, fake, { seed: 3, fitBias: false })
    const { reconstruction } = await usual()
    expect(reconstruction!.frechet).toBeCloseTo(wanted.frechet, 6)
    expect(reconstruction!.kid.mean).toBeCloseTo(wanted.kid.mean, 6)
    expect(reconstruction).toMatchObject({ precision: wanted.precision, recall: wanted.recall })
  })

  it('compares samples, classes as often as there, with all images', async () => {
    const labels = Array.from({ length: 11 }, (_, i) => source.label(Math.floor((i * source.count) / 11)))
    for (const label of [0, 1]) {
      const there = Array.from({ length: source.count }, (_, i) => source.label(i)).filter((l) => l === label)
      const here = labels.filter((l) => l === label)
      expect(Math.abs(here.length / 11 - there.length / source.count)).toBeLessThan(1 / 11)
    }
    const [generator, codec] = [run.generator(11), run.codec(11)]
    const z0 = await generator.generate({
      facts: labels.map((label) => ({ label })),
      seed: 3,
      sampler: latentSampler(run.config),
      guidance,
    })
    const samples = await codec.decode(z0, 4, decoderSampler(run.config))
    await Promise.all([generator.dispose(), codec.dispose()])
    const all = await readImages(
      source,
      Array.from({ length: source.count }, (_, i) => i),
    )
    const wanted = compareFeatureSets(await featuresOf(all), await featuresOf(samples), {
      seed: 3,
      fitBias: false,
    })
    const { generation } = await usual()
    expect(generation!.frechet).toBeCloseTo(wanted.frechet, 6)
    expect(generation!.kid.mean).toBeCloseTo(wanted.kid.mean, 6)
    expect(generation).toMatchObject({ precision: wanted.precision, recall: wanted.recall })
  })

  it.each([
    ['variant.decoder=mse', { decoderSampler: 'none, one prediction', guidance: 1.5 }],
    ['sampler.generator=prior', { decoderSampler: 'ddim, 2 steps', guidance: 1 }],
  ])('says of %s what has no say in it', async (setting, expected) => {
    await trainTiny(setting, tinyConfigOf(setting))
    const options = {
      ...{ features, samples: 11, seed: 3, guidance, fitBias: false },
      ...{ reconstructs: true },
    }
    const quality = await measureQuality(openRun(runDir(setting), runtime), source, {
      ...options,
      generates: true,
    })
    expect(quality.protocol).toMatchObject(expected)
  })

  it('asks for guidance only where there are classes, and then says where it acts', async () => {
    expect((await usual()).protocol).toMatchObject({ guidance: 1.5, guidanceLogSnr: [-4, 4] })
    const plain = await measure({ guidance: { ...guidance, scale: 1 } })
    expect(plain.protocol.guidance).toBe(1)
    expect(plain.protocol).not.toHaveProperty('guidanceLogSnr')
  })

  it('draws and rates without classes where the base model never saw one', async () => {
    const [whole, own] = [openRun(runDir('measured'), runtime), runDir('no classes')]
    await trainTiny('no classes', tinyConfigOf('base.labelDropout=1'))
    const blind = openRun(own, runtime)
    // Its class embeddings are as they were drawn: rates that used them would differ.
    const asked = { count: 5, seed: 0 }
    const rate = await baseRate(blind, runtime, source, asked)
    const unlabelled = { ...source, label: () => -1 }
    expect(await baseRate(blind, runtime, unlabelled, asked)).toEqual(rate)
    expect(await baseRate(whole, runtime, unlabelled, asked)).not.toEqual(
      await baseRate(whole, runtime, source, asked),
    )
  })

  it('generates nothing where there is nothing that generates, and takes no more images than there are', async () => {
    const { generation, reconstruction, protocol } = await measure({ generates: false, samples: 1000 })
    expect(generation).toBeNull()
    expect(reconstruction).toMatchObject({ realCount: source.count, fakeCount: source.count })
    expect(protocol.reconstructionsOf).toBe(`${source.count} images of ${source.name}`)
  })
})

describe('measureQuality with models of the hub', () => {
  // Seen as colours: images by their means, the classes' names as red and cyan, all other texts as [1, 2, 3].
  const { importer } = fakeTransformers({ captions: { discs: [1, 0, 0], stripes: [0, 1, 1] } })
  const hub = { importer, features: 'hub:fake/net' }
  const positions = () => evenly(11, source.count)
  /** 100·cos of originals at 2×2 and a colour for each, by hand. */
  const scoresOf = async (colourOf: (index: number) => readonly number[]): Promise<number[]> => {
    const network = await openHubNetwork('fake/net', { importer })
    const means = await network.features(await source.read(positions()), side)
    return positions().map((index, i) => {
      const [a, b] = [[...means.subarray(3 * i, 3 * i + 3)], colourOf(index)]
      const dot = a.reduce((sum, v, c) => sum + v * b[c], 0)
      return (100 * dot) / (Math.hypot(...a) * Math.hypot(...b))
    })
  }
  const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length

  it('measures by such a network, and leaves CLIP out where nobody asks', async () => {
    const quality = await measure(hub)
    expectFinite(quality.reconstruction!)
    expect(quality.protocol.network).toMatch(/^FD-fake\/net: 3 features \(token 0 of last_hidden_state\)/)
    expect(quality).not.toHaveProperty('clip')
  })

  it('scores reconstructions by captions, samples by class names, and originals beside both', async () => {
    const { clip } = await measure({ ...hub, clip: 'fake/clip' })
    const { reconstructions, originals, samples, originalsByClass, protocol } = clip!
    for (const score of [reconstructions, originals, samples, originalsByClass]) {
      expect(score!.count).toBe(11)
      expect(Math.abs(score!.mean)).toBeLessThanOrEqual(100)
      expect(score!.error).toBeGreaterThan(0)
    }
    const byCaption = await scoresOf(() => [1, 2, 3])
    expect(originals!.mean).toBeCloseTo(mean(byCaption), 4)
    const squares = byCaption.map((v) => (v - mean(byCaption)) ** 2)
    expect(originals!.error).toBeCloseTo(Math.sqrt(mean(squares) / 10), 4)
    const byClass = await scoresOf((i) =>
      source.classes[source.label(i)] === 'discs' ? [1, 0, 0] : [0, 1, 1],
    )
    expect(originalsByClass!.mean).toBeCloseTo(mean(byClass), 4)
    expect(protocol).toEqual({
      model: expect.stringMatching(
        /^fake\/clip \(revision main, fp32, transformers\.js 9\.9\.9\), whole images/,
      ),
      score: '100·cos of image and text, not cut at 0; mean ± standard error over images',
      captions: `captions of ${source.name}: all 11`,
      prompts: 'the class name alone: all 11',
    })
    const inParts = await measure({ ...hub, clip: 'fake/clip', atOnce: 3 })
    expect(inParts.clip).toEqual(clip)
  })

  it('skips what has no text, and says so', async () => {
    const some: ImageSource = { ...source, caption: (i) => (i === 0 ? source.caption(i) : ' ') }
    const options = { ...hub, clip: true, samples: 11, seed: 3, guidance, fitBias: false } as const
    const { clip } = await measureQuality(run, some, { ...options, reconstructs: true, generates: false })
    expect(clip!.reconstructions!.count).toBe(1)
    expect(clip!.originals!.count).toBe(1)
    expect(clip).toMatchObject({ samples: null, originalsByClass: null })
    expect(clip!.protocol).toMatchObject({
      captions: `captions of ${source.name}: 1 of 11, the others have none`,
      prompts: 'nothing is generated',
    })
    const none: ImageSource = { ...source, caption: () => '' }
    const classesOnly = await measureQuality(run, none, { ...options, reconstructs: true, generates: true })
    expect(classesOnly.clip).toMatchObject({ reconstructions: null, originals: null, samples: { count: 11 } })
    expect(classesOnly.clip!.protocol.captions).toBe(
      `${source.name} has no captions: reconstructions are not scored`,
    )
    await expect(
      measureQuality(run, none, { ...options, reconstructs: true, generates: false }),
    ).rejects.toThrow(
      `clip: ${source.name} has no captions, and there are no samples of named classes, so nothing says what images should show; use data with captions (docs/data.md)`,
    )
  })

  it('prints the scores with their protocol', () => {
    const score = (value: number): ClipScore => ({ mean: value, error: 0.125, count: 7 })
    const quality: Quality = {
      protocol: {
        network: 'FD-test: 3 features',
        quantiser: 'q',
        latentSampler: 'l',
        decoderSampler: 'd',
        guidance: 1,
      },
      reconstruction: null,
      generation: null,
      clip: {
        protocol: { model: 'fake/clip', score: 's', captions: 'c', prompts: 'p' },
        reconstructions: score(28),
        originals: score(30.5),
        samples: null,
        originalsByClass: null,
      },
    }
    const text = evaluationText(null, quality)
    expect(text).toContain('CLIP reconstructions by captions  28.00 ± 0.13 (7), originals 30.50 ± 0.13 (7)')
    expect(text).not.toContain('samples by class')
    expect(text).toContain('CLIP model: fake/clip')
  })
})
