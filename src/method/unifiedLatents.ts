/**
 * @file Unified Latents: the two objectives and the denoisers that sampling needs, assembled from the networks
 * (method.md sections 3 and 4). All losses are sums in nats, one number per example.
 */

import { float32, zeros } from '../engine/host/tensor.ts'
import type { Value } from '../engine/ir/graph.ts'
import { bindParams, type Spec } from '../engine/nn/params.ts'
import { depthToSpace, spaceToDepth } from '../engine/ops/conv.ts'
import { add, constant, exp, maximum, minimum, mul, square, stopGradient, sub } from '../engine/ops/core.ts'
import { concat, slice } from '../engine/ops/slice.ts'
import {
  diffuse,
  levelOf,
  normalKlElements,
  posteriorEntropyElements,
  sumPerExample,
  vLoss,
  vLossElements,
  vTarget,
  xFromV,
} from './diffusion/process.ts'
import { alphaOf } from './diffusion/schedule.ts'
import { baseSpec, baseV } from './networks/base.ts'
import type { ModelConfig } from './networks/config.ts'
import { decoderSpec, decoderV } from './networks/decoder.ts'
import { encode, encoderSpec, type Posterior } from './networks/encoder.ts'
import { priorSpec, priorV } from './networks/prior.ts'

/** Finds a parameter's value by its path. */
export type LookUp = (path: string) => Value

/** Parameters of stage 1: encoder, prior (where it is a diffusion model) and decoder under their names. */
export const stage1Spec = (config: ModelConfig): Spec => ({
  encoder: encoderSpec(config),
  ...(config.variant.prior === 'diffusion' ? { prior: priorSpec(config) } : {}),
  decoder: decoderSpec(config),
})

/** Parameters of stage 2. */
export const stage2Spec = (config: ModelConfig): Spec => ({ base: baseSpec(config) })

const encoderOf = (config: ModelConfig, lookUp: LookUp) => bindParams(encoderSpec(config), lookUp, 'encoder')
const priorOf = (config: ModelConfig, lookUp: LookUp) => bindParams(priorSpec(config), lookUp, 'prior')
const decoderOf = (config: ModelConfig, lookUp: LookUp) => bindParams(decoderSpec(config), lookUp, 'decoder')
const baseOf = (config: ModelConfig, lookUp: LookUp) => bindParams(baseSpec(config), lookUp, 'base')

const posteriorOf = (config: ModelConfig, lookUp: LookUp, x: Value): Posterior =>
  encode(encoderOf(config, lookUp), config, x)

/** z = mean + σ_z·ε; the encoder's output itself where it is deterministic. */
const drawn = ({ mean, logVariance }: Posterior, eps: Value | undefined): Value =>
  logVariance === null ? mean : add(mean, mul(exp(mul(logVariance, 0.5)), eps!))

/** The clean latent z [B, c, h, w] of images. @param eps noise of a learned variance; not read without one */
export const zClean = (config: ModelConfig, lookUp: LookUp, x: Value, eps?: Value): Value =>
  config.variant.encoder === 'pixels'
    ? spaceToDepth(x, config.latent.downsample)
    : drawn(posteriorOf(config, lookUp, x), eps)

/** Images [B, 3, H, W] of latents that are pixels (variant.encoder). */
export const pixelsOf = (config: ModelConfig, z: Value): Value => depthToSpace(z, config.latent.downsample)

/** Inputs of the stage-1 objective besides parameters. Times enter as log-SNR and loss weight, see weighting.ts. */
export interface Stage1Inputs {
  /** Images [B, 3, H, W] in [−1, 1]. */
  readonly x: Value
  /** Noise of z_t, of z_0 and of x_t. */
  readonly zEps: Value
  readonly z0Eps: Value
  readonly xEps: Value
  /** Noise of the encoder's own variance, where it is learned. */
  readonly zDraw?: Value
  /** Log-SNR of z_0, [B]: λ_z(0) for every image unless `variant.priorBias` is set. */
  readonly z0LogSnr: Value
  /** λ_z(t) and the weight of ‖v − v̂‖² in L_z, [B]. */
  readonly zLogSnr: Value
  readonly zWeight: Value
  /** λ_x(t) and the weight in L_x, [B]. */
  readonly xLogSnr: Value
  readonly xWeight: Value
  /** Share of the prior's gradient that reaches the encoder, scalar in [0, 1] (method.md section 9). */
  readonly encoderShare: Value
  /** Drives dropout; absent at evaluation. */
  readonly seed?: Value
}

/** Terms of the stage-1 objective per example, in nats, [B]. */
export interface Stage1Terms {
  /** L_z, the latent's rate: its diffusion part (unweighted ELBO) and the rest, KL[p(z_1|x) ‖ N(0, I)]. */
  readonly priorNats: Value
  readonly terminalNats: Value
  /** L_x, sigmoid-weighted and times the loss factor. */
  readonly decoderNats: Value
  /** What is minimised: L_z + L_x, as `variant` changes it. */
  readonly totalNats: Value
  /** L_z before summing, [B, c, h, w]. */
  readonly rateElements: Value
  /** The clean latent, for logging. */
  readonly z: Value
}

/** Multiplies the gradient that flows back to v, not v: v·w + stopGradient(v)·(1 − w). */
const scaledGradient = (v: Value, share: Value): Value =>
  add(mul(v, share), mul(stopGradient(v), sub(1, share)))

/**
 * KL[p(z_0|x) ‖ N(0, I)] of every element. With a learned variance s² = α²σ_z² + σ² in place of σ², so that
 * ½α²σ_z² − ½·ln(1 + σ_z²e^λ) is added.
 */
const normalPriorElements = ({ latent }: ModelConfig, { mean, logVariance }: Posterior): Value => {
  const ofMean = normalKlElements(mean, latent.logSnr0)
  if (logVariance === null) return ofMean
  const spread = mul(exp(logVariance), alphaOf(latent.logSnr0) ** 2 / 2)
  return add(ofMean, add(spread, posteriorEntropyElements(logVariance, latent.logSnr0)))
}

/** L_z in its two parts, per example and per element (method.md section 3). */
interface Rate {
  readonly diffusion: Value
  readonly rest: Value
  readonly elements: Value
}

/** The rate by a diffusion prior of z. */
const diffusionRate = (
  config: ModelConfig,
  lookUp: LookUp,
  z: Value,
  logVariance: Value | null,
  inputs: Stage1Inputs,
): Rate => {
  const level = levelOf(inputs.zLogSnr, 4)
  const zT = diffuse(z, inputs.zEps, level)
  const [v, vHat] = [
    vTarget(z, inputs.zEps, level),
    priorV(priorOf(config, lookUp), config, zT, inputs.zLogSnr),
  ]
  const terminal = normalKlElements(z, config.latent.logSnr1)
  const rest =
    logVariance === null ? terminal : add(terminal, posteriorEntropyElements(logVariance, inputs.z0LogSnr))
  return {
    diffusion: vLoss(v, vHat, inputs.zWeight),
    rest: sumPerExample(rest),
    elements: add(vLossElements(v, vHat, inputs.zWeight), rest),
  }
}

/** L_x: the decoder's sigmoid-weighted loss, or its squared error where it predicts the image at once. */
const decoderNats = (config: ModelConfig, lookUp: LookUp, z0: Value, inputs: Stage1Inputs): Value => {
  const { x, xEps, xLogSnr, xWeight, z0LogSnr, seed } = inputs
  const level = levelOf(xLogSnr, 4)
  const decoder = decoderOf(config, lookUp)
  if (config.variant.decoder === 'mse') {
    const nothing = constant(zeros(x.shape))
    const xHat = xFromV(nothing, decoderV(decoder, config, nothing, z0, xLogSnr, z0LogSnr, seed), level)
    return mul(xWeight, sumPerExample(square(sub(x, xHat))))
  }
  const xT = diffuse(x, xEps, level) // [B, 3, H, W]
  const xV = decoderV(decoder, config, xT, z0, xLogSnr, z0LogSnr, seed)
  return vLoss(vTarget(x, xEps, level), xV, xWeight)
}

/**
 * The stage-1 objective (method.md section 3): L = L_z + L_x, the gradients of both reach the encoder. A normal prior or
 * `klWeight` adds the KL to N(0, I) times that weight (`variant`).
 */
export const stage1Terms = (config: ModelConfig, lookUp: LookUp, inputs: Stage1Inputs): Stage1Terms => {
  const { x, encoderShare } = inputs
  const { prior, klWeight, stopGradient: stopped } = config.variant
  const posterior = posteriorOf(config, lookUp, x)
  const z = drawn(posterior, inputs.zDraw) // [B, c, h, w]
  const z0 = diffuse(z, inputs.z0Eps, levelOf(inputs.z0LogSnr, 4))
  const ofDecoder = decoderNats(config, lookUp, z0, inputs)
  const scaled: Posterior = {
    mean: scaledGradient(posterior.mean, encoderShare),
    logVariance: posterior.logVariance && scaledGradient(posterior.logVariance, encoderShare),
  }
  const normal = normalPriorElements(config, scaled)
  const charged = (nats: Value): Value =>
    klWeight === 0 ? nats : add(nats, mul(sumPerExample(normal), klWeight))
  if (prior === 'normal') {
    const priorNats = sumPerExample(normal)
    const terminalNats = constant(zeros(priorNats.shape))
    return {
      priorNats,
      terminalNats,
      decoderNats: ofDecoder,
      totalNats: charged(ofDecoder),
      rateElements: normal,
      z,
    }
  }
  const rate = stopped
    ? diffusionRate(
        config,
        lookUp,
        stopGradient(z),
        posterior.logVariance && stopGradient(posterior.logVariance),
        inputs,
      )
    : diffusionRate(config, lookUp, drawn(scaled, inputs.zDraw), scaled.logVariance, inputs)
  return {
    priorNats: rate.diffusion,
    terminalNats: rate.rest,
    decoderNats: ofDecoder,
    totalNats: charged(add(add(rate.diffusion, rate.rest), ofDecoder)),
    rateElements: rate.elements,
    z,
  }
}

/** Inputs of the stage-2 objective besides parameters. */
export interface Stage2Inputs {
  /** Clean latents of the frozen encoder [B, c, h, w]. */
  readonly z: Value
  readonly zEps: Value
  readonly zLogSnr: Value
  /** Sigmoid weight of ‖v − v̂‖², [B]. */
  readonly zWeight: Value
  /** Class per example, the null label where it was dropped; int32 [B]. */
  readonly labels: Value
  readonly seed?: Value
}

/** The stage-2 objective per example, in nats, [B] (method.md section 4). */
export const stage2Nats = (config: ModelConfig, lookUp: LookUp, inputs: Stage2Inputs): Value => {
  const level = levelOf(inputs.zLogSnr, 4)
  const zT = diffuse(inputs.z, inputs.zEps, level)
  const v = baseV(baseOf(config, lookUp), config, zT, inputs.zLogSnr, inputs.labels, inputs.seed)
  return vLoss(vTarget(inputs.z, inputs.zEps, level), v, inputs.zWeight)
}

/** Inputs of one denoising step: x_s = keep·x_t + clean·x̂ + noise·ε with scalar coefficients (see sampler.ts). */
export interface StepInputs {
  readonly xT: Value
  readonly eps: Value
  readonly logSnr: Value
  readonly keep: Value
  readonly clean: Value
  readonly noise: Value
}

const takeStep = ({ xT, eps, keep, clean, noise }: StepInputs, xHat: Value): Value =>
  add(add(mul(xT, keep), mul(xHat, clean)), mul(eps, noise))

const clipPixels = (x: Value): Value => minimum(maximum(x, -1), 1)

/** λ repeated for the batch, as a constant. */
const constantLevel = (logSnr: number, B: number): Value =>
  constant(float32([B], new Float32Array(B).fill(logSnr)))

/** One decoder step towards the image; x̂ is clipped to the pixels' range [−1, 1]. */
export const decoderStep = (config: ModelConfig, lookUp: LookUp, z0: Value, step: StepInputs): Value => {
  const z0LogSnr = constantLevel(config.latent.logSnr0, z0.shape[0]!)
  const v = decoderV(decoderOf(config, lookUp), config, step.xT, z0, step.logSnr, z0LogSnr)
  return takeStep(step, clipPixels(xFromV(step.xT, v, levelOf(step.logSnr, 4))))
}

/**
 * One step of the stage-1 prior towards a latent: what generates where there is no base model (Appendix B). Latents are
 * not clipped.
 */
export const priorStep = (config: ModelConfig, lookUp: LookUp, step: StepInputs): Value => {
  const v = priorV(priorOf(config, lookUp), config, step.xT, step.logSnr)
  return takeStep(step, xFromV(step.xT, v, levelOf(step.logSnr, 4)))
}

/** x̂ of pixels lies in [−1, 1] and is clipped as the decoder's; latents are not clipped. */
const bounded = ({ variant }: ModelConfig, zHat: Value): Value =>
  variant.encoder === 'pixels' ? clipPixels(zHat) : zHat

/** One base step towards a latent, without guidance. */
export const baseStep = (config: ModelConfig, lookUp: LookUp, labels: Value, step: StepInputs): Value => {
  const v = baseV(baseOf(config, lookUp), config, step.xT, step.logSnr, labels)
  return takeStep(step, bounded(config, xFromV(step.xT, v, levelOf(step.logSnr, 4))))
}

/**
 * One base step towards a latent, with classifier-free guidance x̂ = x̂_null + g·(x̂_class − x̂_null); both branches run
 * as one batch. Latents are not clipped.
 * @param guidance scalar g; 1 is the conditional model alone
 */
export const guidedBaseStep = (
  config: ModelConfig,
  lookUp: LookUp,
  labels: Value,
  nullLabels: Value,
  guidance: Value,
  step: StepInputs,
): Value => {
  const B = labels.shape[0]!
  const twice = (v: Value): Value => concat([v, v], 0)
  const logSnr = twice(step.logSnr)
  const v = baseV(baseOf(config, lookUp), config, twice(step.xT), logSnr, concat([labels, nullLabels], 0))
  const xHat = xFromV(twice(step.xT), v, levelOf(logSnr, 4))
  const conditional = slice(xHat, 0, 0, B)
  const unconditional = slice(xHat, 0, B, 2 * B)
  const xGuided = add(unconditional, mul(sub(conditional, unconditional), guidance))
  return takeStep(step, bounded(config, xGuided))
}
