/** @file One prediction of the image by squared error: a Gaussian of precision e^b (Table 5). */
import { square } from '../../../engine/ops/core.ts'
import type { DistortionPart } from '../parts.ts'
import { oneStep } from './oneStep.ts'

/** L_x = c_lf·½e^b·‖x − x̂(z_0)‖². */
export const mse: DistortionPart = oneStep({ of: square, nats: (bias) => Math.exp(bias) / 2 })
