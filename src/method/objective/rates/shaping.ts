/** @file How a rate's gradient shapes the encoder. */
import type { Value } from '../../../engine/ir/graph.ts'
import { add, mul, stopGradient, sub } from '../../../engine/ops/core.ts'
import { mapPosterior, type Posterior, type RatePart, rateWith } from '../parts.ts'

/** Multiplies the gradient that flows back to v, not v: v·w + stopGradient(v)·(1 − w). */
const scaledGradient = (v: Value, share: Value): Value =>
  add(mul(v, share), mul(stopGradient(v), sub(1, share)))

/** The posterior as it is, its gradient by a share of itself. */
export const throttled = (posterior: Posterior, share: Value): Posterior =>
  mapPosterior(posterior, (v) => scaledGradient(v, share))

/** The rate shapes the encoder, by a share that warms up (docs/method.md). */
export const shaping = (rate: RatePart): RatePart =>
  rateWith(rate, (terms) => (posterior, inputs) => terms(throttled(posterior, inputs.encoderShare), inputs))

/** The prior learns the latent, but its rate does not shape the encoder (Table 6, row A). */
export const detached = (rate: RatePart): RatePart =>
  rateWith(rate, (terms) => (posterior, inputs) => terms(mapPosterior(posterior, stopGradient), inputs))
