/** @file The frozen stage 1 in use: images to clean latents, noisy latents to images. Always the averaged weights. */

import {
  countOf,
  examplesOf,
  float32,
  floats,
  type HostTensor,
  paddedExamples,
  sizeOf,
  stacked,
  zeros,
} from '../engine/host/tensor.ts'
import type { Value } from '../engine/ir/graph.ts'
import { depthToSpace, spaceToDepth } from '../engine/ops/conv.ts'
import { constant } from '../engine/ops/core.ts'
import type { Runtime } from '../engine/runtime/runtime.ts'
import { type FrozenProgram, traceFrozen, type Weights } from '../train/frozen.ts'
import { encoderNetwork } from './autoencoder.ts'
import {
  predicted,
  runChain,
  type StepInputs,
  stepInputs,
  stepUpdates,
  takeStep,
  type Watch,
} from './chain.ts'
import { imageOf, latentInUse, latentOf, type ModelConfig, partConfig } from './config.ts'
import { numberedNoise } from './diffusion/draws.ts'
import { type SamplerConfig, type Step, samplerSteps } from './diffusion/sampler.ts'
import { alphaOf, sigmaOf } from './diffusion/schedule.ts'
import { batchOfGiven, type GivenTensors, givenAmong, givenClips, givenInputs, withGiven } from './given.ts'
import { type Decoder, decoderNetwork } from './networks/decoder.ts'
import { batchShape } from './networks/shapes.ts'
import { drawnLatent } from './objective/parts.ts'
import { decoderSchedule, filled } from './objective/schedules.ts'
import { clipPixels } from './objective/spaces.ts'
import { compiledOnUse, inBatches } from './programs.ts'
import { partsOfVariant } from './variants.ts'

/** Encoder and decoder ready to run: images [N, 3, H, W], or clips [N, 3, T, H, W], in [−1, 1]. Examples are numbered from `first` (0 when absent), so that parts of a set draw on. */
export interface Codec {
  /** Images [N, 3, H, W] in [−1, 1] → clean latents [N, c, h, w]; a learned variance draws by (seed, example). */
  encode(images: HostTensor, seed?: number, first?: number): Promise<HostTensor>
  /** Adds the encoder's fixed noise: z_0 = α_0·z + σ_0·ε, ε from (seed, example). Pixels get none. */
  addNoise(z: HostTensor, seed: number, first?: number): HostTensor
  /**
   * Noisy latents z_0 [N, c, h, w] → images in [−1, 1], noise from (seed, example). Latents that are pixels come as
   * they are, and a decoder that predicts at once takes one step (`variant`).
   * @param given what is given of clips, which comes back as it is; nothing when absent
   * @param watch sees every step
   */
  decode(
    z0: HostTensor,
    seed: number,
    sampler: SamplerConfig,
    first?: number,
    given?: GivenTensors,
    watch?: Watch,
  ): Promise<HostTensor>
  /** What the frames that are given of clips [N, 3, T, H, W], as many as `counts` says of each, are to base and decoder. */
  give(clips: HostTensor, counts: readonly number[]): Promise<GivenTensors>
  dispose(): Promise<void>
}

/** The codec of pixel diffusion: patches to channels and back. */
const pixelCodec = (runtime: Runtime, model: ModelConfig, B: number): Codec => {
  const { downsample } = model.latent
  const rearranged = (name: string, shape: readonly number[], body: typeof depthToSpace) =>
    compiledOnUse(runtime, () =>
      traceFrozen(name, { weights: {}, networks: {}, inputs: { given: { shape } } }, (_, { given }) => ({
        made: body(given, downsample),
      })),
    )
  const toLatents = rearranged('encode', batchShape(imageOf(model), B), spaceToDepth)
  const toImages = rearranged('pixels', batchShape(latentOf(model), B), depthToSpace)
  const all = (program: typeof toLatents, given: HostTensor): Promise<HostTensor> =>
    inBatches(
      countOf(given),
      B,
      async (from) => (await program.run({ given: paddedExamples(given, from, B) })).made,
    )
  return {
    encode: (images) => all(toLatents, images),
    addNoise: (z) => z,
    decode: (z) => all(toImages, z),
    give: async () => ({}),
    dispose: async () => {
      await toLatents.dispose()
      await toImages.dispose()
    },
  }
}

/** The stream of an encoder's own variance where latents are kept: training draws from another. */
export const encodingStream = 'encode'

/** The streams of the encoder's fixed noise and of the decoder's. */
export const fixedNoiseStream = 'z0'
export const decodingStream = 'decode'

/** The steps of a decoder; one that predicts at once takes one (`variant`), from zeros. */
export const decodingSteps = (model: ModelConfig, sampler: SamplerConfig): readonly Step[] =>
  samplerSteps(
    decoderSchedule(partConfig(model)),
    partsOfVariant(model.variant).distortion.isOneStep ? { ...sampler, steps: 1 } : sampler,
    'clean',
  )

/** z_0 = α_0·z + σ_0·ε (section 3.1). @param eps as many numbers as z */
export const noisyLatent = (z: HostTensor, eps: HostTensor, logSnr0: number): HostTensor => {
  const [alpha, sigma, noise] = [alphaOf(logSnr0), sigmaOf(logSnr0), floats(eps)]
  return float32(
    z.shape,
    floats(z).map((value, i) => alpha * value + sigma * noise[i]),
  )
}

/** One step of the decoder towards the image, from z_0 [B, c, h, w]; x̂ is clipped to the pixels' range [−1, 1]. */
export const decoderStep = (
  model: ModelConfig,
  decoder: Decoder,
  z0: Value,
  step: StepInputs & Partial<Record<keyof GivenTensors, Value>>,
): ReturnType<typeof takeStep> => {
  const { xT, logSnr } = step
  const given = givenAmong(step)
  const z0LogSnr = constant(filled(1, latentInUse(model).logSnr0)) // the same for all of the batch
  return takeStep(step, clipPixels(predicted(step, decoder({ xT, z0, given, logSnr, z0LogSnr }))))
}

/** The encoder as a program: images `x` and the noise `zDraw` of a learned variance to clean latents `z`. */
export const tracedEncoder = (
  model: ModelConfig,
  weights: Weights,
  B: number,
): FrozenProgram<'x' | 'zDraw', 'z'> => {
  const inputs = {
    x: { shape: batchShape(imageOf(model), B) },
    zDraw: { shape: batchShape(latentOf(model), B) },
  }
  const networks = { encoder: encoderNetwork(model) }
  return traceFrozen('encode', { weights, networks, inputs }, ({ encoder }, { x, zDraw }) => ({
    z: drawnLatent(encoder(x), zDraw),
  }))
}

/** A step of the decoder as a program, given noisy latents `z0`. */
export const tracedDecoderStep = (
  model: ModelConfig,
  weights: Weights,
  B: number,
): FrozenProgram<'z0' | keyof StepInputs | keyof GivenTensors, 'x' | 'xHat'> => {
  const inputs = {
    z0: { shape: batchShape(latentOf(model), B) },
    ...stepInputs(batchShape(imageOf(model), B)),
    ...givenInputs(model, B),
  }
  const networks = { decoder: decoderNetwork(partConfig(model).decoder) }
  return traceFrozen('decode', { weights, networks, inputs }, ({ decoder }, { z0, ...step }) =>
    decoderStep(model, decoder, z0, step),
  )
}

/** The codec of a trained encoder and decoder. */
const learnedCodec = (runtime: Runtime, model: ModelConfig, weights: Weights, B: number): Codec => {
  const [images, latents] = [batchShape(imageOf(model), B), batchShape(latentOf(model), B)]
  const { isOneStep } = partsOfVariant(model.variant).distortion
  const draws = model.variant.variance === 'learned'
  const encoder = compiledOnUse(runtime, () => tracedEncoder(model, weights, B))
  const decoder = compiledOnUse(runtime, () => tracedDecoderStep(model, weights, B), stepUpdates)
  const encodeAll = (x: HostTensor, seed = 0, first = 0): Promise<HostTensor> =>
    inBatches(countOf(x), B, async (from) => {
      const images = { x: paddedExamples(x, from, B) }
      const zDraw = draws ? { zDraw: numberedNoise(latents, seed, encodingStream, first + from) } : {}
      return (await encoder.run({ ...images, ...zDraw })).z
    })
  return {
    encode: encodeAll,
    give: async (clips, counts) => {
      const given = givenClips(clips, counts)
      // Of a clip that is given nothing the latent is not read.
      const some = [...counts.keys()].filter((n) => counts[n] > 0)
      const givenZ = zeros(batchShape(latentOf(model), counts.length))
      if (some.length === 0) return { ...given, givenZ }
      const encoded = await encodeAll(stacked(some.map((n) => examplesOf(given.givenFrames, n, 1))))
      const each = sizeOf(givenZ.shape.slice(1))
      for (const [i, n] of some.entries())
        floats(givenZ).set(floats(encoded).subarray(i * each, (i + 1) * each), n * each)
      return { ...given, givenZ }
    },
    addNoise: (z, seed, first = 0) =>
      noisyLatent(z, numberedNoise(z.shape, seed, fixedNoiseStream, first), latentInUse(model).logSnr0),
    decode: (z0, seed, sampler, first = 0, given, watch) =>
      inBatches(countOf(z0), B, async (from) => {
        const own = batchOfGiven(model, given, from, B)
        const made = await runChain(
          runtime,
          {
            steps: decodingSteps(model, sampler),
            shape: images,
            seed,
            name: decodingStream,
            first: first + from,
            start: isOneStep ? zeros(images) : undefined,
            watch,
          },
          { z0: paddedExamples(z0, from, B), ...own },
          () => ({ program: decoder, feeds: {} }),
        )
        return withGiven(made, own)
      }),
    dispose: async () => {
      await encoder.dispose()
      await decoder.dispose()
    },
  }
}

/**
 * The codec for batches of B; encoder and decoder are compiled when they are first used.
 * @param weights averaged weights of encoder and decoder; not read where latents are pixels
 */
export const createCodec = (runtime: Runtime, model: ModelConfig, weights: Weights, B: number): Codec =>
  partsOfVariant(model.variant).space.isLearned
    ? learnedCodec(runtime, model, weights, B)
    : pixelCodec(runtime, model, B)
