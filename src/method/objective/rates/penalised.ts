/** @file A rate with the latent's KL to N(0, I) on top, weighted by `klWeight` (Table 6, row A). */
import { mul } from '../../../engine/ops/core.ts'
import { sumPerExample } from '../../diffusion/process.ts'
import { normalPriorElements } from '../normalKl.ts'
import { type RatePart, rateWith } from '../parts.ts'
import { throttled } from './shaping.ts'

/** L_z + klWeight·KL[p(z_0|x) ‖ N(0, I)]. */
export const penalised = (rate: RatePart): RatePart =>
  rateWith(rate, (terms, { latent, klWeight }) => (posterior, inputs) => {
    const nats = sumPerExample(normalPriorElements(latent, throttled(posterior, inputs.encoderShare)))
    return { ...terms(posterior, inputs), penalty: mul(nats, klWeight) }
  })
