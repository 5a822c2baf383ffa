/** @file What stages that learn from images share: the images of a step, and reconstructions shown at intervals. */
import { type BatchPlan, batchPlan, openBatchReader } from '../data/batches.ts'
import { type Part, partsOf } from '../engine/host/part.ts'
import { countOf, examplesOf, type HostTensor } from '../engine/host/tensor.ts'
import { createCodec } from '../method/codec.ts'
import { imageOf } from '../method/config.ts'
import { batchFor } from '../method/programs.ts'
import { mean } from '../metrics/mean.ts'
import { psnr } from '../metrics/psnr.ts'
import { decoderSampler } from '../model/samplers.ts'
import type { Weights } from '../train/frozen.ts'
import type { StageContext } from './stage.ts'

/** The order in which a run trains on its images or clips, and how it shows them. @param seed of the order */
export const trainingPlan = (
  { config, source }: Pick<StageContext, 'config' | 'source'>,
  seed: number,
): BatchPlan => {
  const { flip, balance } = config.data
  return batchPlan(source, { seed, balance, flip, imageShare: config.video?.imageShare })
}

/** Held-out images that are reconstructed at intervals, at most. */
export const shownWhileTraining = 32

/** Reconstructs the shown images, draws them below the originals and returns their PSNR. @param at stage, step, and the name of the drawing */
export const reconstructShown = async (
  { config, model, leaving, store, shown, listen }: StageContext,
  weights: Weights,
  { stage, step, name }: Readonly<Record<'stage' | 'name', string>> & { readonly step: number },
): Promise<number> => {
  const codec = createCodec(leaving, model, weights, batchFor(countOf(shown), imageOf(model)))
  const z0 = codec.addNoise(await codec.encode(shown), config.seed)
  const reconstructed = await codec.decode(z0, config.seed, decoderSampler(config))
  await codec.dispose()
  const meanPsnr = mean(psnr(shown, reconstructed))
  listen({ event: 'validation', stage, step, psnr: meanPsnr })
  await store.draw(`${name}-${String(step).padStart(9, '0')}`, shown, reconstructed)
  return meanPsnr
}

/** Images [B, 3, H, W], or clips [B, 3, T, H, W], of parts of steps. */
export interface StepImages {
  read(step: number, part: Part): Promise<HostTensor>
  close(): Promise<void>
}

/** The images of a step that this process works through, read once for all their parts. @param seed of their order; the run's when absent */
export const stepImages = (
  context: Pick<StageContext, 'config' | 'source' | 'together'>,
  batch: number,
  seed: number = context.config.seed,
): StepImages => {
  const { source, together } = context
  const own = partsOf(batch, together.size)[together.rank]
  const reader = openBatchReader({ source, plan: trainingPlan(context, seed), part: own })
  let last: { readonly step: number; readonly images: Promise<HostTensor> } | undefined
  return {
    read: async (step, { first, count }) => {
      if (last?.step !== step) last = { step, images: reader.next(step) }
      return examplesOf(await last.images, first - own.first, count)
    },
    close: () => reader.close(),
  }
}
