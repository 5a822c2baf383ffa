/** @file AdamW with global-norm clipping, an average of the weights and a guard against non-finite steps, as graph. */
import type { Value } from '../engine/ir/graph.ts'
import {
  add,
  div,
  finite,
  minimum,
  mul,
  reduceSumSquare,
  sqrt,
  square,
  sub,
  where,
} from '../engine/ops/core.ts'

/** Constants of the optimiser. */
export interface AdamWConfig {
  readonly beta1: number
  readonly beta2: number
  readonly epsilon: number
  /** Decoupled weight decay per unit of learning rate. */
  readonly weightDecay: number
  /** Largest global gradient norm. */
  readonly clipNorm: number
}

/** What changes from step to step; all scalars. */
export interface AdamWStep {
  /** Learning rate. */
  readonly lr: Value
  /** 1/(1 − β₁ᵗ) and 1/(1 − β₂ᵗ), the bias corrections of step t counted from 1. */
  readonly correction1: Value
  readonly correction2: Value
  /** Decay of the averaged weights at this step. */
  readonly emaDecay: Value
}

/**
 * Losses are multiplied by this before reverse mode, and the gradient divided by it when it is clipped, so that small
 * cotangents survive products in float16 (Micikevicius et al., Mixed Precision Training, section 3.2). A power of two:
 * in float32 no bit changes.
 */
export const lossScale: number = 2 ** 12

/** One slab's parameters with moments and average. */
export interface OptimizerState {
  readonly param: Value
  /** Σ β₁ᵏ·g and Σ β₂ᵏ·g² over past steps. */
  readonly moment1: Value
  readonly moment2: Value
  readonly ema: Value
}

/**
 * √Σ‖g‖² of the scaled gradients, without the scale; a scalar. Summed in the order in which reverse mode made the gradients: each is then reduced while it is still
 * in the cache, and is not kept waiting for those of earlier layers (see the listing order in onnx/serialize.ts).
 */
export const globalNorm = (gradients: readonly Value[]): Value => {
  const [first, ...rest] = [...gradients].sort((a, b) => a.id - b.id)
  const sum = rest.reduce((sum, g) => add(sum, reduceSumSquare(g)), reduceSumSquare(first!))
  return mul(sqrt(sum), 1 / lossScale)
}

const lerp = (from: Value, to: Value, share: Value): Value => add(from, mul(share, sub(to, from)))

/**
 * AdamW (Loshchilov and Hutter, algorithm 2) on clipped gradients. The moments are kept without their factors
 * (1 − β), as running sums m/(1 − β₁) and v/(1 − β₂): two passes over memory fewer, the same update.
 *
 * A loss or global norm that is not finite leaves everything as it was. Because the clipping factor depends on every
 * gradient, next states may be written over current ones (see updatedInPlace).
 * @param gradients scaled by `lossScale`
 * @param gradNorm global norm of the gradient before clipping, scalar
 */
export const adamW = (
  states: readonly OptimizerState[],
  gradients: readonly Value[],
  gradNorm: Value,
  loss: Value,
  step: AdamWStep,
  { beta1, beta2, epsilon, weightDecay, clipNorm }: AdamWConfig,
): readonly OptimizerState[] => {
  const ok = finite(add(gradNorm, loss))
  const clip = mul(where(ok, minimum(1, div(clipNorm, add(gradNorm, 1e-12))), 0), 1 / lossScale)
  const keep1 = where(ok, beta1, 1)
  const keep2 = where(ok, beta2, 1)
  const emaShare = where(ok, sub(1, step.emaDecay), 0)
  // lr·m̂/(√v̂ + ε) in terms of the running sums M and V: rate·M/(√V + ε′).
  const scale2 = sqrt(mul(step.correction2, 1 - beta2))
  const rate = where(ok, div(mul(mul(step.lr, step.correction1), 1 - beta1), scale2), 0)
  const smallest = div(epsilon, scale2)
  const shrink = where(ok, sub(1, mul(step.lr, weightDecay)), 1)
  return states.map(({ param, moment1, moment2, ema }, i) => {
    const g = mul(where(ok, gradients[i]!, 0), clip)
    const m = add(mul(moment1, keep1), g)
    const v = add(mul(moment2, keep2), square(g))
    const direction = div(m, add(sqrt(v), smallest))
    const kept = weightDecay === 0 ? param : mul(param, shrink)
    const moved = sub(kept, mul(direction, rate))
    return { param: moved, moment1: m, moment2: v, ema: lerp(ema, moved, emaShare) }
  })
}
