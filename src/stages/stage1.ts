/** @file Stage 1 of a run: batches of images, the encoder's warm-up, reconstructions at intervals. */
import { join } from 'node:path'
import type { TrainConfig } from '../config/schema.ts'
import { batchPlan, openBatchReader } from '../data/batches.ts'
import type { ImageSource } from '../data/images/source.ts'
import { writeFileAtomic } from '../files/atomic.ts'
import { createCodec } from '../method/codec.ts'
import type { ModelConfig } from '../method/networks/config.ts'
import { batchFor } from '../method/programs.ts'
import { imageShape, stage1Feeds, stage1Objective } from '../method/stage1.ts'
import { mean } from '../metrics/mean.ts'
import { psnr } from '../metrics/psnr.ts'
import { pairGrid } from '../report/grid.ts'
import { decoderSampler } from '../use/samplers.ts'
import { meanOf, runStage, type StageContext, type StagePlan, type StageResult } from './stage.ts'

/**
 * Share of the prior's gradient that reaches the encoder: a floor while held, then a linear ramp to 1. Without it a
 * short run collapses, because the prior charges for bits before the decoder can read them (method.md section 9).
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

/** Trains encoder, prior and decoder. @param shown validation images [N, 3, H, W] for grids and PSNR at intervals */
export const runStage1 = async (
  context: StageContext,
  model: ModelConfig,
  source: ImageSource,
  shown: Float32Array,
): Promise<StageResult> => {
  const { config, runtime, dir, listen } = context
  const { batch, stage1 } = config.train
  const pixels = config.data.size ** 2
  const { flip, balance } = config.data
  const reader = openBatchReader({
    source,
    plan: batchPlan(source, { seed: config.seed, balance, flip }),
    batch,
  })
  const plan: StagePlan = {
    objective: stage1Objective(model, batch),
    seed: config.seed,
    steps: stage1.steps,
    batch,
    lr: config.train.lr,
    emaDecay: stage1.emaDecay,
    feeds: async (step) => {
      const images = await reader.next(step)
      return stage1Feeds(model, images, config.seed, step, encoderShareAt(stage1, step))
    },
    figures: (outputs) => ({
      bitsPerPixel: (meanOf(outputs.priorNats!) + meanOf(outputs.terminalNats!)) / (pixels * Math.LN2),
      decoderNatsPerPixel: meanOf(outputs.decoderNats!) / pixels,
      latentRms: meanOf(outputs.latentRms!),
    }),
    warn: ({ latentRms, bitsPerPixel }, step) =>
      latentRms! < collapsedRms ? collapseWarning(latentRms!, bitsPerPixel!, step) : null,
    inspect: async (weights, step) => {
      const count = shown.length / (3 * pixels)
      const codec = createCodec(runtime, model, weights, batchFor(count, model.size))
      const z0 = codec.addNoise(await codec.encode(shown), config.seed)
      const reconstructed = await codec.decode(z0, config.seed, decoderSampler(config))
      await codec.dispose()
      const meanPsnr = mean(psnr(shown, reconstructed, count))
      listen({ event: 'validation', stage: 'stage1', step, psnr: meanPsnr })
      const path = join(dir, 'samples', `reconstructions-${String(step).padStart(9, '0')}.png`)
      const shape = imageShape(model, count)
      const original = { dtype: 'float32' as const, shape, data: shown }
      writeFileAtomic(path, await pairGrid(original, { ...original, data: reconstructed }, 8, { scale: 2 }))
      return { psnr: meanPsnr }
    },
  }
  try {
    return await runStage(context, plan)
  } finally {
    await reader.close()
  }
}
