/** @file The variance preserving process and v-prediction as graph (method.md section 2). */
import type { Value } from '../ir/graph.ts'
import { add, mul, neg, reduceSum, reshape, sigmoid, sqrt, square, sub } from '../ops/core.ts'
import { alphaOf } from './schedule.ts'

/** α and σ per example, shaped to broadcast over x. */
export interface Level {
  readonly alpha: Value
  readonly sigma: Value
}

/** α = √sigmoid(λ), σ = √sigmoid(−λ) from λ [B], as [B, 1, …, 1] of the given rank. */
export const levelOf = (logSnr: Value, rank: number): Level => {
  const shape = [logSnr.shape[0]!, ...Array.from({ length: rank - 1 }, () => 1)]
  const column = reshape(logSnr, shape)
  return { alpha: sqrt(sigmoid(column)), sigma: sqrt(sigmoid(neg(column))) }
}

/** x_t = α·x + σ·ε */
export const diffuse = (x: Value, eps: Value, { alpha, sigma }: Level): Value =>
  add(mul(alpha, x), mul(sigma, eps))

/** v = α·ε − σ·x */
export const vTarget = (x: Value, eps: Value, { alpha, sigma }: Level): Value =>
  sub(mul(alpha, eps), mul(sigma, x))

/** x̂ = α·x_t − σ·v̂ */
export const xFromV = (xT: Value, vHat: Value, { alpha, sigma }: Level): Value =>
  sub(mul(alpha, xT), mul(sigma, vHat))

/** Σ over everything but the batch: [B, …] → [B]. */
export const sumPerExample = (x: Value): Value =>
  reduceSum(
    x,
    x.shape.slice(1).map((_, i) => i + 1),
  )

/** Weighted ‖v − v̂‖² per example, in nats: [B]. */
export const vLoss = (v: Value, vHat: Value, weight: Value): Value =>
  mul(weight, sumPerExample(square(sub(v, vHat))))

/**
 * KL[p(z_1|x) ‖ N(0, I)] = ½Σ(α₁²·z² + σ₁² − 1 − ln σ₁²) per example, in nats: [B] (method.md section 3). The constant
 * −α₁² − ln σ₁² is left over from two nearly equal numbers, so it is made in float64 from −ln σ₁² = ln(1 + e^λ).
 * @param logSnr1 λ(1) of the prior's schedule
 */
export const terminalKl = (z: Value, logSnr1: number): Value => {
  const signal = alphaOf(logSnr1) ** 2
  const perElement = add(mul(square(z), signal), Math.log1p(Math.exp(logSnr1)) - signal)
  return mul(sumPerExample(perElement), 0.5)
}
