/** @file The method's encoder: one latent, no variance; its noise is the prior's least (section 3.1). */
import type { PosteriorPart } from '../parts.ts'

/** z_clean = E(x). */
export const fixed: PosteriorPart = {
  outputs: 1,
  posterior: (out) => ({ mean: out, logVariance: null }),
}
