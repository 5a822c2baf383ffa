/** @file The rate by a diffusion prior, whose loss is the latent's bitrate (section 3.1, Eq. 2 and 3). */
import { networkOf } from '../../../engine/nn/network.ts'
import { add } from '../../../engine/ops/core.ts'
import {
  diffuse,
  levelOf,
  normalKlElements,
  posteriorEntropyElements,
  sumPerExample,
  vLoss,
  vLossElements,
  vTarget,
} from '../../diffusion/process.ts'
import { priorSpec, priorV } from '../../networks/prior.ts'
import { drawnLatent, type RatePart } from '../parts.ts'
import { elboLevels } from '../schedules.ts'

/** L_z = ½·(−dλ_z/dt)·e^λ·‖z − ẑ(z_t)‖² + KL[p(z_1|x) ‖ N(0, I)], unweighted: a discount would hide bits (section 3.1). */
export const diffusion: RatePart = {
  network: ({ prior, latent }) =>
    networkOf(priorSpec(prior), (p) => (posterior, { zEps, zDraw, zLogSnr, zWeight, z0LogSnr }) => {
      const z = drawnLatent(posterior, zDraw)
      const level = levelOf(zLogSnr, z.shape.length)
      const zT = diffuse(z, zEps, level) // z_t = α·z + σ·ε
      const [v, vHat] = [vTarget(z, zEps, level), priorV(p, prior, zT, zLogSnr)]
      const terminal = normalKlElements(z, latent.logSnr1)
      const { logVariance } = posterior
      const rest =
        logVariance === null ? terminal : add(terminal, posteriorEntropyElements(logVariance, z0LogSnr))
      const [nats, restNats] = [vLoss(v, vHat, zWeight), sumPerExample(rest)]
      return {
        diffusion: nats,
        rest: restNats,
        elements: add(vLossElements(v, vHat, zWeight), rest),
        charge: add(nats, restNats),
      }
    }),
  levels: elboLevels,
}
