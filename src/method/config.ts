/** @file The part of a configuration that decides networks and objectives, and what follows from it. */

import type { ConditionName } from './conditions/list.ts'
import { drawnLeastNoise } from './diffusion/weighting.ts'
import type { BaseConfig } from './networks/base.ts'
import type {
  DecoderSizes,
  EncoderSizes,
  LatentConfig,
  TimeSizes,
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
  /** Share of clips of which it is given nothing although frames are given, for guidance; none when absent. */
  readonly givenDropout?: number | undefined
  /** How λ runs over t in training and in its chain; linear when absent. */
  readonly schedule?: BaseSchedule | undefined
  /** What it is told (conditions/list.ts); the class when absent. */
  readonly conditions?: readonly ConditionName[] | undefined
}

/** The time axis of clips, and what training gives of them (method.md section 5). */
export interface VideoConfig extends TimeSizes {
  /** Frames that a prediction is given where nothing else is said. */
  readonly given: number
  /** Share of clips that training gives frames of: half of them so many, of the others any number. */
  readonly givenShare: number
  /** Share of training clips that stand still at one of their frames, as images do; none when absent. */
  readonly imageShare?: number | undefined
}

/** Everything that decides the shapes of the four networks. */
export interface ModelConfig {
  /** Height and width of the images. */
  readonly size: number
  /** Frames of a clip; 1 for images. */
  readonly frames: number
  /** Number of classes; 0 for none. */
  readonly classes: number
  readonly latent: LatentConfig
  readonly encoder: EncoderSizes
  readonly prior: TransformerSizes
  readonly decoder: DecoderSettings
  readonly base: BaseSettings
  readonly variant: VariantConfig
  /** The time axis of clips; absent for images. */
  readonly video?: VideoConfig | undefined
  /** Whether the backward pass computes each block again instead of keeping its intermediates (less memory, more time). */
  readonly recompute: boolean
}

/** What images and latents measure by. */
type Measures = Pick<ModelConfig, 'size' | 'frames' | 'latent' | 'video'>

/** What an image, or a clip, measures. */
export const imageOf = ({ size, frames, video }: Omit<Measures, 'latent'>): Extent =>
  imageExtent(size, video && frames)

/** What a latent measures. @throws when the sizes do not divide. */
export const latentOf = (model: Measures): Extent => {
  const { size, frames, video } = model
  const { channels, downsample } = model.latent
  if (size % downsample !== 0) {
    throw new Error(
      `data.size ${size} is not a multiple of latent.downsample ${downsample}; change one of them`,
    )
  }
  if (video !== undefined && frames % video.downsample !== 0) {
    throw new Error(
      `data.frames ${frames} is not a multiple of video.downsample ${video.downsample}; change one of them`,
    )
  }
  const { height, width } = imageOf(model)
  return {
    channels,
    frames: video && frames / video.downsample,
    height: height / downsample,
    width: width / downsample,
  }
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
export const encoderConfig = ({
  encoder,
  latent,
  variant,
  video,
  recompute,
}: ModelConfig): EncoderConfig => ({
  ...encoder,
  imageChannels,
  downsample: latent.downsample,
  outputs: latent.channels * posteriors[variant.variance].outputs,
  time: video,
  recompute,
})

/** Rate and distortion of a model, with prior and decoder. */
export const partConfig = (model: ModelConfig): PartConfig => {
  const { latent, prior, decoder, variant, video: time, recompute } = model
  const { lossFactor, bias, ...sizes } = decoder
  return {
    image: imageOf(model),
    latent,
    prior: { ...prior, channels: latent.channels, deviation: latent.deviation, time, recompute },
    decoder: {
      ...sizes,
      imageChannels,
      latentChannels: latent.channels,
      downsample: latent.downsample,
      seesLatentNoise: variant.priorBias !== null,
      time,
      recompute,
    },
    lossFactor,
    bias,
    klWeight: variant.klWeight,
    priorBias: variant.priorBias,
  }
}

/** The base model. */
export const baseConfig = ({ base, latent, video, recompute }: ModelConfig): BaseConfig => ({
  widths: base.widths,
  blocks: base.blocks,
  headWidth: base.headWidth,
  dropout: base.dropout,
  uvit: base.uvit,
  channels: latent.channels,
  deviation: latent.deviation,
  time: video,
  recompute,
})
