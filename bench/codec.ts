/** @file The frozen stage 1 in use as cases: encoder, decoder sampling, reconstruction. */
import { type Config, modelConfig } from '../src/config/schema.ts'
import type { HostTensor } from '../src/engine/host/tensor.ts'
import { autoencoderObjective } from '../src/method/autoencoder.ts'

import { createCodec, tracedDecoderStep, tracedEncoder } from '../src/method/codec.ts'
import { imageOf, latentOf, partConfig } from '../src/method/config.ts'
import { numberedNoise } from '../src/method/diffusion/draws.ts'
import { samplerSteps } from '../src/method/diffusion/sampler.ts'
import { batchShape } from '../src/method/networks/shapes.ts'
import { decoderSchedule } from '../src/method/objective/schedules.ts'

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
      const { spec } = autoencoderObjective(model, 1)
      const params = drawnParams(spec)
      const codec = createCodec(runtime, model, params, B)
      const [images, latents] = [batchShape(imageOf(model), B), batchShape(latentOf(model), B)]
      const x = drawnImages(model, B)
      const z0 = normal(latents, 'z0')
      const output = async (): Promise<HostTensor> => {
        if (kind === 'decode') return codec.decode(z0, seed, sampler)
        const z = await codec.encode(x)
        return kind === 'encode' ? z : codec.decode(codec.addNoise(z, seed), seed, sampler)
      }
      handOver({
        params,
        inputs: {
          x,
          z0,
          z0Eps: numberedNoise(latents, seed, 'z0', 0),
          xTEps: numberedNoise(images, seed, 'decode', 0),
        },
        expected: { output: await output() },
        info: {
          kind,
          config: model,
          steps: samplerSteps(decoderSchedule(partConfig(model)), sampler, 'clean'),
        },
      })
      const once = kind === 'decode' ? 0 : gflopsOf(tracedEncoder(model, params, B).program.outputs)
      const each = kind === 'encode' ? 0 : gflopsOf(tracedDecoderStep(model, params, B).program.outputs)
      return { gflops: once + steps * each, run: output }
    },
  }
}
