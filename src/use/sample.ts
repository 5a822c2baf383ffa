/** @file Generating images with a trained run. */
import { alone, type Collective, ownShare } from '../distributed/collective.ts'
import { framesFrom, framesUntil, inTime } from '../engine/host/clips.ts'
import { countOf, type HostTensor, stacked } from '../engine/host/tensor.ts'
import { imageOf } from '../method/config.ts'
import type { SamplerConfig } from '../method/diffusion/sampler.ts'
import type { GenerationRequest } from '../method/generator.ts'
import { batchFor, type ImageSet, partsOf } from '../method/programs.ts'
import type { OpenedRun } from './openRun.ts'

/** How far clips go on: by windows of the run's length, of which each is given the end of the one before. */
export interface Windows {
  /** Frames of every clip. */
  readonly frames: number
  /** Frames that a window is given of the one before, 1 to all but one. */
  readonly overlap: number
}

/** What to generate, and how its latents are decoded. Samples are numbered from 0. */
export type SampleRequest = Omit<GenerationRequest, 'first' | 'given'> & {
  readonly decoder: SamplerConfig
  /** Clips of which frames are given, as many as `counts` says of each; nothing when absent. */
  readonly from?: { readonly clips: ImageSet; readonly counts: readonly number[] } | undefined
  /** Clips as long as the run's when absent. */
  readonly windows?: Windows | undefined
}

/** Windows after the first. */
const furtherWindows = ({ model: { frames } }: OpenedRun, windows: Windows | undefined): number =>
  windows === undefined ? 0 : Math.ceil(Math.max(0, windows.frames - frames) / (frames - windows.overlap))

/** Clips that begin with the last frames of others, as many as are given of each; what comes after those is not read. */
const endOf = (clips: HostTensor, overlap: number): [clips: HostTensor, counts: number[]] => {
  const T = clips.shape[2]
  const begun = inTime([framesFrom(clips, T - overlap), framesFrom(clips, overlap)])
  return [begun, Array.from({ length: countOf(clips) }, () => overlap)]
}

/**
 * Generates one image for each of the request's facts, a part in memory at a time: the number of its first and
 * [n, 3, H, W], or clips [n, 3, T, H, W], in [−1, 1]. Noise is drawn by (seed, number), that of further windows by numbers
 * after those of all samples.
 * @param together processes that share the parts: each yields its own
 */
export async function* sampleParts(
  run: OpenedRun,
  { facts, decoder, from, windows, ...request }: SampleRequest,
  together: Collective = alone,
): AsyncGenerator<{ readonly first: number; readonly images: HostTensor }> {
  const batch = batchFor(facts.length, imageOf(run.model))
  const [generator, codec] = [run.generator(batch), run.codec(batch)]
  let held: readonly { dispose(): Promise<void> }[] = [generator, codec]
  const further = furtherWindows(run, windows)
  try {
    const parts = partsOf(facts.length, batch)
    const own = ownShare(together, parts.length).map((i) => parts[i])
    for (const { first, n } of own) {
      const made: HostTensor[] = []
      let given =
        from && (await codec.give(await from.clips.read(first, n), from.counts.slice(first, first + n)))
      for (let window = 0; window <= further; window++) {
        const number = window * facts.length + first
        const z0 = await generator.generate({
          ...request,
          facts: facts.slice(first, first + n),
          first: number,
          given,
        })
        if (first === own.at(-1)?.first && window === further) {
          // Where one part is all, the two networks are not in memory together.
          held = [codec]
          await generator.dispose()
        }
        const decoded = await codec.decode(z0, request.seed, decoder, number, given)
        made.push(window === 0 ? decoded : framesFrom(decoded, windows!.overlap))
        if (window < further) given = await codec.give(...endOf(decoded, windows!.overlap))
      }
      yield { first, images: windows === undefined ? made[0] : framesUntil(inTime(made), windows.frames) }
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
