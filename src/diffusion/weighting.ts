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
 * The sigmoid-weighted ELBO times the loss factor: c_lf·½(−dλ/dt)·sigmoid(b − λ)·α² (method.md section 3, L_x;
 * the form of the paper's Figure 3, the sign that its text prints would discount high noise instead).
 */
export const sigmoidWeight =
  (bias: number, lossFactor = 1): Weighting =>
  (schedule, t) =>
    lossFactor * elboWeight(schedule, t) * sigmoid(bias - schedule.logSnr(t))
