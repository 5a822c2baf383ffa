/** @file Sizes of the networks. Every number of the paper's architecture (docs/method.md) is a field here. */

/** Latent shape and noise range. */
export interface LatentConfig {
  readonly channels: number
  /** Pixels per latent position along height and width; a power of two times the patch. */
  readonly downsample: number
  /** λ_z(0): the fixed noise of the encoder's output and the least noise of prior and base. */
  readonly logSnr0: number
  /** λ_z(1) */
  readonly logSnr1: number
  /** Deviation of latents that prior and base are preconditioned for (diffusion/precondition.ts); plain v̂ when absent. */
  readonly deviation?: number | undefined
}

/** The time axis of clips. */
export interface TimeSizes {
  /** Frames per latent frame; a power of two. */
  readonly downsample: number
  /** Frames that a kernel over time spans; odd. */
  readonly kernel: number
  /** Whether tokens of all frames attend to each other, or those of a frame, then those of a position. */
  readonly attention: 'full' | 'factorised'
}

/** ResNet encoder: one stage per resolution from the patch grid down to the latent grid. */
export interface EncoderSizes {
  /** Side of the patches that become channels first. */
  readonly patch: number
  /** Channels per stage; the last is repeated where there are more stages. */
  readonly channels: readonly number[]
  /** Residual blocks per stage, and in the last stage. */
  readonly blocks: number
  readonly lastBlocks: number
  /** Whether a product of the mean colour of each position's pixels is added to the latent; not when absent. */
  readonly shortcut?: boolean | undefined
}

/** A transformer of one level: the stage-1 prior. */
export interface TransformerSizes {
  readonly width: number
  readonly blocks: number
  readonly headWidth: number
}

/** U-ViT decoder: convolutional stages around a transformer on the latent grid. */
export interface DecoderSizes {
  readonly patch: number
  /** Channels per convolutional stage; the last is repeated where there are more stages. */
  readonly channels: readonly number[]
  /** Residual blocks per stage, on the way down and again on the way up. */
  readonly convBlocks: number
  readonly width: number
  readonly blocks: number
  readonly headWidth: number
  readonly dropout: number
  /** Deviation of the image given the latent, which it is preconditioned for; plain v̂ when absent. */
  readonly deviation?: number | undefined
  /** λ_x(1), the most noise of images; −10 when absent, which leaves the mean colour of large images visible. */
  readonly logSnr1?: number | undefined
  /** Where training draws λ: on the grid of the sampler when absent, or where the loss lies. */
  readonly draws?: 'grid' | 'weight' | undefined
}

/** Two-level transformer: half of the first level's blocks before and half after the second level. */
export interface TwoLevelSizes {
  readonly widths: readonly [number, number]
  readonly blocks: readonly [number, number]
  readonly headWidth: number
  readonly dropout: number
}

/** A U-ViT as base model: convolutional stages from the latent's own grid down, a transformer on the smallest. */
export interface UvitSizes {
  /** Channels per convolutional stage; every stage halves the grid. */
  readonly channels: readonly number[]
  /** Residual blocks per stage, on the way down and again on the way up. */
  readonly convBlocks: number
  /** Of the transformer. */
  readonly width: number
  readonly blocks: number
}

/** Number of halvings between a patch grid and the latent grid. @throws when downsample is not patch·2ⁿ. */
export const halvings = (patch: number, downsample: number): number => {
  const n = Math.log2(downsample / patch)
  if (!Number.isInteger(n) || n < 0) {
    throw new Error(
      `latent.downsample ${downsample} is not ${patch} (the patch) times a power of two; use for example ${2 * patch}`,
    )
  }
  return n
}

/** The first `count` entries, the last one repeated where the list is shorter. */
export const stageChannels = (channels: readonly number[], count: number): number[] =>
  Array.from({ length: count }, (_, i) => channels[Math.min(i, channels.length - 1)])

/**
 * How often time is halved after each of `downs` halvings of space: once after each of the last, all that is left over after the
 * very last. @throws when it cannot be.
 */
export const timeHalvings = (time: TimeSizes | undefined, downs: number): number[] => {
  const count = Math.log2(time?.downsample ?? 1)
  if (!Number.isInteger(count) || count < 0) {
    throw new Error(`video.downsample ${time?.downsample} is not a power of two; use for example 4`)
  }
  if (downs === 0 && count > 0) {
    throw new Error(
      `video.downsample is ${time?.downsample}, but latent.downsample is no more than the patch, so that there is no stage to halve time in; raise latent.downsample`,
    )
  }
  const once = Math.min(count, downs)
  return Array.from({ length: downs }, (_, i) => {
    const own = i < downs - once ? 0 : 1
    return i === downs - 1 ? own + count - once : own
  })
}
