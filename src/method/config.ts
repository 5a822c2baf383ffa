/** @file The part of a configuration that decides networks and objectives, and what follows from it. */

import type { ConditionName } from './conditions/list.ts'
import { drawnLeastNoise } from './diffusion/weighting.ts'
import type { BaseConfig } from './networks/base.ts'
import type {
  DecoderSizes,
  EncoderSizes,
  LatentConfig,
  TransformerSizes,
  TwoLevelSizes,
  UvitSizes,
} from './networks/config.ts'
import type { EncoderConfig } from './networks/encoder.ts'
import { type Extent, imageChannels, imageExtent } from './networks/shapes.ts'
import type { PartConfig } from './objective/parts.ts'
import { type BaseSchedule, leastNoiseRange } from './objective/schedules.ts'
import { posteriors, type VariantConfig } from './variants.ts'

/** The decoder and its objective. */
export interface DecoderSettings extends DecoderSizes {
  /** c_lf, the loss factor. */
  readonly lossFactor: number
  /** b, the bias of the sigmoid weight. */
  readonly bias: number
}

/** The base model of stage 2 and its objective. */
export interface BaseSettings extends TwoLevelSizes {
  /** A convolutional U-ViT of these sizes in place of the two-level transformer, whose widths and blocks are then not read. */
  readonly uvit?: UvitSizes | undefined
  /** b of its own sigmoid weight. */
  readonly bias: number
  /** Share of examples that are told nothing, for guidance. */
  readonly labelDropout: number
  /** How λ runs over t in training and in its chain; linear when absent. */
  readonly schedule?: BaseSchedule | undefined
  /** What it is told (conditions/list.ts); the class when absent. */
  readonly conditions?: readonly ConditionName[] | undefined
}

/** Everything that decides the shapes of the four networks. */
export interface ModelConfig {
  /** Height and width of the images. */
  readonly size: number
  /** Frames; 1 for images. */
  readonly frames: number
  /** Number of classes; 0 for none. */
  readonly classes: number
  readonly latent: LatentConfig
  readonly encoder: EncoderSizes
  readonly prior: TransformerSizes
  readonly decoder: DecoderSettings
  readonly base: BaseSettings
  readonly variant: VariantConfig
  /** Whether the backward pass computes each block again instead of keeping its intermediates (less memory, more time). */
  readonly recompute: boolean
}

/** What an image measures, or one frame of a clip: networks have no time axis yet. */
export const imageOf = ({ size }: Pick<ModelConfig, 'size'>): Extent => imageExtent(size)

/** What a latent measures. @throws when the sizes do not divide. */
export const latentOf = ({ size, latent }: Pick<ModelConfig, 'size' | 'latent'>): Extent => {
  const { channels, downsample } = latent
  if (size % downsample !== 0) {
    throw new Error(
      `data.size ${size} is not a multiple of latent.downsample ${downsample}; change one of them`,
    )
  }
  const { frames, height, width } = imageOf({ size })
  return { channels, frames, height: height / downsample, width: width / downsample }
}

/**
 * The latent in use. Its λ(0) is the noise of z_0 outside of stage 1: where chains stop, what the decoder is told and from where
 * the rate is counted. Where the least noise is drawn for each image (Appendix B, second variant) that is the median of the
 * draws: finer levels the prior has seen in less than half of them, and λ(0) itself in none.
 */
export const latentInUse = ({ latent, variant }: Pick<ModelConfig, 'latent' | 'variant'>): LatentConfig =>
  variant.priorBias === null
    ? latent
    : { ...latent, logSnr0: drawnLeastNoise(variant.priorBias, leastNoiseRange(latent), 0.5) }

/** The encoder of a model. */
export const encoderConfig = ({ encoder, latent, variant, recompute }: ModelConfig): EncoderConfig => ({
  ...encoder,
  imageChannels,
  downsample: latent.downsample,
  outputs: latent.channels * posteriors[variant.variance].outputs,
  recompute,
})

/** Rate and distortion of a model, with prior and decoder. */
export const partConfig = (model: ModelConfig): PartConfig => {
  const { latent, prior, decoder, variant, recompute } = model
  const { lossFactor, bias, ...sizes } = decoder
  return {
    image: imageOf(model),
    latent,
    prior: { ...prior, channels: latent.channels, deviation: latent.deviation, recompute },
    decoder: {
      ...sizes,
      imageChannels,
      latentChannels: latent.channels,
      downsample: latent.downsample,
      seesLatentNoise: variant.priorBias !== null,
      recompute,
    },
    lossFactor,
    bias,
    klWeight: variant.klWeight,
    priorBias: variant.priorBias,
  }
}

/** The base model. */
export const baseConfig = ({ base, latent, recompute }: ModelConfig): BaseConfig => ({
  widths: base.widths,
  blocks: base.blocks,
  headWidth: base.headWidth,
  dropout: base.dropout,
  uvit: base.uvit,
  channels: latent.channels,
  deviation: latent.deviation,
  recompute,
})
