/** @file Generating images with a trained run. */
import { type HostTensor, stacked } from '../engine/host/tensor.ts'
import { imageOf } from '../method/config.ts'
import type { SamplerConfig } from '../method/diffusion/sampler.ts'
import type { GenerationRequest } from '../method/generator.ts'
import { batchFor, type ImageSet, partsOf } from '../method/programs.ts'
import type { OpenedRun } from './openRun.ts'

/** What to generate, and how its latents are decoded. Samples are numbered from 0. */
export type SampleRequest = Omit<GenerationRequest, 'first' | 'given'> & {
  readonly decoder: SamplerConfig
  /** Clips of which frames are given, as many as `counts` says of each; nothing when absent. */
  readonly from?: { readonly clips: ImageSet; readonly counts: readonly number[] } | undefined
}

/**
 * Generates one image for each of the request's facts, a part in memory at a time: the number of its first and
 * [n, 3, H, W], or clips [n, 3, T, H, W], in [−1, 1], noise from (seed, number).
 */
export async function* sampleParts(
  run: OpenedRun,
  { facts, decoder, from, ...request }: SampleRequest,
): AsyncGenerator<{ readonly first: number; readonly images: HostTensor }> {
  const batch = batchFor(facts.length, imageOf(run.model))
  const [generator, codec] = [run.generator(batch), run.codec(batch)]
  let held: readonly { dispose(): Promise<void> }[] = [generator, codec]
  try {
    for (const { first, n } of partsOf(facts.length, batch)) {
      const given =
        from && (await codec.give(await from.clips.read(first, n), from.counts.slice(first, first + n)))
      const own = facts.slice(first, first + n)
      const z0 = await generator.generate({ ...request, facts: own, first, given })
      if (first + n === facts.length) {
        // Where one part is all, the two networks are not in memory together.
        held = [codec]
        await generator.dispose()
      }
      yield { first, images: await codec.decode(z0, request.seed, decoder, first, given) }
    }
  } finally {
    for (const network of held) await network.dispose()
  }
}

/** The same in one tensor [N, 3, H, W]. */
export const sample = async (run: OpenedRun, request: SampleRequest): Promise<HostTensor> => {
  const parts: HostTensor[] = []
  for await (const { images } of sampleParts(run, request)) parts.push(images)
  return stacked(parts)
}
