/** @file The rate of latents by the base model, where it has a closed form: a base that predicts nothing. */
import { describe, expect, it } from 'vitest'
import { examplesOf, float32, zeros } from '../../src/engine/host/tensor.ts'
import { initialParams } from '../../src/engine/nn/params.ts'
import { NodeRuntime } from '../../src/engine/runtime/node/runtime.ts'
import { baseNatsOf, ownNatsOf } from '../../src/method/evaluate.ts'
import {
  imageShape,
  latentShape,
  normal,
  randomParams,
  stage1Spec,
  stage2Spec,
  tinyConfig,
  withVariant,
} from './support.ts'

const { channels, logSnr0, logSnr1 } = tinyConfig.latent
const elements = channels * (tinyConfig.size / tinyConfig.latent.downsample) ** 2
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x))
const softplus = (x: number): number => Math.log1p(Math.exp(x))

/** ½∫s(λ)² dλ over the schedule: what a base that predicts v = 0 pays for a latent of zeros, per element. */
const integral = (softplus(logSnr0) - sigmoid(logSnr0) - softplus(logSnr1) + sigmoid(logSnr1)) / 2
/** ½∫s(λ)·s(−λ) dλ: what it pays more for each unit of z². */
const perSquare = (sigmoid(logSnr0) - sigmoid(logSnr1)) / 2
/** KL[N(αz, σ²) ‖ N(0, 1)] at λ(1), per element. */
const terminal = (z: number): number => (sigmoid(logSnr1) * (z * z - 1) + softplus(logSnr1)) / 2

describe('ownNatsOf', () => {
  it('is −½·Σ ln(1 + σ_z²·e^λ(0)) of the variance that the encoder predicts, and 0 of a fixed one', async () => {
    const B = 3
    const runtime = new NodeRuntime({ threads: 1 })
    const model = withVariant({ variance: 'learned' })
    const own = { ...randomParams(stage1Spec(model)) }
    // The last layer's bias alone decides: ln σ_z² = bias − λ(0) for the second half of the channels.
    const raw = [-2, 0, 1.5, 3]
    const { shape } = own['encoder.out.weight']
    own['encoder.out.weight'] = zeros(shape)
    own['encoder.out.bias'] = float32([2 * channels, 1, 1], [0, 0, 0, 0, ...raw])
    const images = normal('images', imageShape(model, B), 0.5)
    const set = {
      count: B,
      read: async (first: number, n: number) => examplesOf(images, first, n),
    }
    const positions = elements / channels
    const wanted = -0.5 * positions * raw.reduce((sum, value) => sum + Math.log1p(Math.exp(value)), 0)
    for (const nats of await ownNatsOf(runtime, model, own, set, 2)) expect(nats / wanted).toBeCloseTo(1, 5)
    const plain = randomParams(stage1Spec(tinyConfig))
    expect(await ownNatsOf(runtime, tinyConfig, plain, set, 2)).toEqual([0, 0, 0])
  })
})

describe('baseNatsOf', () => {
  const weights = initialParams(stage2Spec(tinyConfig), 1) // its last layer starts at zero
  const rate = (z: number, count: number, draws: number, batch: number) =>
    baseNatsOf(
      new NodeRuntime({ threads: 1 }),
      tinyConfig,
      weights,
      {
        encode: async (_, n) => float32(latentShape(tinyConfig, n), new Float32Array(n * elements).fill(z)),
        facts: Array.from({ length: count }, (_, i) => ({ label: (i % 4) - 1 })),
      },
      { draws, batch, seed: 3 },
    )

  it.each([0, 1.5])('is the unweighted ELBO and the terminal term for z = %d', async (z) => {
    const nats = await rate(z, 64, 40, 32)
    const mean = nats.reduce((a, b) => a + b, 0) / nats.length / elements
    // Times are stratified over the batch, so that 40·64 draws leave an error of a few per cent at most.
    expect(mean / (integral + perSquare * z * z + terminal(z))).toBeCloseTo(1, 1.5)
  })

  it('does not depend on the padding of the last batch', async () => {
    const [whole, odd] = [await rate(1, 8, 1, 4), await rate(1, 7, 1, 4)]
    expect(odd).toHaveLength(7)
    expect(odd).toEqual(whole.slice(0, 7))
  })
})
