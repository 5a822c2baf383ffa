/** @file Sets of any size through programs of a fixed batch: what fills no batch is encoded, decoded and drawn as one by one. */
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { examplesOf, floats, type HostTensor } from '../../src/engine/host/tensor.ts'
import { NodeRuntime } from '../../src/engine/runtime/node/runtime.ts'
import { type Codec, createCodec } from '../../src/method/codec.ts'
import type { SamplerConfig } from '../../src/method/diffusion/sampler.ts'
import { createGenerator, type Generator } from '../../src/method/generator.ts'
import {
  imageShape,
  latentShape,
  normal,
  randomParams,
  relativeError,
  stage1Spec,
  stage2Spec,
  withVariant,
} from './support.ts'

const runtime = new NodeRuntime({ threads: 1 })
const model = withVariant({ variance: 'learned' })
const [stage1, stage2] = [randomParams(stage1Spec(model)), randomParams(stage2Spec(model))]
const sampler: SamplerConfig = { kind: 'ancestral', steps: 2, variance: 0.5 }
const guidance = { scale: 2, logSnrMin: -4, logSnrMax: 4 }

const [mostImages, mostBatch] = [7, 4]
const images = normal('images', imageShape(model, mostImages), 0.5)
const latents = normal('latents', latentShape(model, mostImages))
const facts = [0, 1, 2, null, 2, -1, 0].map((label) => (label === null ? null : { label }))

/** Codec and generator by batch. */
const made = Array.from({ length: mostBatch }, (_, i): readonly [Codec, Generator] => [
  createCodec(runtime, model, stage1, i + 1),
  createGenerator(runtime, model, stage2, i + 1),
])
afterAll(() => Promise.all(made.flat().map((each) => each.dispose())))

/** What becomes of the first `count` examples. */
const kinds: Readonly<Record<string, (count: number, batch: number) => Promise<HostTensor>>> = {
  encoded: (count, batch) => made[batch - 1][0].encode(examplesOf(images, 0, count), 3),
  decoded: (count, batch) => made[batch - 1][0].decode(examplesOf(latents, 0, count), 3, sampler),
  drawn: (count, batch) =>
    made[batch - 1][1].generate({ facts: facts.slice(0, count), seed: 3, sampler, guidance }),
}

describe.each(Object.keys(kinds))('%s', (kind) => {
  it('in any batch, any number of examples is the beginning of all, one by one', async () => {
    const of = kinds[kind]
    const all = await of(mostImages, 1)
    expect(floats(all).every(Number.isFinite)).toBe(true)
    const count = fc.integer({ min: 1, max: mostImages })
    await fc.assert(
      fc.asyncProperty(count, fc.integer({ min: 1, max: mostBatch }), async (n, batch) => {
        const some = await of(n, batch)
        expect(some.shape).toEqual([n, ...all.shape.slice(1)])
        expect(relativeError(some, examplesOf(all, 0, n))).toBeLessThan(1e-5)
      }),
      { numRuns: 15 },
    )
  })
})
