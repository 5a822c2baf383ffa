/**
 * @file A batch in parts: what is drawn, fed and reported for the examples of a part is what the whole batch gives them.
 */
import { describe, expect, it } from 'vitest'
import { floats, type HostTensor, int32, sizeOf } from '../../src/engine/host/tensor.ts'
import type { Executable } from '../../src/engine/runtime/runtime.ts'
import { autoencoderFeeds, autoencoderObjective, measuredFeeds } from '../../src/method/autoencoder.ts'
import { baseFeeds, baseObjective, measuredBaseFeeds } from '../../src/method/baseModel.ts'
import type { Facts } from '../../src/method/conditions/condition.ts'
import type { ModelConfig } from '../../src/method/config.ts'
import { type Draw, drawnNoise, drawnTimes, drawnUniforms } from '../../src/method/diffusion/draws.ts'
import type { VariantConfig } from '../../src/method/variants.ts'
import type { Objective } from '../../src/train/objective.ts'
import {
  compiled,
  imageShape,
  latentShape,
  normal,
  randomParams,
  relativeError,
  type Tensors,
  tinyConfig,
  withVariant,
} from './support.ts'

const B = 7
const purposes = ['training', 'measuring'] as const
/** Sizes of parts. */
const cuts = [[7], [3, 4], [1, 6], [2, 3, 2], [1, 1, 1, 1, 1, 1, 1]]

const draw = (purpose: Draw['purpose'], of = B): Draw => ({
  seed: 5,
  purpose,
  step: 3,
  part: { first: 0, count: of, of },
})

/** The draws of the parts of a whole. */
const inParts = (whole: Draw, sizes: readonly number[]): Draw[] =>
  sizes.map((count, i) => ({
    ...whole,
    part: { ...whole.part, first: sizes.slice(0, i).reduce((a, b) => a + b, 0), count },
  }))

/** Examples of a part among those of the whole. */
const own = ({ shape, data, dtype }: HostTensor, { part }: Draw): HostTensor => {
  const each = sizeOf(shape.slice(1))
  const cut = data.slice(part.first * each, (part.first + part.count) * each)
  return { dtype, shape: [part.count, ...shape.slice(1)], data: cut }
}

describe.each(purposes)('draws for %s', (purpose) => {
  const kinds: Readonly<Record<string, (draw: Draw) => readonly number[]>> = {
    noise: (draw) => [...floats(drawnNoise(draw, 'name', [2, 3]))],
    uniforms: (draw) => drawnUniforms(draw, 'name'),
    times: (draw) => drawnTimes(draw, 'name'),
  }

  it.each(Object.keys(kinds))('%s of parts, joined, are those of the whole', (kind) => {
    const of = kinds[kind]
    const whole = of(draw(purpose))
    expect(new Set(whole).size).toBe(whole.length)
    for (const sizes of cuts) expect(inParts(draw(purpose), sizes).flatMap(of)).toEqual(whole)
  })

  it.each(Object.keys(kinds))('%s of another step, seed or purpose are others', (kind) => {
    const of = kinds[kind]
    const whole = draw(purpose)
    const [other] = purposes.filter((one) => one !== purpose)
    for (const change of [{ step: 4 }, { seed: 6 }, { purpose: other }]) {
      expect(of({ ...whole, ...change }).filter((v) => of(whole).includes(v))).toEqual([])
    }
  })
})

/** Expects parts to be fed what the whole is, example by example; scalars but the first example's number are the same. */
const expectFedAsWhole = (of: (draw: Draw) => Tensors, whole: Draw): void => {
  const expected = of(whole)
  for (const part of cuts.flatMap((sizes) => inParts(whole, sizes))) {
    const ofPart = Object.entries(expected).map(([name, tensor]) => {
      if (name === 'firstExample') return [name, int32([], [part.part.first])]
      return [name, tensor.shape.length === 0 ? tensor : own(tensor, part)]
    })
    expect(of(part)).toEqual(Object.fromEntries(ofPart))
  }
}

const images = normal('images', imageShape(tinyConfig, B), 0.5)
const latents = normal('latents', latentShape(tinyConfig, B))
const facts: readonly Facts[] = [0, 1, 2, -1, 2, 1, 0].map((label) => ({ label }))
const factsOf = ({ part }: Draw): Facts[] => facts.slice(part.first, part.first + part.count)

describe('feeds of parts are those of the whole', () => {
  it.each<Partial<VariantConfig>>([
    {},
    { variance: 'learned' },
    { priorBias: 1 },
    { prior: 'normal', klWeight: 0.1 },
    { decoder: 'mse' },
  ])('in stage 1: %j', (variant) => {
    const model = withVariant(variant)
    expectFedAsWhole((part) => autoencoderFeeds(model, own(images, part), part, 0.5), draw('training'))
    expectFedAsWhole((part) => measuredFeeds(model, own(images, part), part), draw('measuring'))
  })

  it.each([0, 0.5, 1])('in stage 2, a share of %d of the facts withheld', (labelDropout) => {
    const model: ModelConfig = { ...tinyConfig, base: { ...tinyConfig.base, labelDropout } }
    expectFedAsWhole((part) => baseFeeds(model, own(latents, part), factsOf(part), part), draw('training'))
    const measured = (part: Draw): Tensors =>
      measuredBaseFeeds(model, own(latents, part), factsOf(part), part)
    expectFedAsWhole(measured, draw('measuring'))
    const labels = (feeds: Tensors): number[] => Array.from(feeds.labels.data, Number)
    const told = [0, 1, 2, 3, 2, 1, 0]
    expect(labels(measured(draw('measuring')))).toEqual(told)
    // 3 is "no class". Which examples are told nothing is drawn, how many of 600 is known.
    const drawn = Array.from({ length: 100 }, (_, step) =>
      labels(baseFeeds(model, latents, facts, { ...draw('training'), step })),
    )
    const changed = drawn.flatMap((own) => own.filter((label, i) => label !== told[i]))
    expect(changed.every((label) => label === 3)).toBe(true)
    const deviation = Math.sqrt((labelDropout * (1 - labelDropout)) / 600)
    expect(Math.abs(changed.length / 600 - labelDropout)).toBeLessThanOrEqual(4 * deviation)
  })
})

describe('reports with dropout', () => {
  const of = 4
  const model: ModelConfig = {
    ...tinyConfig,
    decoder: { ...tinyConfig.decoder, dropout: 0.4 },
    base: { ...tinyConfig.base, dropout: 0.4 },
  }
  const stages: Readonly<
    Record<string, { objective: (B: number) => Objective; feeds: (draw: Draw) => Tensors; dropped: string }>
  > = {
    'stage 1': {
      objective: (B) => autoencoderObjective(model, B),
      feeds: (draw) => autoencoderFeeds(model, own(images, draw), draw, 1),
      dropped: 'decoderNats',
    },
    'stage 2': {
      objective: (B) => baseObjective(model, B),
      feeds: (draw) => baseFeeds(model, own(latents, draw), factsOf(draw), draw),
      dropped: 'baseNats',
    },
  }

  /** What a stage reports of each example, by a program for each size of part. */
  const reporter = ({ objective, feeds }: (typeof stages)[string]) => {
    const { spec } = objective(1)
    const params = randomParams(spec)
    const programs = new Map<number, Promise<Executable>>()
    const compile = (B: number): Promise<Executable> => {
      const { inputs, trace } = objective(B)
      return compiled(spec, inputs, (lookUp, all) => trace(lookUp, all).report)
    }
    return async (draw: Draw, changes: Tensors = {}): Promise<Tensors> => {
      const { count } = draw.part
      const executable = programs.get(count) ?? compile(count)
      programs.set(count, executable)
      const { latentRms: _, ...reported } = await (await executable).run({
        ...params,
        ...feeds(draw),
        ...changes,
      })
      return reported
    }
  }

  it.each(Object.keys(stages))('of parts of %s, joined, are those of the whole', async (name) => {
    const stage = stages[name]
    const report = reporter(stage)
    const whole = await report(draw('training', of))
    for (const sizes of [
      [1, 3],
      [2, 2],
      [3, 1],
      [1, 1, 2],
    ]) {
      for (const part of inParts(draw('training', of), sizes)) {
        const reported = await report(part)
        for (const [term, nats] of Object.entries(whole)) {
          expect([term, relativeError(reported[term], own(nats, part)) < 1e-5]).toEqual([term, true])
        }
      }
    }
    const [, last] = inParts(draw('training', of), [1, 3])
    const wrong: readonly Tensors[] = [{ firstExample: int32([], [0]) }, { seed: int32([], [4]) }]
    for (const feeds of wrong) {
      const reported = await report(last, feeds)
      expect(relativeError(reported[stage.dropped], own(whole[stage.dropped], last))).toBeGreaterThan(1e-3)
    }
  })
})
