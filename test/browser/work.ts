/** @file What Node and a page are compared by: a training step of a tiny model, and a trained model in use. */
import { fillNormal, streamKey } from '../../src/engine/host/random.ts'
import {
  adamW,
  applySettings,
  autoencoderFeeds,
  autoencoderObjective,
  compileStep,
  examplesOf,
  float32,
  floats,
  type HostTensor,
  initialParams,
  initialState,
  modelConfig,
  placeState,
  presetByName,
  type Runtime,
  type Shape,
  sizeOf,
  smokeForm,
  traceStep,
  trainLoop,
} from '../../src/index.ts'
import type { OpenedModel } from '../../src/model/model.ts'
import { readState } from '../../src/train/state.ts'

const drawn = (name: string, shape: Shape, scale = 1): HostTensor => {
  const data = new Float32Array(sizeOf(shape))
  fillNormal(data, streamKey(3, name))
  return float32(
    shape,
    data.map((x) => scale * x),
  )
}

/** Images in [−1, 1] that no data set has. [N, 3, size, size] */
const pictures = (count: number, size: number): HostTensor => {
  const { shape, data } = drawn('pictures', [count, 3, size, size], 0.4)
  return float32(shape, (data as Float32Array).map(Math.tanh))
}

/** Numbers by name. */
export type Numbers = Readonly<Record<string, readonly number[]>>

const listed = (tensors: Readonly<Record<string, HostTensor>>): Numbers =>
  Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, Array.from(floats(tensor))]))

/** The state after a step of stage 1 of a tiny model, by copy and path, its loss and its gradient norm. */
export const trained = async (runtime: Runtime): Promise<Numbers> => {
  const [steps, batch] = [1, 2]
  const settings = ['data.size=16', 'decoder.dropout=0', 'encoder.channels=[8, 16]', 'prior.width=32']
  const model = modelConfig(applySettings(smokeForm(presetByName('study')), settings), 0)
  const objective = autoencoderObjective(model, batch)
  // A small epsilon would make a sign of every gradient, and of its rounding where there is next to none.
  const optimizer = adamW({ beta1: 0.9, beta2: 0.99, epsilon: 1e-3, weightDecay: 0.1 })
  const traced = traceStep(objective, { optimizer, clipNorm: 1 }, 1)
  const params = Object.fromEntries(
    Object.entries(initialParams(objective.spec, 0)).map(([path, { shape }]) => [
      path,
      drawn(path, shape, 0.1),
    ]),
  )
  const trainStep = await compileStep(runtime, traced)
  const state = await placeState(runtime, traced, initialState(traced.layout, params))
  const images = pictures(batch, model.size)
  const reported: number[] = []
  await trainLoop({
    ...{ trainStep, state, batch, from: 0, steps, emaDecay: 0.9, shouldStop: () => false },
    rate: { lr: 1e-3, warmupSteps: 1, finalFraction: 1 },
    feeds: async (step, part) => {
      const own = examplesOf(images, part.first, part.count)
      return autoencoderFeeds(model, own, { seed: 0, purpose: 'training', step, part }, 1)
    },
    onStep: async ({ loss, gradNorm }) => {
      reported.push(loss, gradNorm)
    },
  })
  const tensors = await readState(traced.layout, state)
  await trainStep.dispose()
  await state.dispose()
  return { ...listed(tensors), reported }
}

/** The latent of an image, its decoding in two steps, and a guided sample in two steps. */
export const used = async (opened: OpenedModel): Promise<Numbers> => {
  const B = 1
  const [codec, generator] = [opened.codec(B), opened.generator(B)]
  const twoSteps = { kind: 'ddim', steps: 2, variance: 0 } as const
  const z = await codec.encode(pictures(B, opened.model.size))
  const x = await codec.decode(codec.addNoise(z, 5), 5, twoSteps)
  const generated = await generator.generate({
    ...{
      facts: [{ label: 1 }],
      seed: 7,
      sampler: twoSteps,
      guidance: { scale: 1.5, logSnrMin: -100, logSnrMax: 100 },
    },
  })
  await codec.dispose()
  await generator.dispose()
  return listed({ z, x, generated })
}
