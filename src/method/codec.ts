/** @file The frozen stage 1 in use: images to clean latents, noisy latents to images. Always the averaged weights. */

import { floats, type HostTensor, zeros } from '../engine/host/tensor.ts'
import type { Runtime } from '../engine/runtime/runtime.ts'
import { traceFrozen, type Weights } from '../train/step.ts'
import { runChain, stepSpecs } from './chain.ts'
import { type SamplerConfig, samplerSteps } from './diffusion/sampler.ts'
import { alphaOf, sigmaOf } from './diffusion/schedule.ts'
import type { ModelConfig } from './networks/config.ts'
import { batchOf, compiledOnUse, inBatches } from './programs.ts'
import { batchNoise, decoderSchedule, imageShape, latentShape } from './stage1.ts'
import { decoderStep, pixelsOf, type StepInputs, zClean } from './unifiedLatents.ts'

/** Encoder and decoder ready to run. Examples are numbered from `first` (0 when absent), so that parts of a set draw on. */
export interface Codec {
  /** Images [N, 3, H, W] in [−1, 1] → clean latents [N, c, h, w]; a learned variance draws by (seed, example). */
  encode(images: Float32Array, seed?: number, first?: number): Promise<Float32Array>
  /** Adds the encoder's fixed noise: z_0 = α_0·z + σ_0·ε, ε from (seed, example). Pixels get none. */
  addNoise(z: Float32Array, seed: number, first?: number): Float32Array
  /**
   * Noisy latents z_0 [N, c, h, w] → images in [−1, 1], noise from (seed, example). Latents that are pixels come as
   * they are, and a decoder that predicts at once takes one step (`variant`).
   */
  decode(z0: Float32Array, seed: number, sampler: SamplerConfig, first?: number): Promise<Float32Array>
  dispose(): Promise<void>
}

/**
 * The codec for batches of B; encoder and decoder are compiled when they are first used.
 * @param weights the averaged stage-1 weights
 */
export const createCodec = (runtime: Runtime, config: ModelConfig, weights: Weights, B: number): Codec => {
  const [images, latents] = [imageShape(config, B), latentShape(config, B)]
  const { variance, encoder: encoderKind, decoder: decoderKind } = config.variant
  const encoder = compiledOnUse(runtime, () =>
    traceFrozen(
      'encode',
      weights,
      { x: { shape: images }, zDraw: { shape: latents } },
      (lookUp, { x, zDraw }) => ({
        z: zClean(config, lookUp, x!, zDraw),
      }),
    ),
  )
  const pixels = compiledOnUse(runtime, () =>
    traceFrozen('pixels', {}, { z: { shape: latents } }, (_, { z }) => ({ x: pixelsOf(config, z!) })),
  )
  const specs = { z0: { shape: latents }, ...stepSpecs(images) }
  const decoder = compiledOnUse(runtime, () =>
    traceFrozen('decode', weights, specs, (lookUp, { z0, ...step }) => ({
      x: decoderStep(config, lookUp, z0!, step as unknown as StepInputs),
    })),
  )
  const imageSize = 3 * config.size ** 2
  const latentSize = latents.slice(1).reduce((n, d) => n * d, 1)

  const decodeBatch = async (z: HostTensor, first: number, seed: number, sampler: SamplerConfig) => {
    if (encoderKind === 'pixels') return floats((await pixels.run({ z })).x!)
    const atOnce = decoderKind === 'mse'
    const chain = atOnce ? { ...sampler, steps: 1 } : sampler
    const x = await runChain(
      samplerSteps(decoderSchedule(config), chain, 'clean'),
      images,
      { seed, name: 'decode', first },
      async (step) => (await decoder.run({ z0: z, ...step })).x!,
      atOnce ? zeros(images) : undefined,
    )
    return floats(x)
  }

  return {
    encode: (x, seed = 0, first = 0) =>
      inBatches(x.length / imageSize, B, async (from) => {
        const given = { x: batchOf(x, images, from) }
        const zDraw = variance === 'learned' ? batchNoise(latents, seed, 'zDraw', first + from) : undefined
        return floats((await encoder.run(zDraw === undefined ? given : { ...given, zDraw })).z!)
      }),
    addNoise: (z, seed, first = 0) => {
      if (encoderKind === 'pixels') return z.slice()
      const count = z.length / latentSize
      const eps = floats(batchNoise([count, latentSize], seed, 'z0', first))
      const [alpha, sigma] = [alphaOf(config.latent.logSnr0), sigmaOf(config.latent.logSnr0)]
      return z.map((value, i) => alpha * value + sigma * eps[i]!)
    },
    decode: (z0, seed, sampler, first = 0) =>
      inBatches(z0.length / latentSize, B, (from) =>
        decodeBatch(batchOf(z0, latents, from), first + from, seed, sampler),
      ),
    dispose: async () => {
      await encoder.dispose()
      await decoder.dispose()
      await pixels.dispose()
    },
  }
}
