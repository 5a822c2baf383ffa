/** @file The frozen stage 1 in use as cases: encoder, decoder sampling, reconstruction. */
import { type Config, modelConfig } from '../src/config/schema.ts'
import type { StepInputs } from '../src/method/chain.ts'

import { createCodec } from '../src/method/codec.ts'
import { samplerSteps } from '../src/method/diffusion/sampler.ts'
import { decoderSchedule } from '../src/method/objective/schedules.ts'
import { traceFrozen } from '../src/train/frozen.ts'

import { type Case, classes, drawnImages, drawnParams, gflopsOf, normal, seed } from './case.ts'

const sampledSteps = 16
const mostSampled = 16

export const codecCase = (kind: 'encode' | 'decode' | 'reconstruct', config: Config): Case => {
  const B = kind === 'decode' ? Math.min(mostSampled, config.train.batch) : config.train.batch
  const steps = kind === 'decode' ? sampledSteps : config.sampler.decoderSteps
  const title = {
    encode: `encoder, batch ${B}`,
    decode: `decoder sampling, ${steps} steps, batch ${B}`,
    reconstruct: `reconstruction, ${steps} steps, batch ${B}`,
  }[kind]
  return {
    name: `${kind}/${config.name}`,
    title: `${config.name} ${title}`,
    prepare: async (runtime, handOver) => {
      const model = modelConfig(config, classes)
      const sampler = { kind: 'ddim', steps, variance: 0 } as const
      const spec = stage1Spec(model)
      const params = drawnParams(spec)
      const codec = createCodec(runtime, model, params, B)
      const x = drawnImages(model, B)
      const z0 = normal(latentShape(model, B), 'z0')
      const output = async (): Promise<Float32Array> => {
        if (kind === 'decode') return codec.decode(z0.data as Float32Array, seed, sampler)
        const z = await codec.encode(x)
        return kind === 'encode' ? z : codec.decode(codec.addNoise(z, seed), seed, sampler)
      }
      const grid = latentGrid(model)
      const images = imageShape(model, B)
      handOver({
        params,
        inputs: {
          x: { dtype: 'float32', shape: images, data: x },
          z0,
          z0Eps: batchNoise(latentShape(model, B), seed, 'z0', 0),
          xTEps: batchNoise(images, seed, 'decode', 0),
        },
        expected: {
          output: {
            dtype: 'float32',
            shape: kind === 'encode' ? [B, model.latent.channels, grid, grid] : images,
            data: await output(),
          },
        },
        info: { kind, config: model, steps: samplerSteps(decoderSchedule(model), sampler, 'clean') },
      })
      const encoder = traceFrozen('encode', params, { x: { shape: images } }, (lookUp, inputs) => ({
        z: zClean(model, lookUp, inputs.x!),
      }))
      const specs = { z0: { shape: latentShape(model, B) }, ...stepSpecs(images) }
      const decoder = traceFrozen('decode', params, specs, (lookUp, { z0: z, ...step }) => ({
        x: decoderStep(model, lookUp, z!, step as unknown as StepInputs),
      }))
      const once = kind === 'decode' ? 0 : gflopsOf(encoder.outputs)
      return { gflops: once + (kind === 'encode' ? 0 : steps * gflopsOf(decoder.outputs)), run: output }
    },
  }
}
