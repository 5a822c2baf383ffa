/** @file The distortion by a diffusion decoder: the sigmoid-weighted ELBO times the loss factor (section 3.2, Eq. 4). */
import { networkOf } from '../../../engine/nn/network.ts'
import { diffuse, levelOf, vLoss, vTarget } from '../../diffusion/process.ts'
import { sigmoidWeight } from '../../diffusion/weighting.ts'
import { decoderSpec, decoderV } from '../../networks/decoder.ts'
import type { DistortionPart } from '../parts.ts'
import { decoderDraws, drawnLevels } from '../schedules.ts'

/** L_x = c_lf·½·(−dλ_x/dt)·e^λ·sigmoid(b − λ)·‖x − x̂(x_t, z_0)‖². */
export const diffusion: DistortionPart = {
  network: ({ decoder }) =>
    networkOf(decoderSpec(decoder), (p) => (z0, { x, xEps, xLogSnr, xWeight, ...reads }) => {
      const level = levelOf(xLogSnr, x.shape.length)
      const xT = diffuse(x, xEps, level) // x_t = α·x + σ·ε, [B, 3, H, W]
      const vHat = decoderV(p, decoder, { ...reads, xT, z0, logSnr: xLogSnr })
      return vLoss(vTarget(x, xEps, level), vHat, xWeight)
    }),
  levels: (config, draw) => {
    const weighting = sigmoidWeight(config.bias, config.lossFactor)
    const { logSnr, weight } = drawnLevels(decoderDraws(config), weighting, draw, 'xTime')
    return { xLogSnr: logSnr, xWeight: weight }
  },
  isOneStep: false,
}
