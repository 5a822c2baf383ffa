/** @file An encoder that predicts a variance, too (Table 6, row D; Eq. 5). */
import type { Value } from '../../../engine/ir/graph.ts'
import { clip, sub } from '../../../engine/ops/core.ts'
import { split } from '../../../engine/ops/slice.ts'
import type { PosteriorPart } from '../parts.ts'

/** Bounds of ln σ_z²: from next to nothing to more noise than signal. */
const [least, most] = [-20, 4]

/** Mean and ln σ_z², which starts at about the fixed noise, −λ(0). */
export const learned: PosteriorPart = {
  outputs: 2,
  posterior: (out, { channels, logSnr0 }) => {
    const [mean, raw] = split(out, 1, [channels, channels]) as [Value, Value]
    return { mean, logVariance: clip(sub(raw, logSnr0), least, most) }
  },
}
