/** @file Sizes of the networks. Every number of the paper's architecture (method.md section 5) is a field here. */

/** Latent shape and noise range. */
export interface LatentConfig {
  readonly channels: number
  /** Pixels per latent position along height and width; a power of two times the patch. */
  readonly downsample: number
  /** λ_z(0): the fixed noise of the encoder's output and the least noise of prior and base. */
  readonly logSnr0: number
  /** λ_z(1) */
  readonly logSnr1: number
}

/** ResNet encoder: one stage per resolution from the patch grid down to the latent grid. */
export interface EncoderConfig {
  /** Side of the patches that become channels first. */
  readonly patch: number
  /** Channels per stage; the last is repeated where there are more stages. */
  readonly channels: readonly number[]
  /** Residual blocks per stage, and in the last stage. */
  readonly blocks: number
  readonly lastBlocks: number
}

/** One-level transformer on the latent grid. */
export interface PriorConfig {
  readonly width: number
  readonly blocks: number
  readonly headWidth: number
}

/** U-ViT decoder: convolutional stages around a transformer on the latent grid. */
export interface DecoderConfig {
  readonly patch: number
  /** Channels per convolutional stage; the last is repeated where there are more stages. */
  readonly channels: readonly number[]
  /** Residual blocks per stage, on the way down and again on the way up. */
  readonly convBlocks: number
  readonly width: number
  readonly blocks: number
  readonly headWidth: number
  readonly dropout: number
  /** c_lf, the loss factor. */
  readonly lossFactor: number
  /** b, the bias of the sigmoid weight. */
  readonly bias: number
}

/** Two-level transformer for stage 2: half of the first level's blocks before and half after the second level. */
export interface BaseConfig {
  readonly widths: readonly [number, number]
  readonly blocks: readonly [number, number]
  readonly headWidth: number
  readonly dropout: number
  /** b of its own sigmoid weight. */
  readonly bias: number
  /** Share of labels replaced by "no class" for guidance. */
  readonly labelDropout: number
}

/**
 * Departures from the method, one for each comparison that the paper makes (Tables 5 and 6, Figure 4, Appendix B). They
 * are parts of the same objective, see unifiedLatents.ts.
 */
export interface VariantConfig {
  /** `pixels`: no encoder and no stage 1, the latent is the image itself (pixel diffusion, Figure 4). */
  readonly encoder: 'resnet' | 'pixels'
  /** `learned`: the encoder predicts a variance, too (Table 6, row D). */
  readonly variance: 'fixed' | 'learned'
  /** `normal`: the latent's rate is its KL to N(0, I), times `klWeight` in the loss (Table 5, and the KL-VAE of Figure 4). */
  readonly prior: 'diffusion' | 'normal'
  /** The prior learns the latent but does not shape it (Table 6, row A). */
  readonly stopGradient: boolean
  /** Weight in the loss of the latent's KL to N(0, I). */
  readonly klWeight: number
  /**
   * Bias b of a sigmoid weight for the prior, null for the plain ELBO: the latent's least noise is then drawn for each
   * image so that the expected weight is sigmoid(b − λ), and the decoder is told it (Appendix B, second variant).
   */
  readonly priorBias: number | null
  /** `mse`: one prediction of the image from the latent alone, a Gaussian of precision e^b (Table 5). */
  readonly decoder: 'diffusion' | 'mse'
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

/** Everything that decides the shapes of the four networks. */
export interface ModelConfig {
  /** Height and width of the images. */
  readonly size: number
  /** Frames; 1 for images. */
  readonly frames: number
  /** Number of classes; 0 for none. */
  readonly classes: number
  readonly latent: LatentConfig
  readonly encoder: EncoderConfig
  readonly prior: PriorConfig
  readonly decoder: DecoderConfig
  readonly base: BaseConfig
  readonly variant: VariantConfig
  /** Whether the backward pass computes each block again instead of keeping its intermediates (less memory, more time). */
  readonly recompute: boolean
}

/** Height and width of the latent grid. @throws when the sizes do not divide. */
export const latentGrid = (config: ModelConfig): number => {
  const { size, latent } = config
  if (size % latent.downsample !== 0) {
    throw new Error(
      `data.size ${size} is not a multiple of latent.downsample ${latent.downsample}; change one of them`,
    )
  }
  return size / latent.downsample
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
  Array.from({ length: count }, (_, i) => channels[Math.min(i, channels.length - 1)]!)
