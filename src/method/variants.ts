/**
 * @file Departures from the method, one table for each part of it, one line for each choice. The first of each is the
 * method itself; the others are the comparisons that the paper makes (Tables 5 and 6, Figure 4, Appendix B).
 */
import { absolute } from './objective/distortions/absolute.ts'
import { diffusion as diffusionDistortion } from './objective/distortions/diffusion.ts'
import { mse } from './objective/distortions/mse.ts'
import type { DistortionPart, PosteriorPart, RatePart } from './objective/parts.ts'
import { fixed } from './objective/posteriors/fixed.ts'
import { learned } from './objective/posteriors/learned.ts'
import { diffusion } from './objective/rates/diffusion.ts'
import { normal } from './objective/rates/normal.ts'
import { penalised } from './objective/rates/penalised.ts'
import { detached, shaping } from './objective/rates/shaping.ts'
import { weighted } from './objective/rates/weighted.ts'
import { pixels, resnet, type Space } from './objective/spaces.ts'

/** Where latents live (Figure 4). */
export const spaces: Readonly<Record<'resnet' | 'pixels', Space>> = { resnet, pixels }

/** Whether the encoder predicts a variance (Table 6, row D). */
export const posteriors: Readonly<Record<'fixed' | 'learned', PosteriorPart>> = { fixed, learned }

/** By what the latent's rate is charged (Table 5). */
export const rates: Readonly<Record<'diffusion' | 'normal', RatePart>> = { diffusion, normal }

/** By what the decoder is trained (Table 5). */
export const distortions: Readonly<Record<'diffusion' | 'mse' | 'absolute', DistortionPart>> = {
  diffusion: diffusionDistortion,
  mse,
  absolute,
}

/** Which choices a configuration makes. */
export interface VariantConfig {
  /** `pixels`: no encoder and no stage 1, the latent is the image itself (pixel diffusion, Figure 4). */
  readonly encoder: keyof typeof spaces
  /** `learned`: the encoder predicts a variance, too (Table 6, row D). */
  readonly variance: keyof typeof posteriors
  /** `normal`: the latent's rate is its KL to N(0, I), times `klWeight` in the loss (Table 5, and the KL-VAE of Figure 4). */
  readonly prior: keyof typeof rates
  /** The prior learns the latent but does not shape it (Table 6, row A). */
  readonly stopGradient: boolean
  /** Weight in the loss of the latent's KL to N(0, I). */
  readonly klWeight: number
  /** Bias b of a sigmoid weight for the prior, null for the plain ELBO (Appendix B, second variant). */
  readonly priorBias: number | null
  /** One prediction of the image from the latent alone, by squared error (`mse`, Table 5) or by absolute. */
  readonly decoder: keyof typeof distortions
}

/** The method itself. */
export const noVariant: VariantConfig = {
  encoder: 'resnet',
  variance: 'fixed',
  prior: 'diffusion',
  stopGradient: false,
  klWeight: 0,
  priorBias: null,
  decoder: 'diffusion',
}

/** The parts that a configuration chooses. */
export interface Parts {
  readonly space: Space
  readonly posterior: PosteriorPart
  readonly rate: RatePart
  readonly distortion: DistortionPart
}

const rateOf = ({ prior, priorBias, stopGradient, klWeight }: VariantConfig): RatePart => {
  if (prior === 'normal') return shaping(rates.normal)
  const rate = priorBias === null ? rates[prior] : weighted
  const shaped = stopGradient ? detached(rate) : shaping(rate)
  return klWeight === 0 ? shaped : penalised(shaped)
}

/** The parts of a configuration. */
export const partsOfVariant = (variant: VariantConfig): Parts => ({
  space: spaces[variant.encoder],
  posterior: posteriors[variant.variance],
  rate: rateOf(variant),
  distortion: distortions[variant.decoder],
})
