/** @file Generating images with a trained run. */
import { float32, type HostTensor } from '../engine/host/tensor.ts'
import type { Guidance, SamplerConfig } from '../method/diffusion/sampler.ts'
import { batchFor } from '../method/programs.ts'
import { imageShape } from '../method/stage1.ts'
import type { OpenedRun } from './openRun.ts'

/** Generates one image per label: [N, 3, H, W] in [−1, 1], noise from (seed, position). */
export const sample = async (
  run: OpenedRun,
  labels: Int32Array,
  options: {
    readonly seed: number
    readonly sampler: SamplerConfig
    readonly guidance: Guidance
    readonly decoder: SamplerConfig
  },
): Promise<HostTensor> => {
  const batch = batchFor(labels.length, run.model.size)
  const generator = run.generator(batch)
  const z0 = await generator.generate(labels, options.seed, options.sampler, options.guidance)
  await generator.dispose()
  const codec = run.codec(batch)
  const images = await codec.decode(z0, options.seed, options.decoder)
  await codec.dispose()
  return float32(imageShape(run.model, labels.length), images)
}
