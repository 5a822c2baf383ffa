/** @file Kept positions: they come back unchanged, the others do not notice an empty mask, and levels compose. */
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { float32, floats, type HostTensor } from '../../src/engine/host/tensor.ts'
import { NodeRuntime } from '../../src/engine/runtime/node/runtime.ts'
import type { ChainAt } from '../../src/method/chain.ts'
import { createCodec } from '../../src/method/codec.ts'
import { type SamplerConfig, samplerKinds } from '../../src/method/diffusion/sampler.ts'
import { alphaOf, sigmaOf } from '../../src/method/diffusion/schedule.ts'
import { createGenerator, type GeneratorKind } from '../../src/method/generator.ts'
import { type Kept, noisedFurther, withKept } from '../../src/method/kept.ts'
import {
  latentShape,
  normal,
  randomParams,
  relativeError,
  stage1Spec,
  stage2Spec,
  tinyConfig,
} from './support.ts'

const runtime = new NodeRuntime({ threads: 1 })
const [B, count] = [2, 3]
const generators = {
  base: createGenerator(runtime, tinyConfig, randomParams(stage2Spec(tinyConfig)), B),
  prior: createGenerator(runtime, tinyConfig, randomParams(stage1Spec(tinyConfig)), B, 'prior'),
}
afterAll(() => Promise.all(Object.values(generators).map((each) => each.dispose())))

const guidance = { scale: 2, logSnrMin: -4, logSnrMax: 4 }
const facts = [{ label: 0 }, { label: 2 }, null]
const z0 = normal('known', latentShape(tinyConfig, count))
const [, c, h, w] = z0.shape
const maskOf = (kept: (position: number) => boolean): HostTensor =>
  float32(
    [count, 1, h, w],
    Array.from({ length: count * h * w }, (_, i) => (kept(i) ? 1 : 0)),
  )
const drawn = (kind: GeneratorKind, sampler: SamplerConfig, kept?: Kept, seed = 1): Promise<HostTensor> =>
  generators[kind].generate({ facts, seed, sampler, guidance, kept })

/** Values at the positions that a mask keeps, or does not. */
const at = (z: HostTensor, mask: HostTensor, kept: 0 | 1): number[] =>
  [...floats(z)].filter((_, i) => {
    const n = Math.floor(i / (c * h * w))
    return floats(mask)[n * h * w + (i % (h * w))] === kept
  })

describe.each<GeneratorKind>(['base', 'prior'])('what the %s draws around kept positions', (kind) => {
  it.each(samplerKinds)('leaves them bit by bit as they were, by %s, and draws the others', async (name) => {
    const sampler = { kind: name, steps: 3, variance: 0.5 }
    const mask = maskOf((position) => position % 3 !== 0)
    const [one, other] = [
      await drawn(kind, sampler, { z0, mask }),
      await drawn(kind, sampler, { z0, mask }, 2),
    ]
    for (const z of [one, other]) expect(at(z, mask, 1)).toEqual(at(z0, mask, 1))
    expect(relativeError(at(one, mask, 0), at(other, mask, 0))).toBeGreaterThan(0.1)
    expect(relativeError(at(one, mask, 0), at(z0, mask, 0))).toBeGreaterThan(0.1)
  })

  const sampler: SamplerConfig = { kind: 'ancestral', steps: 3, variance: 0.5 }
  it('is what it draws alone where nothing is kept, and all that was given where everything is', async () => {
    expect(await drawn(kind, sampler, { z0, mask: maskOf(() => false) })).toEqual(await drawn(kind, sampler))
    expect(await drawn(kind, sampler, { z0, mask: maskOf(() => true) })).toEqual(z0)
  })

  it('depends on what is kept', async () => {
    const mask = maskOf((position) => position % 2 === 0)
    const other = normal('other', z0.shape)
    const [one, two] = [
      await drawn(kind, sampler, { z0, mask }),
      await drawn(kind, sampler, { z0: other, mask }),
    ]
    expect(relativeError(at(one, mask, 0), at(two, mask, 0))).toBeGreaterThan(1e-3)
  })

  it('refuses a mask of other positions', async () => {
    const mask = float32([count, 1, h, 1], new Float32Array(count * h).fill(1))
    await expect(drawn(kind, sampler, { z0, mask })).rejects.toThrow(
      `kept positions: a mask of shape [2,1,${h},1] for latents [2,${c},${h},${w}]; give one of shape [2,1,${h},${w}]`,
    )
  })
})

it('replaces whole positions, every channel of them', () => {
  const x = float32([2, 2, 1, 2], [1, 2, 3, 4, 5, 6, 7, 8])
  const known = float32([2, 2, 1, 2], [-1, -2, -3, -4, -5, -6, -7, -8])
  const mask = float32([2, 1, 1, 2], [1, 0, 0, 1])
  expect([...floats(withKept(x, known, mask))]).toEqual([-1, 2, -3, 4, 5, -6, 7, -8])
})

describe('noise added to latents that have some', () => {
  const levels = fc.tuple(
    fc.double({ min: -10, max: 8, noNaN: true }),
    fc.double({ min: 0, max: 8, noNaN: true }),
  )

  it('makes z_t of z_0: α_t of the clean latent and σ_t² of noise in all', () => {
    fc.assert(
      fc.property(levels, ([to, further]) => {
        const from = to + further
        const clean = float32([1, 1], [1])
        const [none, one] = [float32([1, 1], [0]), float32([1, 1], [1])]
        const scaled = (by: number): HostTensor => float32([1, 1], [by])
        const signal = floats(noisedFurther(scaled(alphaOf(from)), none, from, to))[0]
        const before = floats(noisedFurther(scaled(sigmaOf(from)), none, from, to))[0]
        const added = floats(noisedFurther(none, one, from, to))[0]
        expect(signal).toBeCloseTo(alphaOf(to) * floats(clean)[0], 5)
        expect(before ** 2 + added ** 2).toBeCloseTo(sigmaOf(to) ** 2, 5)
      }),
    )
  })

  it('adds nothing to go nowhere, and takes what is clean as without noise', () => {
    const [z, eps] = [normal('z', [1, 5]), normal('eps', [1, 5])]
    expect(relativeError(noisedFurther(z, eps, 3, 3), z)).toBeLessThan(1e-7)
    const expected = [...floats(z)].map((value, i) => alphaOf(-1) * value + sigmaOf(-1) * floats(eps)[i])
    expect(relativeError(noisedFurther(z, eps, Number.POSITIVE_INFINITY, -1), expected)).toBeLessThan(1e-7)
  })
})

describe('whoever watches a chain', () => {
  const sampler: SamplerConfig = { kind: 'ddim', steps: 3, variance: 0 }

  it('sees every step of every batch, with what was predicted', async () => {
    const seen: Pick<ChainAt, 'taken' | 'of' | 'first'>[] = []
    const last: HostTensor[] = []
    const codec = createCodec(runtime, tinyConfig, randomParams(stage1Spec(tinyConfig)), B)
    const images = await codec.decode(z0, 1, sampler, 0, undefined, async ({ taken, of, first, xHat }) => {
      seen.push({ taken, of, first })
      if (taken === of) last.push(await xHat())
    })
    await codec.dispose()
    const steps = (first: number) => [1, 2, 3].map((taken) => ({ taken, of: 3, first }))
    expect(seen).toEqual([...steps(0), ...steps(B)])
    // The decoder's chain ends with its last prediction.
    expect([...floats(images)]).toEqual(
      [...last.flatMap((part) => [...floats(part)])].slice(0, floats(images).length),
    )
  })

  it('ends it by throwing, and the next one runs as ever', async () => {
    const request = { facts, seed: 1, sampler, guidance }
    const stopped = generators.base.generate({
      ...request,
      watch: ({ taken }) => {
        if (taken === 2) throw new Error('enough')
      },
    })
    await expect(stopped).rejects.toThrow('enough')
    expect(await generators.base.generate(request)).toEqual(await drawn('base', sampler))
  })
})
