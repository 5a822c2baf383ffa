/** @file Generating images with a trained run. */
import type { HostTensor } from '../engine/host/tensor.ts'
import { imageOf } from '../method/config.ts'
import type { SamplerConfig } from '../method/diffusion/sampler.ts'
import type { GenerationRequest } from '../method/generator.ts'
import { batchFor } from '../method/programs.ts'
import type { OpenedRun } from './openRun.ts'

/** Generates one image for each of the request's facts: [N, 3, H, W] in [−1, 1], noise from (seed, position). */
export const sample = async (
  run: OpenedRun,
  request: GenerationRequest & { readonly decoder: SamplerConfig },
): Promise<HostTensor> => {
  const batch = batchFor(request.facts.length, imageOf(run.model))
  const generator = run.generator(batch)
  const z0 = await generator.generate(request)
  await generator.dispose()
  const codec = run.codec(batch)
  const images = await codec.decode(z0, request.seed, request.decoder)
  await codec.dispose()
  return images
}
