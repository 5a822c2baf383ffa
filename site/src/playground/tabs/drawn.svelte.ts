/** @file What was drawn last: samples, and a repainted image. It outlives the tabs. */

import type { Chosen } from '../session.svelte.ts'

/** [size, size, 3] each, but `painted` [h·w]. */
export const drawn: {
  samples: Uint8Array[]
  /** What each sample was asked for by. */
  names: readonly string[]
  /** Painted positions of the latent. */
  painted: Uint8Array
  repainted: Uint8Array | null
  /** Whose positions are painted. */
  paintedOf: Chosen | null
} = $state({ samples: [], names: [], painted: new Uint8Array(0), repainted: null, paintedOf: null })
