/** @file Stage 1: encoder, prior and decoder trained together, with the encoder's warm-up and reconstructions at intervals. */
import type { Config, TrainConfig } from '../config/schema.ts'
import { examplesOf } from '../engine/host/tensor.ts'
import { autoencoderFeeds, autoencoderObjective } from '../method/autoencoder.ts'
import { imageOf } from '../method/config.ts'
import { numberedNoise } from '../method/diffusion/draws.ts'
import { batchShape, bitsPerPosition, positionsOf } from '../method/networks/shapes.ts'
import { partsOfVariant } from '../method/variants.ts'
import { reconstructShown, stepImages } from './images.ts'
import { meanOf, type OpenStage, rmsOf, type Stage, type StageContext } from './stage.ts'

/**
 * Share of the rate's gradient that reaches the encoder: a floor while held, then a linear ramp to 1. Without it a
 * short run collapses, because the prior charges for bits before the decoder can read them (docs/method.md).
 */
export const encoderShareAt = (
  {
    encoderHold,
    encoderRamp,
    encoderFloor,
    steps,
  }: Pick<TrainConfig['stage1'], 'encoderHold' | 'encoderRamp' | 'encoderFloor' | 'steps'>,
  step: number,
): number => {
  const progress = step / steps
  if (progress < encoderHold) return encoderFloor
  if (progress >= encoderHold + encoderRamp) return 1
  return encoderFloor + ((1 - encoderFloor) * (progress - encoderHold)) / encoderRamp
}

/** A latent this small carries next to nothing past its fixed noise of σ₀ ≈ 0.08. */
const collapsedRms = 0.1

const collapseWarning = (rms: number, bits: number, step: number): string =>
  `stage1 step ${step}: the latent is collapsing (rms ${rms.toFixed(3)}, ${bits.toFixed(4)} bits/pixel); ` +
  `raise decoder.lossFactor or train.stage1.encoderHold`

const open = async (context: StageContext): Promise<OpenStage> => {
  const { config, model } = context
  const { stage1, batch } = config.train
  const images = stepImages(context, batch)
  const image = imageOf(model)
  return {
    feeds: async (step, part) => {
      const x = await images.read(step, part)
      const draw = { seed: config.seed, purpose: 'training', step, part } as const
      return autoencoderFeeds(model, x, draw, encoderShareAt(stage1, step))
    },
    metrics: ({ priorNats, terminalNats, decoderNats, latentRms }) => ({
      bitsPerPixel: bitsPerPosition(image, meanOf(priorNats) + meanOf(terminalNats)),
      decoderNatsPerPixel: meanOf(decoderNats) / positionsOf(image),
      latentRms: rmsOf(latentRms),
    }),
    warning: ({ latentRms = 0, bitsPerPixel = 0 }, step) =>
      latentRms < collapsedRms ? collapseWarning(latentRms, bitsPerPixel, step) : null,
    inspect: async (weights, step) => ({
      psnr: await reconstructShown(context, weights, { stage: 'stage1', step, name: 'reconstructions' }),
    }),
    close: () => images.close(),
  }
}

const applies = ({ variant }: Config): boolean => partsOfVariant(variant).space.isLearned

/** Stage 1. */
export const autoencoder: Stage = {
  name: 'stage1',
  flag: '1',
  networks: ['encoder', 'prior', 'decoder'],
  applies,
  trains: (config) => applies(config) && config.train.stage1.from === null,
  settings: ({ train }) => ({
    steps: train.stage1.steps,
    batch: train.batch,
    lr: train.lr,
    emaDecay: train.stage1.emaDecay,
  }),
  objective: autoencoderObjective,
  madeUpFeeds: (model, batch, seed) => {
    const x = numberedNoise(batchShape(imageOf(model), batch), 0, 'data', 0)
    return (step, part) => {
      const own = examplesOf(x, part.first, part.count)
      return autoencoderFeeds(model, own, { seed, purpose: 'training', step, part }, 1)
    }
  },
  curves: [
    { title: 'Latent rate', metric: 'bitsPerPixel', unit: 'bits/pixel' },
    { title: 'Decoder loss', metric: 'decoderNatsPerPixel', unit: 'nats/pixel', logY: true },
    { title: 'Validation PSNR while training', metric: 'psnr', unit: 'dB' },
    { title: 'Latent size', metric: 'latentRms', unit: 'root mean square' },
  ],
  open,
}
