/**
 * @file What a network's output F stands for. Plainly it is v̂. Preconditioned, v̂ is what x_t alone tells of data with a known
 * deviation s, and F only what is missing (after Karras et al. 2022, Table 1, in the variance preserving process).
 */
import type { Value } from '../../engine/ir/graph.ts'
import { add, div, mul, sqrt, square } from '../../engine/ops/core.ts'
import { type Level, levelOf } from './process.ts'

/** Variance of x_t around α times the mean of x: D = α²s² + σ². */
const spread = ({ alpha, sigma }: Level, s: number): Value => add(mul(square(alpha), s ** 2), square(sigma))

/** The best v̂ of N(0, s²) is a multiple of x_t: ασ(1 − s²)/D. */
const skip = ({ alpha, sigma }: Level, s: number, D: Value): Value =>
  div(mul(mul(alpha, sigma), 1 - s ** 2), D)

/**
 * v̂ of an image whose mean the latent tells, and around it a deviation of s: ασ(1 − s²)/D·x_t + F/√D. With s = 1 F is v̂, towards
 * s = 0 it becomes −x̂.
 * @param F the network's output, and @param xT what it was asked of, [B, …] @param logSnr λ of x_t, [B]
 * @param s absent where F is v̂
 */
export const imageV = (F: Value, xT: Value, logSnr: Value, s: number | undefined): Value => {
  if (s === undefined) return F
  const level = levelOf(logSnr, xT.shape.length)
  const D = spread(level, s)
  return add(mul(skip(level, s, D), xT), div(F, sqrt(D)))
}

/**
 * A network of latents with mean 0 and deviation s: it is given z_t/√D, of unit variance, and v̂ = ασ(1 − s²)/D·z_t + s/√D·F, so that
 * what F must be has unit variance, too.
 * @param network F from its input [B, …] @param zT [B, …] @param logSnr λ of z_t, [B] @param s absent where F is v̂
 */
export const latentV = (
  network: (input: Value) => Value,
  zT: Value,
  logSnr: Value,
  s: number | undefined,
): Value => {
  if (s === undefined) return network(zT)
  const level = levelOf(logSnr, zT.shape.length)
  const D = spread(level, s)
  const root = sqrt(D)
  return add(mul(skip(level, s, D), zT), mul(div(network(div(zT, root)), root), s))
}
