/**
 * @file What the stage-1 objective is made of: the latent's posterior, its rate and the distortion. Each is a value that a
 * configuration chooses once, in variants.ts.
 */
import type { HostTensor } from '../../engine/host/tensor.ts'
import type { Value } from '../../engine/ir/graph.ts'
import type { Network } from '../../engine/nn/network.ts'
import { add, exp, mul } from '../../engine/ops/core.ts'
import type { DropoutKey } from '../../engine/ops/dropout.ts'
import type { Draw } from '../diffusion/draws.ts'
import type { LatentConfig } from '../networks/config.ts'
import type { DecoderConfig } from '../networks/decoder.ts'
import type { GivenFrames } from '../networks/given.ts'
import type { PriorConfig } from '../networks/prior.ts'
import type { Extent } from '../networks/shapes.ts'

/** What the encoder says of an image's latent. */
export interface Posterior {
  /** [B, c, h, w] */
  readonly mean: Value
  /** ln σ_z², [B, c, h, w]; null where the encoder is deterministic, as the method has it. */
  readonly logVariance: Value | null
}

/** How the encoder's output is read. */
export interface PosteriorPart {
  /** Numbers that the encoder gives for each number of the latent. */
  readonly outputs: number
  /** @param out the encoder's output [B, outputs·c, h, w] */
  posterior(out: Value, latent: LatentConfig): Posterior
}

/** z = mean + σ_z·ε; the encoder's output itself where it is deterministic. @param eps not read there */
export const drawnLatent = ({ mean, logVariance }: Posterior, eps: Value): Value =>
  logVariance === null ? mean : add(mean, mul(exp(mul(logVariance, 0.5)), eps))

/** What rates and distortions are configured by. */
export interface PartConfig {
  readonly image: Extent
  readonly latent: LatentConfig
  readonly prior: PriorConfig
  readonly decoder: DecoderConfig
  /** c_lf and b of L_x. */
  readonly lossFactor: number
  readonly bias: number
  /** Weight in the loss of the latent's KL to N(0, I). */
  readonly klWeight: number
  /** Bias of a weighted prior; null for the ELBO. */
  readonly priorBias: number | null
}

/** A posterior with another function of its tensors. */
export const mapPosterior = ({ mean, logVariance }: Posterior, each: (v: Value) => Value): Posterior => ({
  mean: each(mean),
  logVariance: logVariance && each(logVariance),
})

/** Traced inputs of a rate. Levels are [B]. */
export interface RateInputs {
  /** Noise of z_t, and of the encoder's own variance. */
  readonly zEps: Value
  readonly zDraw: Value
  /** λ_z(t), the weight of ‖v − v̂‖² in L_z, and λ of z_0. */
  readonly zLogSnr: Value
  readonly zWeight: Value
  readonly z0LogSnr: Value
  /** Share of the rate's gradient that reaches the encoder, scalar in [0, 1] (docs/method.md). */
  readonly encoderShare: Value
}

/** L_z in nats. */
export interface RateTerms {
  /** Its diffusion part and the rest, per example, [B]. */
  readonly diffusion: Value
  readonly rest: Value
  /** Before summing, [B, c, h, w]. */
  readonly elements: Value
  /** What the loss is charged for the latent, [B]. */
  readonly charge: Value
  /** What it is charged on top, [B]; absent in the method. */
  readonly penalty?: Value
}

/** A rate with its networks in place. */
export type RateOf = (posterior: Posterior, inputs: RateInputs) => RateTerms

/** Noise levels and weights of L_z for a draw's examples, [B] each. */
export interface RateLevels {
  readonly zLogSnr: HostTensor
  readonly zWeight: HostTensor
  readonly z0LogSnr: HostTensor
}

/** The latent's rate L_z. */
export interface RatePart {
  /** The prior, where there is one, as the function from posterior to nats. */
  network(config: PartConfig): Network<RateOf>
  /** Levels of training; the rate is measured by those of the plain ELBO (elboLevels). */
  levels(config: PartConfig, draw: Draw): RateLevels
}

/** Another function of a rate, its network and levels as they are. */
export const rateWith = (
  rate: RatePart,
  change: (terms: RateOf, config: PartConfig) => RateOf,
): RatePart => ({
  ...rate,
  network: (config) => {
    const { spec, bind } = rate.network(config)
    return { spec, bind: (lookUp, path) => change(bind(lookUp, path), config) }
  },
})

/** Traced inputs of a distortion. Levels are [B]. */
export interface DistortionInputs {
  /** Images [B, 3, H, W] in [−1, 1], and the noise of x_t. */
  readonly x: Value
  readonly xEps: Value
  /** λ_x(t) and the weight in L_x. */
  readonly xLogSnr: Value
  readonly xWeight: Value
  /** λ of z_0. */
  readonly z0LogSnr: Value
  /** What is given of clips; absent for images. */
  readonly given?: GivenFrames | undefined
  readonly dropout?: DropoutKey | undefined
}

/** A distortion with its network in place: nats per example, [B], from z_0. */
export type DistortionOf = (z0: Value, inputs: DistortionInputs) => Value

/** The distortion L_x. */
export interface DistortionPart {
  /** The decoder as the function from z_0 to nats per example, [B]. */
  network(config: PartConfig): Network<DistortionOf>
  levels(config: PartConfig, draw: Draw): { readonly xLogSnr: HostTensor; readonly xWeight: HostTensor }
  /** Whether the decoder predicts the image in one step, from nothing but the latent. */
  readonly isOneStep: boolean
}
