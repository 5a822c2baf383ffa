/** @file The frozen stage 1 in use: pictures to clean latents, noisy latents to pictures. Always the averaged weights. */
import { type SamplerConfig, samplerSteps } from '../diffusion/sampler.ts'
import { alphaOf, sigmaOf } from '../diffusion/schedule.ts'
import { float32, floats, scalar } from '../host/tensor.ts'
import type { Program } from '../ir/program.ts'
import type { ModelConfig } from '../models/config.ts'
import { decoderStep, type StepInputs, zClean } from '../models/unifiedLatents.ts'
import type { Executable, Runtime } from '../runtime/runtime.ts'
import { traceFrozen, type Weights } from '../train/step.ts'
import { batchOf, inBatches } from './programs.ts'
import { batchNoise, decoderSchedule, imageShape, latentShape } from './stage1.ts'

/** Encoder and decoder ready to run. */
export interface Codec {
  /** Pictures [N, 3, H, W] in [−1, 1] → clean latents [N, c, h, w]. */
  encode(images: Float32Array): Promise<Float32Array>
  /** Adds the encoder's fixed noise: z_0 = α_0·z + σ_0·ε, ε from (seed, example). */
  addNoise(z: Float32Array, seed: number): Float32Array
  /** Noisy latents z_0 [N, c, h, w] → pictures in [−1, 1], noise from (seed, example). */
  decode(z0: Float32Array, seed: number, sampler: SamplerConfig): Promise<Float32Array>
  dispose(): Promise<void>
}

/** The input types of one sampler step. */
export const stepSpecs = (
  shape: readonly number[],
): Record<keyof StepInputs, { shape: readonly number[] }> => ({
  xT: { shape },
  eps: { shape },
  logSnr: { shape: [shape[0]!] },
  keep: { shape: [] },
  clean: { shape: [] },
  noise: { shape: [] },
})

/** A program that is compiled when it is first run: who only encodes does not hold the decoder's packed weights. */
const compiledOnUse = (runtime: Runtime, program: () => Program): Pick<Executable, 'run' | 'dispose'> => {
  let compiled: Promise<Executable> | undefined
  return {
    run: async (feeds) => {
      compiled ??= runtime.compile(program())
      return (await compiled).run(feeds)
    },
    dispose: async () => (await compiled)?.dispose(),
  }
}

/**
 * The codec for batches of B; encoder and decoder are compiled when they are first used.
 * @param weights the averaged stage-1 weights
 */
export const createCodec = (runtime: Runtime, config: ModelConfig, weights: Weights, B: number): Codec => {
  const [images, latents] = [imageShape(config, B), latentShape(config, B)]
  const encoder = compiledOnUse(runtime, () =>
    traceFrozen('encode', weights, { x: { shape: images } }, (lookUp, { x }) => ({
      z: zClean(config, lookUp, x!),
    })),
  )
  const specs = { z0: { shape: latents }, ...stepSpecs(images) }
  const decoder = compiledOnUse(runtime, () =>
    traceFrozen('decode', weights, specs, (lookUp, { z0, ...step }) => ({
      x: decoderStep(config, lookUp, z0!, step as unknown as StepInputs),
    })),
  )
  const pixels = 3 * config.size ** 2
  const latentSize = latents.slice(1).reduce((n, d) => n * d, 1)

  const decodeBatch = async (z0: Float32Array, first: number, seed: number, sampler: SamplerConfig) => {
    const z = batchOf(z0, latents, first)
    let xT = batchNoise(images, seed, 'decode', first)
    for (const [i, step] of samplerSteps(decoderSchedule(config), sampler, 'clean').entries()) {
      const eps = step.noise === 0 ? xT : batchNoise(images, seed, `decode/${i}`, first)
      const logSnr = float32([B], new Float32Array(B).fill(step.logSnr))
      const feeds = {
        z0: z,
        xT,
        eps,
        logSnr,
        keep: scalar(step.keep),
        clean: scalar(step.clean),
        noise: scalar(step.noise),
      }
      xT = (await decoder.run(feeds)).x!
    }
    return floats(xT)
  }

  return {
    encode: (x) =>
      inBatches(x.length / pixels, B, async (first) =>
        floats((await encoder.run({ x: batchOf(x, images, first) })).z!),
      ),
    addNoise: (z, seed) => {
      const count = z.length / latentSize
      const eps = floats(batchNoise([count, latentSize], seed, 'z0', 0))
      const [alpha, sigma] = [alphaOf(config.latent.logSnr0), sigmaOf(config.latent.logSnr0)]
      return z.map((value, i) => alpha * value + sigma * eps[i]!)
    },
    decode: (z0, seed, sampler) =>
      inBatches(z0.length / latentSize, B, (first) => decodeBatch(z0, first, seed, sampler)),
    dispose: async () => {
      await encoder.dispose()
      await decoder.dispose()
    },
  }
}
