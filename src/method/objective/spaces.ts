/** @file Where latents live: what an encoder learns, or the pixels themselves. */
import type { Value } from '../../engine/ir/graph.ts'
import { clip } from '../../engine/ops/core.ts'

/** x̂ of pixels lies in [−1, 1]. */
export const clipPixels = (x: Value): Value => clip(x, -1, 1)

/** A space of latents. */
export interface Space {
  /** Whether encoder and decoder are networks, which stage 1 trains. */
  readonly isLearned: boolean
  /** Where a chain of latents ends: at λ(0), the noise that the decoder was trained with (section 3.3), or at x̂. */
  readonly chainEnd: 'noisy' | 'clean'
  /** Keeps predictions where latents can be. */
  bound(zHat: Value): Value
}

/** Latents of a trained encoder. They are not clipped. */
export const resnet: Space = { isLearned: true, chainEnd: 'noisy', bound: (zHat) => zHat }

/** Pixel diffusion: the latent is the image, its patches as channels (Figure 4). */
export const pixels: Space = { isLearned: false, chainEnd: 'clean', bound: clipPixels }
