/** @file One prediction of the image by absolute error: a Laplace distribution of precision e^b. */
import { abs } from '../../../engine/ops/core.ts'
import type { DistortionPart } from '../parts.ts'
import { oneStep } from './oneStep.ts'

/** L_x = c_lf·√2·e^(b/2)·‖x − x̂(z_0)‖₁. */
export const absolute: DistortionPart = oneStep({ of: abs, nats: (bias) => Math.SQRT2 * Math.exp(bias / 2) })
