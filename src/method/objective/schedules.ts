/** @file The noise schedules of the three diffusion models, and levels drawn from them. */
import { float32, type HostTensor } from '../../engine/host/tensor.ts'
import { type Draw, drawnTimes } from '../diffusion/draws.ts'
import {
  cosineSchedule,
  linearSchedule,
  resolutionShift,
  type Schedule,
  weightSchedule,
} from '../diffusion/schedule.ts'
import { elboWeight, type Weighting } from '../diffusion/weighting.ts'
import type { DecoderSizes, LatentConfig } from '../networks/config.ts'
import type { PartConfig, RateLevels } from './parts.ts'

/** λ_x runs from 10 to −10 where nothing else is set (ours; the paper does not say). */
const imageLogSnr = 10

/** λ_x(1), the most noise of images. */
export const noisiest = ({ logSnr1 = -imageLogSnr }: DecoderSizes): number => logSnr1

/** The least noise of latents lies between these where it is drawn for each image (Appendix B, second variant). */
export const leastNoiseRange = ({ logSnr0, logSnr1 }: LatentConfig): readonly [number, number] => [
  logSnr1 + 1,
  logSnr0,
]

/** λ of prior and base: linear in t from λ_z(0), the same for both (section 3.3). Least variance for the unweighted loss. */
export const latentSchedule = ({ logSnr0, logSnr1 }: LatentConfig): Schedule =>
  linearSchedule(logSnr0, logSnr1)

/** How the base model's λ runs over t. `weight`: draws where its loss lies, steps of its chain as by `cosine`. */
export type BaseSchedule = 'linear' | 'cosine' | 'weight'

/** What the base model's λ depends on. */
interface BaseLevels {
  readonly latent: LatentConfig
  readonly base: { readonly bias: number; readonly schedule?: BaseSchedule | undefined }
}

/** λ of the base model's chain, between the same ends: linear, or by a cosine, which spends steps where a sigmoid weight lies. */
export const baseGrid = ({ latent, base }: BaseLevels): Schedule =>
  (base.schedule ?? 'linear') === 'linear'
    ? latentSchedule(latent)
    : cosineSchedule(latent.logSnr0, latent.logSnr1)

/** λ of its training draws. */
export const baseDraws = ({ latent, base }: BaseLevels): Schedule =>
  base.schedule === 'weight'
    ? weightSchedule(latent.logSnr0, latent.logSnr1, base.bias)
    : baseGrid({ latent, base })

/** λ of the decoder: cosine, shifted by resolution, exact end points. */
export const decoderSchedule = ({ image, decoder }: Pick<PartConfig, 'image' | 'decoder'>): Schedule =>
  cosineSchedule(imageLogSnr, noisiest(decoder), resolutionShift(image.height))

/** λ of the decoder's training draws: on the grid of its sampler, or where its loss lies. */
export const decoderDraws = (config: Pick<PartConfig, 'image' | 'decoder' | 'bias'>): Schedule => {
  const grid = decoderSchedule(config)
  return config.decoder.draws === 'weight' ? weightSchedule(grid.logSnr0, grid.logSnr1, config.bias) : grid
}

/** One value for each of B examples, [B]. */
export const filled = (B: number, value: number): HostTensor => float32([B], new Float32Array(B).fill(value))

/** λ and loss weight of a draw's examples at stratified times, [B] each. */
export const drawnLevels = (
  schedule: Schedule,
  weighting: Weighting,
  draw: Draw,
  name: string,
): { readonly logSnr: HostTensor; readonly weight: HostTensor } => {
  const times = drawnTimes(draw, name)
  const each = (value: (t: number) => number): HostTensor => float32([times.length], times.map(value))
  return { logSnr: each((t) => schedule.logSnr(t)), weight: each((t) => weighting(schedule, t)) }
}

/** Levels of the unweighted ELBO from λ_z(0) on: what the method trains with and what a rate is measured with. */
export const elboLevels = ({ latent }: Pick<PartConfig, 'latent'>, draw: Draw): RateLevels => {
  const { logSnr, weight } = drawnLevels(latentSchedule(latent), elboWeight, draw, 'zTime')
  return { zLogSnr: logSnr, zWeight: weight, z0LogSnr: filled(draw.part.count, latent.logSnr0) }
}
