/**
 * @file Unified Latents: the two objectives and the denoisers that sampling needs, assembled from the networks
 * (method.md sections 3 and 4). All losses are sums in nats, one number per example.
 */

import { diffuse, levelOf, terminalKl, vLoss, vTarget, xFromV } from '../diffusion/process.ts'
import { float32 } from '../host/tensor.ts'
import type { Value } from '../ir/graph.ts'
import { bindParams, type Spec } from '../nn/params.ts'
import { add, constant, maximum, minimum, mul, stopGradient, sub } from '../ops/core.ts'
import { concat, slice } from '../ops/slice.ts'
import { baseSpec, baseV } from './base.ts'
import type { ModelConfig } from './config.ts'
import { decoderSpec, decoderV } from './decoder.ts'
import { encode, encoderSpec } from './encoder.ts'
import { priorSpec, priorV } from './prior.ts'

/** Finds a parameter's value by its path. */
export type LookUp = (path: string) => Value

/** Parameters of stage 1: encoder, prior and decoder under their names. */
export const stage1Spec = (config: ModelConfig): Spec => ({
  encoder: encoderSpec(config),
  prior: priorSpec(config),
  decoder: decoderSpec(config),
})

/** Parameters of stage 2. */
export const stage2Spec = (config: ModelConfig): Spec => ({ base: baseSpec(config) })

const encoderOf = (config: ModelConfig, lookUp: LookUp) => bindParams(encoderSpec(config), lookUp, 'encoder')
const priorOf = (config: ModelConfig, lookUp: LookUp) => bindParams(priorSpec(config), lookUp, 'prior')
const decoderOf = (config: ModelConfig, lookUp: LookUp) => bindParams(decoderSpec(config), lookUp, 'decoder')
const baseOf = (config: ModelConfig, lookUp: LookUp) => bindParams(baseSpec(config), lookUp, 'base')

/** λ repeated for the batch, as a constant. */
const constantLevel = (logSnr: number, B: number): Value =>
  constant(float32([B], new Float32Array(B).fill(logSnr)))

/** The encoder's output z [B, c, h, w]. */
export const zClean = (config: ModelConfig, lookUp: LookUp, x: Value): Value =>
  encode(encoderOf(config, lookUp), config, x)

/** z_0 = α_0·zClean + σ_0·ε at the fixed level λ_z(0) (method.md section 1). */
export const noisyLatent = (config: ModelConfig, z: Value, eps: Value): Value =>
  diffuse(z, eps, levelOf(constantLevel(config.latent.logSnr0, z.shape[0]!), z.shape.length))

/** Inputs of the stage-1 objective besides parameters. Times enter as log-SNR and loss weight, see weighting.ts. */
export interface Stage1Inputs {
  /** Pictures [B, 3, H, W] in [−1, 1]. */
  readonly x: Value
  /** Noise of z_t, of z_0 and of x_t. */
  readonly zEps: Value
  readonly z0Eps: Value
  readonly xEps: Value
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
  /** Diffusion part of L_z, unweighted ELBO. */
  readonly priorNats: Value
  /** KL[p(z_1|x) ‖ N(0, I)], the other part of L_z. */
  readonly terminalNats: Value
  /** L_x, sigmoid-weighted and times the loss factor. */
  readonly decoderNats: Value
  /** The encoder's output, for logging. */
  readonly z: Value
}

/** The stage-1 objective (method.md section 3): L = L_z + L_x, the gradients of both reach the encoder. */
export const stage1Terms = (config: ModelConfig, lookUp: LookUp, inputs: Stage1Inputs): Stage1Terms => {
  const { x, encoderShare, seed } = inputs
  const z = zClean(config, lookUp, x) // [B, c, h, w]
  // z·w + stopGradient(z)·(1 − w): the same value, a scaled gradient.
  const zPrior = add(mul(z, encoderShare), mul(stopGradient(z), sub(1, encoderShare)))
  const zLevel = levelOf(inputs.zLogSnr, 4)
  const zT = diffuse(zPrior, inputs.zEps, zLevel)
  const zV = priorV(priorOf(config, lookUp), config, zT, inputs.zLogSnr)
  const z0 = noisyLatent(config, z, inputs.z0Eps)
  const xLevel = levelOf(inputs.xLogSnr, 4)
  const xT = diffuse(x, inputs.xEps, xLevel) // [B, 3, H, W]
  const xV = decoderV(decoderOf(config, lookUp), config, xT, z0, inputs.xLogSnr, seed)
  return {
    priorNats: vLoss(vTarget(zPrior, inputs.zEps, zLevel), zV, inputs.zWeight),
    terminalNats: terminalKl(zPrior, config.latent.logSnr1),
    decoderNats: vLoss(vTarget(x, inputs.xEps, xLevel), xV, inputs.xWeight),
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

/** One decoder step towards the picture; x̂ is clipped to the pixels' range [−1, 1] (references.md 1.6). */
export const decoderStep = (config: ModelConfig, lookUp: LookUp, z0: Value, step: StepInputs): Value => {
  const v = decoderV(decoderOf(config, lookUp), config, step.xT, z0, step.logSnr)
  return takeStep(step, clipPixels(xFromV(step.xT, v, levelOf(step.logSnr, 4))))
}

/**
 * One base step towards a latent, with classifier-free guidance x̂ = x̂_null + g·(x̂_class − x̂_null); both branches run
 * as one batch. Latents are not clipped.
 * @param guidance scalar g; 1 is the conditional model alone
 */
export const baseStep = (
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
  return takeStep(step, add(unconditional, mul(sub(conditional, unconditional), guidance)))
}
