/** @file The variance preserving process and v-prediction as graph (method.md section 2). */
import type { Value } from '../../engine/ir/graph.ts'
import {
  add,
  mul,
  neg,
  reduceSum,
  reshape,
  sigmoid,
  softplus,
  sqrt,
  square,
  sub,
} from '../../engine/ops/core.ts'
import { alphaOf } from './schedule.ts'

/** α and σ per example, shaped to broadcast over x. */
export interface Level {
  readonly alpha: Value
  readonly sigma: Value
}

/** One number per example [B] as [B, 1, …, 1] of the given rank. */
const asColumn = (v: Value, rank: number): Value =>
  reshape(v, [v.shape[0], ...Array.from({ length: rank - 1 }, () => 1)])

/** α = √sigmoid(λ), σ = √sigmoid(−λ) from λ [B], as [B, 1, …, 1] of the given rank. */
export const levelOf = (logSnr: Value, rank: number): Level => {
  const column = asColumn(logSnr, rank)
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

/** The same before summing, in nats, shaped as v. */
export const vLossElements = (v: Value, vHat: Value, weight: Value): Value =>
  mul(asColumn(weight, v.shape.length), square(sub(v, vHat)))

/**
 * KL[N(α·z, σ²) ‖ N(0, 1)] = ½(α²·z² + σ² − 1 − ln σ²) of every element, in nats (method.md section 3; there at λ(1)).
 * The constant −α² − ln σ² is left over from two nearly equal numbers, so it is made in float64 from
 * −ln σ² = ln(1 + e^λ).
 * @param logSnr λ of the noise that z carries
 */
export const normalKlElements = (z: Value, logSnr: number): Value => {
  const signal = alphaOf(logSnr) ** 2
  return add(mul(square(z), signal / 2), (Math.log1p(Math.exp(logSnr)) - signal) / 2)
}

/**
 * What an encoder's own variance σ_z² changes where the latent is charged at the noise level of z_0, in nats per element:
 * the entropy that it adds, −½·ln(1 + σ_z²·e^λ) (method.md section 7, row D).
 * @param logSnr λ of z_0's noise, of all examples or [B]
 */
export const posteriorEntropyElements = (logVariance: Value, logSnr: Value | number): Value => {
  const level = typeof logSnr === 'number' ? logSnr : asColumn(logSnr, logVariance.shape.length)
  return mul(softplus(add(logVariance, level)), -0.5)
}
