/** @file One prediction of the image from the latent alone, by squared error: a Gaussian of precision e^b (Table 5). */
import { zeros } from '../../../engine/host/tensor.ts'
import { networkOf } from '../../../engine/nn/network.ts'
import { constant, mul, square, sub } from '../../../engine/ops/core.ts'
import { levelOf, sumPerExample, xFromV } from '../../diffusion/process.ts'
import { decoderSpec, decoderV } from '../../networks/decoder.ts'
import type { DistortionPart } from '../parts.ts'
import { filled, imageLogSnr } from '../schedules.ts'

/** L_x = c_lf·½e^b·‖x − x̂(z_0)‖². */
export const mse: DistortionPart = {
  network: ({ decoder }) =>
    networkOf(decoderSpec(decoder), (p) => (z0, { x, xLogSnr, xWeight, z0LogSnr, dropout }) => {
      const level = levelOf(xLogSnr, 4)
      const nothing = constant(zeros(x.shape))
      const vHat = decoderV(p, decoder, { xT: nothing, z0, logSnr: xLogSnr, z0LogSnr, dropout })
      return mul(xWeight, sumPerExample(square(sub(x, xFromV(nothing, vHat, level)))))
    }),
  levels: ({ bias, lossFactor }, { part: { count } }) => ({
    xLogSnr: filled(count, -imageLogSnr),
    xWeight: filled(count, (lossFactor * Math.exp(bias)) / 2),
  }),
  isOneStep: true,
}
