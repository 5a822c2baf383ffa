/**
 * @file A diffusion prior with a sigmoid weight, for single-stage training (Appendix B, second variant): the latent's least
 * noise is drawn for each image so that the expected weight is sigmoid(b − λ), and the decoder is told it.
 */
import { float32 } from '../../../engine/host/tensor.ts'
import { drawnTimes, drawnUniforms } from '../../diffusion/draws.ts'
import { linearSchedule } from '../../diffusion/schedule.ts'
import { drawnLeastNoise, elboWeight } from '../../diffusion/weighting.ts'
import type { RatePart } from '../parts.ts'
import { leastNoiseRange } from '../schedules.ts'
import { diffusion } from './diffusion.ts'

/** The plain ELBO from a drawn λ_max on. */
export const weighted: RatePart = {
  ...diffusion,
  levels: ({ latent, priorBias }, draw) => {
    const times = drawnTimes(draw, 'zTime')
    const schedules = drawnUniforms(draw, 'leastNoise').map((u) =>
      linearSchedule(drawnLeastNoise(priorBias ?? 0, leastNoiseRange(latent), u), latent.logSnr1),
    )
    const each = (value: (schedule: (typeof schedules)[number], t: number) => number) =>
      float32(
        [times.length],
        times.map((t, i) => value(schedules[i], t)),
      )
    return {
      zLogSnr: each((schedule, t) => schedule.logSnr(t)),
      zWeight: each(elboWeight),
      z0LogSnr: each((schedule) => schedule.logSnr0),
    }
  },
}
