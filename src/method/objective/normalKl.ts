/** @file The KL of a latent to N(0, I), with and without an encoder's own variance. */
import type { Value } from '../../engine/ir/graph.ts'
import { add, exp, mul } from '../../engine/ops/core.ts'
import { normalKlElements, posteriorEntropyElements } from '../diffusion/process.ts'
import { alphaOf } from '../diffusion/schedule.ts'
import type { LatentConfig } from '../networks/config.ts'
import type { Posterior } from './parts.ts'

/**
 * KL[p(z_0|x) ‖ N(0, I)] of every element, in nats. With a learned variance s² = α²σ_z² + σ² in place of σ², so that
 * ½α²σ_z² − ½·ln(1 + σ_z²e^λ) is added (Eq. 5).
 */
export const normalPriorElements = ({ logSnr0 }: LatentConfig, { mean, logVariance }: Posterior): Value => {
  const ofMean = normalKlElements(mean, logSnr0)
  if (logVariance === null) return ofMean
  const spread = mul(exp(logVariance), alphaOf(logSnr0) ** 2 / 2)
  return add(ofMean, add(spread, posteriorEntropyElements(logVariance, logSnr0)))
}
