/** @file The figures of a run: what is measured of reconstructions, rates and samples, with how it was measured. */
import type { FeatureComparison } from './compareFeatures.ts'

/** A measured quantity and its standard error over images. */
export interface Measured {
  readonly mean: number
  readonly error: number
}

/** Validation figures of stage 1. */
export interface Evaluation {
  readonly count: number
  /** dB, MAX 2 on [−1, 1], per image then mean. */
  readonly psnr: Measured
  /** Structural similarity; null for images smaller than its window of 11×11. */
  readonly ssim?: Measured | null
  /** PSNR of averaging down to the latent grid and bilinear interpolation up. */
  readonly gridPsnr: Measured
  /** L_z/(H·W·ln 2), an upper bound on the latent's information (method.md section 3). */
  readonly bitsPerPixel: Measured
  /** L_z/(h·w·c·ln 2) */
  readonly bitsPerDim: Measured
  /** The same latents by the base model's unweighted ELBO in place of the prior's; absent without a base model. */
  readonly baseBitsPerPixel?: Measured
  /** Of clips: the same rate for each latent frame, counted over the frames that it stands for. */
  readonly bitsPerPixelByFrame?: readonly Measured[]
  /** Of clips in which nothing moves. */
  readonly still?: StillRate
  /** Of clips of a run with a base model: how well it predicts. */
  readonly prediction?: Prediction
  /** Loss terms in nats per image. */
  readonly priorNats: Measured
  readonly terminalNats: Measured
  readonly decoderNats: Measured
  /** Root mean square of the clean latent. */
  readonly latentRms: number
  /** Reconstructions (encode, then all decoder steps) per second, compiling not counted. */
  readonly imagesPerSecond: number
  /** Every other metric of reconstructions (reconstruction.ts), by its key. */
  readonly [metric: string]: unknown
}

/** What clips cost in which the first frame stands still, in bits each, and what that frame costs as one image. */
export interface StillRate {
  readonly count: number
  readonly clipBits: Measured
  readonly imageBits: Measured
  /** Of the means. */
  readonly ratio: number
}

/**
 * Predictions of held-out clips, held against what came and against what needs no model. Figures are of single draws, their mean
 * over several of each clip; what is *expected* is the mean of a clip's draws.
 */
export interface Prediction {
  /** Clips, the frames that were given of each, and how often each was predicted (once where absent). */
  readonly count: number
  readonly given: number
  readonly draws?: number
  /** Guidance by the given frames; 1, none, where absent. */
  readonly guidance?: number
  /** PSNR of the frames that were generated, in dB: mean over a clip's frames, then over clips; and of the last given frame, repeated. */
  readonly psnr: Measured
  readonly expectedPsnr?: Measured
  readonly repeatedPsnr: Measured
  /** By frame, the first after the given ones first. */
  readonly psnrByFrame: readonly Measured[]
  readonly expectedPsnrByFrame?: readonly Measured[]
  readonly repeatedPsnrByFrame: readonly Measured[]
  /**
   * Where everything's true place is known: how far the one in front is from it, by frame, in pixels; its mean place over
   * draws; going on as it last went; and staying where it last was.
   */
  readonly positionErrorByFrame?: readonly Measured[]
  readonly expectedPositionErrorByFrame?: readonly Measured[]
  readonly constantVelocityErrorByFrame?: readonly Measured[]
  readonly repeatedPositionErrorByFrame?: readonly Measured[]
}

const isMeasured = (value: unknown): value is Measured =>
  typeof value === 'object' && value !== null && 'mean' in value && 'error' in value

/** What was measured, by name: numbers, and means with their errors. */
export const measuredEntries = (evaluation: Evaluation): [string, Measured | number][] =>
  Object.entries(evaluation).flatMap(([name, value]): [string, Measured | number][] =>
    typeof value === 'number' || isMeasured(value) ? [[name, value]] : [],
  )

/** Distances with what they depend on. */
export interface Quality {
  readonly protocol: {
    readonly network: string
    readonly quantiser: string
    /** What reconstructions and samples are compared with. */
    readonly reconstructionsOf?: string
    readonly samplesAgainst?: string
    /** Images asked for; fewer are reconstructed where the data has fewer. */
    readonly samples?: number
    readonly seed?: number
    readonly latentSampler: string
    readonly decoderSampler: string
    readonly guidance: number
    /** Where guidance acts, if it is not 1. */
    readonly guidanceLogSnr?: readonly [number, number]
  }
  /** Reconstructions against the same images (rFID); null where nothing is reconstructed (pixel diffusion). */
  readonly reconstruction: FeatureComparison | null
  /** Samples against all training images, classes as often as there (gFID); null without a model that generates. */
  readonly generation: FeatureComparison | null
  /** CLIP scores, where they were asked for. */
  readonly clip?: ClipFigures
}

/** The frames of clips that a model was given, where it made the others. */
export interface GivenFrames {
  readonly count: number
  /** Whether what was scored begins with frames as the data has them, or with their reconstructions. */
  readonly are: 'true' | 'decoded'
  /** Whether they are scored with the others (MAGVIT's protocol for Kinetics-600), or left out on both sides. */
  readonly scored: boolean
}

/** A Fréchet distance of clips, as FVD is one, with what it depends on. */
export interface ClipDistance {
  readonly protocol: {
    readonly network: string
    readonly quantiser: string
    /** Which frames are scored, and what those were that were given. */
    readonly frames: string
    readonly realCount: number
    /** Of all folds together. */
    readonly fakeCount: number
    readonly folds: number
  }
  /** "FVD", or what else the network's description calls it. */
  readonly name: string
  /** Mean over folds. */
  readonly distance: number
  /** Standard deviation over folds; null of a single one. */
  readonly deviation: number | null
  readonly each: readonly number[]
}

/** A CLIP score: 100·cos, its mean over images with the standard error. */
export interface ClipScore {
  readonly mean: number
  readonly error: number
  readonly count: number
}

/** CLIP scores with what they depend on. */
export interface ClipFigures {
  readonly protocol: {
    readonly model: string
    readonly score: string
    readonly captions: string
    readonly prompts: string
  }
  /** Reconstructions by captions, and the images that they were made of; null without captions or reconstructions. */
  readonly reconstructions: ClipScore | null
  readonly originals: ClipScore | null
  /** Samples by class names, and as many images of these classes; null without classes or samples. */
  readonly samples: ClipScore | null
  readonly originalsByClass: ClipScore | null
}
