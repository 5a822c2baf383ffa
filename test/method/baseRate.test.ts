/** @file The rate of latents by the base model, where it has a closed form: a base that predicts nothing. */
import { describe, expect, it } from 'vitest'
import { float32 } from '../../src/engine/host/tensor.ts'
import { initialParams } from '../../src/engine/nn/params.ts'
import { NodeRuntime } from '../../src/engine/runtime/node/runtime.ts'
import { baseNatsOf } from '../../src/method/evaluate.ts'
import { latentShape, stage2Spec, tinyConfig } from './support.ts'

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

describe('baseNatsOf', () => {
  const weights = initialParams(stage2Spec(tinyConfig), 1) // its last layer starts at zero
  const rate = (z: number, count: number, draws: number, batch: number) =>
    baseNatsOf(
      new NodeRuntime({ threads: 1 }),
      tinyConfig,
      weights,
      {
        z: float32(latentShape(tinyConfig, count), new Float32Array(count * elements).fill(z)),
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
