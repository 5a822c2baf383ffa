/** @file AdamW as an optimiser. */
import { add, div, mul, sqrt, square, sub, where } from '../engine/ops/core.ts'
import type { Optimizer } from './optimizer.ts'

/** Constants of AdamW. */
export interface AdamWConfig {
  readonly beta1: number
  readonly beta2: number
  readonly epsilon: number
  /** Decoupled weight decay per unit of learning rate. */
  readonly weightDecay: number
}

/**
 * AdamW (Loshchilov and Hutter, algorithm 2). The moments are kept without their factors (1 − β), as running sums
 * Σ β₁ᵏ·g = m/(1 − β₁) and Σ β₂ᵏ·g² = v/(1 − β₂): two passes over memory fewer, the same update. Its scalars are the
 * bias corrections 1/(1 − β₁ᵗ) and 1/(1 − β₂ᵗ) of step t counted from 1.
 */
export const adamW = ({
  beta1,
  beta2,
  epsilon,
  weightDecay,
}: AdamWConfig): Optimizer<'moment1' | 'moment2', 'correction1' | 'correction2'> => ({
  copies: ['moment1', 'moment2'],
  scalars: {
    correction1: (step) => 1 / (1 - beta1 ** (step + 1)),
    correction2: (step) => 1 / (1 - beta2 ** (step + 1)),
  },
  begin: ({ ok, lr, own: { correction1, correction2 } }) => {
    const keep1 = where(ok, beta1, 1)
    const keep2 = where(ok, beta2, 1)
    // lr·m̂/(√v̂ + ε) in terms of the running sums M and V: rate·M/(√V + ε′).
    const scale2 = sqrt(mul(correction2, 1 - beta2))
    const rate = where(ok, div(mul(mul(lr, correction1), 1 - beta1), scale2), 0)
    const smallest = div(epsilon, scale2)
    const shrink = where(ok, sub(1, mul(lr, weightDecay)), 1)
    return {
      next: (_, { param, moment1, moment2 }, gradient) => {
        const m = add(mul(moment1, keep1), gradient)
        const v = add(mul(moment2, keep2), square(gradient))
        const direction = div(m, add(sqrt(v), smallest))
        const kept = weightDecay === 0 ? param : mul(param, shrink)
        return { param: sub(kept, mul(direction, rate)), moment1: m, moment2: v }
      },
    }
  },
})
