/** @file Decoders that predict the image at once, from the latent alone (Table 5): they differ in how an error is charged. */
import { zeros } from '../../../engine/host/tensor.ts'
import type { Value } from '../../../engine/ir/graph.ts'
import { networkOf } from '../../../engine/nn/network.ts'
import { constant, mul, sub } from '../../../engine/ops/core.ts'
import { levelOf, sumPerExample, xFromV } from '../../diffusion/process.ts'
import { decoderSpec, decoderV } from '../../networks/decoder.ts'
import type { DistortionPart } from '../parts.ts'
import { filled, noisiest } from '../schedules.ts'

/** What an error costs. */
interface Charge {
  /** Of every element, [B, 3, H, W]. */
  of(error: Value): Value
  /** The factor that makes it nats, by the bias b: e^b is the precision that the prediction is taken to have. */
  nats(bias: number): number
}

/** L_x = c_lf·nats(b)·Σ of(x − x̂(z_0)). */
export const oneStep = (charge: Charge): DistortionPart => ({
  network: ({ decoder }) =>
    networkOf(decoderSpec(decoder), (p) => (z0, { x, xEps: _, xLogSnr, xWeight, ...reads }) => {
      const level = levelOf(xLogSnr, x.shape.length)
      const nothing = constant(zeros(x.shape))
      const vHat = decoderV(p, decoder, { ...reads, xT: nothing, z0, logSnr: xLogSnr })
      return mul(xWeight, sumPerExample(charge.of(sub(x, xFromV(nothing, vHat, level)))))
    }),
  levels: ({ decoder, bias, lossFactor }, { part: { count } }) => ({
    xLogSnr: filled(count, noisiest(decoder)),
    xWeight: filled(count, lossFactor * charge.nats(bias)),
  }),
  isOneStep: true,
})
