/** @file Stage 1: encoder, prior and decoder trained together, with the encoder's warm-up and reconstructions at intervals. */
import { join } from 'node:path'
import type { Config, TrainConfig } from '../config/schema.ts'
import { batchPlan, openBatchReader } from '../data/batches.ts'
import { countOf, examplesOf, type HostTensor } from '../engine/host/tensor.ts'
import { writeFileAtomic } from '../files/atomic.ts'
import { autoencoderFeeds, autoencoderObjective } from '../method/autoencoder.ts'
import { createCodec } from '../method/codec.ts'
import { imageOf } from '../method/config.ts'
import { numberedNoise } from '../method/diffusion/draws.ts'
import { batchShape, positionsOf } from '../method/networks/shapes.ts'
import { batchFor } from '../method/programs.ts'
import { partsOfVariant } from '../method/variants.ts'
import { mean } from '../metrics/mean.ts'
import { psnr } from '../metrics/psnr.ts'
import { pairGrid } from '../report/grid.ts'
import type { Weights } from '../train/frozen.ts'
import { decoderSampler } from '../use/samplers.ts'
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

/** Reconstructs the shown images, draws them below the originals and returns their PSNR. */
const reconstructShown = async (
  { config, model, runtime, dir, shown, listen }: StageContext,
  weights: Weights,
  step: number,
): Promise<number> => {
  const codec = createCodec(runtime, model, weights, batchFor(countOf(shown), imageOf(model)))
  const z0 = codec.addNoise(await codec.encode(shown), config.seed)
  const reconstructed = await codec.decode(z0, config.seed, decoderSampler(config))
  await codec.dispose()
  const meanPsnr = mean(psnr(shown, reconstructed))
  listen({ event: 'validation', stage: 'stage1', step, psnr: meanPsnr })
  const path = join(dir, 'samples', `reconstructions-${String(step).padStart(9, '0')}.png`)
  writeFileAtomic(path, await pairGrid(shown, reconstructed, 8, { scale: 2 }))
  return meanPsnr
}

/** The images of a step, read once for all its parts. */
const stepImages = ({ config, source }: StageContext, batch: number) => {
  const { flip, balance } = config.data
  const plan = batchPlan(source, { seed: config.seed, balance, flip })
  const reader = openBatchReader({ source, plan, batch })
  let last: { readonly step: number; readonly images: Promise<HostTensor> } | undefined
  return {
    read: (step: number): Promise<HostTensor> => {
      if (last?.step !== step) last = { step, images: reader.next(step) }
      return last.images
    },
    close: () => reader.close(),
  }
}

const open = async (context: StageContext): Promise<OpenStage> => {
  const { config, model } = context
  const { stage1, batch } = config.train
  const images = stepImages(context, batch)
  const pixels = positionsOf(imageOf(model))
  return {
    feeds: async (step, part) => {
      const x = examplesOf(await images.read(step), part.first, part.count)
      const draw = { seed: config.seed, purpose: 'training', step, part } as const
      return autoencoderFeeds(model, x, draw, encoderShareAt(stage1, step))
    },
    metrics: ({ priorNats, terminalNats, decoderNats, latentRms }) => ({
      bitsPerPixel: (meanOf(priorNats!) + meanOf(terminalNats!)) / (pixels * Math.LN2),
      decoderNatsPerPixel: meanOf(decoderNats!) / pixels,
      latentRms: rmsOf(latentRms),
    }),
    warning: ({ latentRms = 0, bitsPerPixel = 0 }, step) =>
      latentRms < collapsedRms ? collapseWarning(latentRms, bitsPerPixel, step) : null,
    inspect: async (weights, step) => ({ psnr: await reconstructShown(context, weights, step) }),
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
