/** @file Where a latent's bits are in clips: by position and channel of the latent frame that stands for each frame. */
import { clipSizes, clipsFrom, framesOf } from '../engine/host/clips.ts'
import { type HostTensor, stacked } from '../engine/host/tensor.ts'
import { writeClip } from './clip.ts'
import { rateTiles } from './rateMaps.ts'

/** Clips with what was measured of them. */
export interface ClipRateMapsInput {
  /** Originals and reconstructions, [N, 3, T, H, W] in [−1, 1]. */
  readonly clips: HostTensor
  readonly reconstructions: HostTensor
  /** Rate in nats where it falls, [N, c, t, h, w]. */
  readonly rateElements: Float64Array
  /** c, t, h, w; T is a multiple of t. */
  readonly latent: readonly [number, number, number, number]
}

/** The elements [N·T, c, h, w] of the latent frame that each of N·T frames belongs to. */
export const elementsByFrame = ({ clips, rateElements, latent }: ClipRateMapsInput): Float64Array => {
  const { clips: N, frames: T } = clipSizes(clips)
  const [c, t, h, w] = latent
  const grid = h * w
  const out = new Float64Array(N * T * c * grid)
  for (let n = 0; n < N; n++)
    for (let frame = 0; frame < T; frame++)
      for (let channel = 0; channel < c; channel++) {
        const from = ((n * c + channel) * t + Math.floor((frame * t) / T)) * grid
        out.set(rateElements.subarray(from, from + grid), ((n * T + frame) * c + channel) * grid)
      }
  return out
}

/**
 * Writes for every clip the clip, its reconstruction, its bits by position over it and by channel: a file that plays has these
 * four beside each other, a `.png` below each other with a row of frames each. What is drawn at a frame are all bits of the latent
 * frame that stands for it and its neighbours.
 * @throws as writeClip
 */
export const writeClipRateMaps = async (
  path: string,
  input: ClipRateMapsInput,
  { scale, signal }: { readonly scale: number; readonly signal?: AbortSignal },
): Promise<void> => {
  const { clips: N, frames: T } = clipSizes(input.clips)
  const [c, , h, w] = input.latent
  const tiles = rateTiles(
    {
      images: framesOf(input.clips),
      reconstructions: framesOf(input.reconstructions),
      rateElements: elementsByFrame(input),
      latent: [c, h, w],
    },
    true,
  )
  const frames = Array.from({ length: N }, (_, n) =>
    tiles.flatMap(({ of }) => Array.from({ length: T }, (_, t) => of(n * T + t))),
  ).flat()
  const names = tiles.map(({ label }) => label)
  const isSheet = path.toLowerCase().endsWith('.png')
  // What plays says it once.
  const labels = isSheet ? Array.from({ length: N }, () => names).flat() : [names.slice(2).join('; ')]
  await writeClip(path, clipsFrom(stacked(frames), T), {
    scale,
    columns: tiles.length,
    labels,
    ...(signal && { signal }),
  })
}
