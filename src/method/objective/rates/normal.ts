/** @file The rate of a VAE: the latent's KL to N(0, I), weighted by `klWeight` in the loss (Table 5; the KL-VAE of Figure 4). */
import { zeros } from '../../../engine/host/tensor.ts'
import { networkOf } from '../../../engine/nn/network.ts'
import { constant, mul } from '../../../engine/ops/core.ts'
import { sumPerExample } from '../../diffusion/process.ts'
import { normalPriorElements } from '../normalKl.ts'
import type { RatePart } from '../parts.ts'
import { elboLevels } from '../schedules.ts'

/** KL[p(z_0|x) ‖ N(0, I)]: no network. */
export const normal: RatePart = {
  network: ({ latent, klWeight }) =>
    networkOf({}, () => (posterior) => {
      const elements = normalPriorElements(latent, posterior)
      const nats = sumPerExample(elements)
      return { diffusion: nats, rest: constant(zeros(nats.shape)), elements, charge: mul(nats, klWeight) }
    }),
  levels: elboLevels,
}
