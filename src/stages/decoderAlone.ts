/**
 * @file The decoder trained on by itself, its encoder frozen, between stages 1 and 2: the latents and their rate stay as
 * they are, and every step costs what a decoder costs. `train.stages.stage1decoder` asks for it.
 */
import type { Config } from '../config/schema.ts'
import type { Part } from '../engine/host/part.ts'
import { examplesOf, type HostTensor } from '../engine/host/tensor.ts'
import { mul, reduceSum } from '../engine/ops/core.ts'
import { imageOf, latentInUse, latentOf, type ModelConfig, partConfig } from '../method/config.ts'
import { type Draw, drawnNoise, numberedNoise } from '../method/diffusion/draws.ts'
import { diffuse, levelOf } from '../method/diffusion/process.ts'
import { dropoutFeeds, dropoutInputs } from '../method/dropout.ts'
import { batchShape, positionsOf } from '../method/networks/shapes.ts'
import { filled } from '../method/objective/schedules.ts'
import { batchFor } from '../method/programs.ts'
import { partsOfVariant } from '../method/variants.ts'
import { networkWeights } from '../model/networks.ts'
import { type Objective, objectiveOf } from '../train/objective.ts'
import { openRun } from '../use/openRun.ts'
import { encoderKey } from './encoderKey.ts'
import { reconstructShown, stepImages } from './images.ts'
import {
  type Feeds,
  meanOf,
  type OpenStage,
  type Stage,
  type StageContext,
  type StageSettings,
} from './stage.ts'

const name = 'stage1decoder'

const settingsOf = ({ train }: Config): StageSettings | undefined => train.stages?.[name]

/** L_x of images whose clean latents are given (Eq. 4); the loss is in nats per pixel. */
const objective = (model: ModelConfig, B: number): Objective => {
  const [image, latent] = [batchShape(imageOf(model), B), batchShape(latentOf(model), B)]
  return objectiveOf({
    name,
    networks: { decoder: partsOfVariant(model.variant).distortion.network(partConfig(model)) },
    inputs: {
      x: { shape: image },
      xEps: { shape: image },
      z: { shape: latent },
      z0Eps: { shape: latent },
      z0LogSnr: { shape: [B] },
      xLogSnr: { shape: [B] },
      xWeight: { shape: [B] },
      ...dropoutInputs,
    },
    trace: ({ decoder }, { seed, firstExample: first, z, z0Eps, ...inputs }) => {
      const z0 = diffuse(z, z0Eps, levelOf(inputs.z0LogSnr, 4)) // z_0 = α_0·z + σ_0·ε
      const nats = decoder(z0, { ...inputs, dropout: { seed, first } }) // [B]
      return {
        loss: mul(reduceSum(nats), 1 / (B * positionsOf(imageOf(model)))),
        report: { decoderNats: nats },
      }
    },
  })
}

/** @param x images and @param z their clean latents */
const feedsOf = (model: ModelConfig, x: HostTensor, z: HostTensor, draw: Draw): Feeds => ({
  x,
  z,
  xEps: drawnNoise(draw, 'xEps', x.shape.slice(1)),
  z0Eps: drawnNoise(draw, 'z0Eps', z.shape.slice(1)),
  z0LogSnr: filled(draw.part.count, latentInUse(model).logSnr0),
  ...partsOfVariant(model.variant).distortion.levels(partConfig(model), draw),
  ...dropoutFeeds(draw),
})

const open = async (context: StageContext): Promise<OpenStage> => {
  const { config, model, runtime, dir } = context
  const { batch } = settingsOf(config)!
  const run = openRun(dir, runtime, context.warn)
  const codec = run.codec(batchFor(batch, imageOf(model)))
  const images = stepImages(context, batch)
  const pixels = positionsOf(imageOf(model))
  return {
    trainedOn: encoderKey(run),
    start: networkWeights(run.autoencoder(), 'decoder'),
    feeds: async (step, part: Part) => {
      const x = await images.read(step, part)
      const z = await codec.encode(x, config.seed, step * batch + part.first)
      return feedsOf(model, x, z, { seed: config.seed, purpose: 'training', step, part })
    },
    metrics: ({ decoderNats }) => ({ decoderNatsPerPixel: meanOf(decoderNats) / pixels }),
    warning: () => null,
    inspect: async (weights, step) => ({
      psnr: await reconstructShown(
        context,
        { ...run.autoencoder(), ...weights },
        { stage: name, step, name: 'decoder' },
      ),
    }),
    close: async () => {
      await images.close()
      await codec.dispose()
    },
  }
}

const applies = (config: Config): boolean =>
  settingsOf(config) !== undefined && partsOfVariant(config.variant).space.isLearned

/** The decoder alone. */
export const decoderAlone: Stage = {
  name,
  flag: 'decoder',
  networks: ['decoder'],
  applies,
  trains: (config) => applies(config) && config.train.stage1.from === null,
  settings: (config) => settingsOf(config)!,
  objective,
  madeUpFeeds: (model, batch, seed) => {
    const x = numberedNoise(batchShape(imageOf(model), batch), 0, 'data', 0)
    const z = numberedNoise(batchShape(latentOf(model), batch), 0, 'latent', 0)
    return (step, part: Part) => {
      const own = (given: HostTensor): HostTensor => examplesOf(given, part.first, part.count)
      return feedsOf(model, own(x), own(z), { seed, purpose: 'training', step, part })
    }
  },
  curves: [
    { title: 'Decoder loss', metric: 'decoderNatsPerPixel', unit: 'nats/pixel', logY: true },
    { title: 'Validation PSNR while training', metric: 'psnr', unit: 'dB' },
  ],
  open,
}
