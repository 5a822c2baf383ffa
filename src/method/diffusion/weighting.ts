/**
 * @file Weights of ‖v − v̂‖² in the losses, per example. With v-prediction ½(−dλ/dt)·e^λ·‖x − x̂‖² equals
 * ½(−dλ/dt)·α²·‖v − v̂‖² (method.md section 2), which is bounded at both ends.
 */
import { type Schedule, sigmoid } from './schedule.ts'

/** Weight of ‖v − v̂‖² at time t. */
export type Weighting = (schedule: Schedule, t: number) => number

/** The unweighted ELBO: ½(−dλ/dt)·α² (method.md section 3, L_z). */
export const elboWeight: Weighting = (schedule, t) => -0.5 * schedule.slope(t) * sigmoid(schedule.logSnr(t))

/**
 * Draws the least noise λ_max of an example from a logistic with location b, truncated to [low, high]. The share of
 * examples that see a noise level λ is then sigmoid(b − λ) − sigmoid(b − high) up to a factor, 1 below low: the plain ELBO
 * up to λ_max is in expectation the sigmoid-weighted one, faded out at high (Appendix B, second variant).
 * @param u uniform in [0, 1)
 */
export const drawnLeastNoise = (bias: number, [low, high]: readonly [number, number], u: number): number => {
  const [below, above] = [sigmoid(low - bias), sigmoid(high - bias)]
  const p = below + u * (above - below)
  return Math.min(high, Math.max(low, bias + Math.log(p / (1 - p))))
}

/**
 * The sigmoid-weighted ELBO times the loss factor: c_lf·½(−dλ/dt)·sigmoid(b − λ)·α² (method.md section 3, L_x;
 * the form of the paper's Figure 3, the sign that its text prints would discount high noise instead).
 */
export const sigmoidWeight =
  (bias: number, lossFactor = 1): Weighting =>
  (schedule, t) =>
    lossFactor * elboWeight(schedule, t) * sigmoid(bias - schedule.logSnr(t))
