/** @file Stage 1 as an objective for the generic loop, and the noise, times and weights that it is fed. */

import { fillNormal, randomUniform, streamKey } from '../engine/host/random.ts'
import { float32, type HostTensor, int32, type Shape, scalar, zeros } from '../engine/host/tensor.ts'
import type { Value } from '../engine/ir/graph.ts'
import type { InputSpec } from '../engine/ir/program.ts'
import { mul, reduceMean, reduceSum, sqrt, square } from '../engine/ops/core.ts'
import type { Objective } from '../train/step.ts'
import {
  cosineSchedule,
  linearSchedule,
  resolutionShift,
  type Schedule,
  stratifiedTimes,
} from './diffusion/schedule.ts'
import { drawnLeastNoise, elboWeight, sigmoidWeight, type Weighting } from './diffusion/weighting.ts'
import { latentGrid, type ModelConfig } from './networks/config.ts'
import { type Stage1Inputs, stage1Spec, stage1Terms } from './unifiedLatents.ts'

/** λ_x runs from 10 to −10 (method.md section 3). */
const pixelLogSnr = 10

/** The prior's schedule: λ linear in t, least variance for the unweighted loss. */
export const priorSchedule = ({ latent }: ModelConfig): Schedule =>
  linearSchedule(latent.logSnr0, latent.logSnr1)
/** The decoder's schedule: cosine, shifted by resolution, exact end points. */
export const decoderSchedule = ({ size }: ModelConfig): Schedule =>
  cosineSchedule(pixelLogSnr, -pixelLogSnr, resolutionShift(size))

/** [B, 3, H, W] */
export const imageShape = ({ size }: ModelConfig, B: number): Shape => [B, 3, size, size]
/** [B, c, h, w] */
export const latentShape = (config: ModelConfig, B: number): Shape => {
  const grid = latentGrid(config)
  return [B, config.latent.channels, grid, grid]
}

/** What every input of the objective is given as; `zDraw` may be left out where the program does not read it. */
type PerInput<T> = { readonly [K in Exclude<keyof Stage1Inputs, 'zDraw'>]: T } & { readonly zDraw?: T }

/** Types of the objective's inputs for a batch of B images. */
export const stage1InputSpecs = (config: ModelConfig, B: number): PerInput<InputSpec> => ({
  x: { shape: imageShape(config, B) },
  zEps: { shape: latentShape(config, B) },
  z0Eps: { shape: latentShape(config, B) },
  xEps: { shape: imageShape(config, B) },
  zDraw: { shape: latentShape(config, B) },
  z0LogSnr: { shape: [B] },
  zLogSnr: { shape: [B] },
  zWeight: { shape: [B] },
  xLogSnr: { shape: [B] },
  xWeight: { shape: [B] },
  encoderShare: { shape: [] },
  seed: { shape: [], dtype: 'int32' },
})

/** Root mean square over all elements of the latent: collapse shows here first (method.md section 9). */
const rms = (z: Value): Value => sqrt(reduceMean(square(z)))

/** The stage-1 objective for a batch of B images; the loss is in nats per pixel. */
export const stage1Objective = (config: ModelConfig, B: number): Objective => ({
  name: 'stage1',
  spec: stage1Spec(config),
  inputs: stage1InputSpecs(config, B),
  trace: (lookUp, inputs) => {
    const terms = stage1Terms(config, lookUp, inputs as unknown as Stage1Inputs)
    return {
      loss: mul(reduceSum(terms.totalNats), 1 / (B * config.size ** 2)),
      report: {
        priorNats: terms.priorNats,
        terminalNats: terms.terminalNats,
        decoderNats: terms.decoderNats,
        latentRms: rms(terms.z),
      },
    }
  },
})

/** Noise of a batch: one stream per example, so that an image's noise does not depend on the batch around it. */
export const batchNoise = (shape: Shape, seed: number, name: string, firstExample: number): HostTensor => {
  const noise = zeros(shape)
  const [B] = shape as [number]
  const each = noise.data.length / B
  for (let i = 0; i < B; i++) {
    fillNormal(noise.data as Float32Array, streamKey(seed, name, firstExample + i), i * each, each)
  }
  return noise
}

/** λ and loss weight of a batch at stratified times (method.md section 3). */
export const batchLevels = (
  schedule: Schedule,
  weighting: Weighting,
  B: number,
  seed: number,
  name: string,
  step: number,
): { readonly logSnr: HostTensor; readonly weight: HostTensor } => {
  const times = stratifiedTimes(randomUniform(streamKey(seed, name), step), B)
  return {
    logSnr: float32(
      [B],
      times.map((t) => schedule.logSnr(t)),
    ),
    weight: float32(
      [B],
      times.map((t) => weighting(schedule, t)),
    ),
  }
}

const filled = (B: number, value: number): HostTensor => float32([B], new Float32Array(B).fill(value))

/** Noise levels and weights of L_z for a batch of B at a step. */
type LatentLevels = (
  config: ModelConfig,
  B: number,
  seed: number,
  step: number,
) => Pick<PerInput<HostTensor>, 'zLogSnr' | 'zWeight' | 'z0LogSnr'>

/** Levels of the plain ELBO from λ_z(0) on: what the rate is measured with. */
export const rateLevels: LatentLevels = (config, B, seed, step) => {
  const { logSnr, weight } = batchLevels(priorSchedule(config), elboWeight, B, seed, 'zTime', step)
  return { zLogSnr: logSnr, zWeight: weight, z0LogSnr: filled(B, config.latent.logSnr0) }
}

/** Levels of training: the same, or from a least noise that is drawn for each example (`variant.priorBias`). */
const trainingLevels: LatentLevels = (config, B, seed, step) => {
  const { priorBias: bias } = config.variant
  if (bias === null) return rateLevels(config, B, seed, step)
  const { logSnr0, logSnr1 } = config.latent
  const times = stratifiedTimes(randomUniform(streamKey(seed, 'zTime'), step), B)
  const schedules = Array.from({ length: B }, (_, i) => {
    const u = randomUniform(streamKey(seed, 'leastNoise'), step * B + i)
    return linearSchedule(drawnLeastNoise(bias, logSnr1 + 1, logSnr0, u), logSnr1)
  })
  return {
    zLogSnr: float32(
      [B],
      schedules.map((schedule, i) => schedule.logSnr(times[i]!)),
    ),
    zWeight: float32(
      [B],
      schedules.map((schedule, i) => elboWeight(schedule, times[i]!)),
    ),
    z0LogSnr: float32(
      [B],
      schedules.map((schedule) => schedule.logSnr0),
    ),
  }
}

/** Noise level and weight of L_x: one level, the Gaussian's precision e^b, where the decoder predicts at once. */
const pixelLevels = (config: ModelConfig, B: number, seed: number, step: number) => {
  const { bias, lossFactor } = config.decoder
  if (config.variant.decoder === 'diffusion') {
    const weighting = sigmoidWeight(bias, lossFactor)
    return batchLevels(decoderSchedule(config), weighting, B, seed, 'xTime', step)
  }
  return { logSnr: filled(B, -pixelLogSnr), weight: filled(B, (lossFactor * Math.exp(bias)) / 2) }
}

/**
 * Everything that stage 1 is fed at a step: a pure function of (seed, step), so that resuming needs no generator state.
 * @param images [B, 3, H, W] in [−1, 1]
 * @param encoderShare share of the prior's gradient that reaches the encoder
 * @param latentLevels levels of L_z other than those of training: what measuring takes
 */
export const stage1Feeds = (
  config: ModelConfig,
  images: Float32Array,
  seed: number,
  step: number,
  encoderShare: number,
  latentLevels: LatentLevels = trainingLevels,
): PerInput<HostTensor> => {
  const B = images.length / (3 * config.size ** 2)
  const first = step * B
  const x = pixelLevels(config, B, seed, step)
  const latentNoise = (name: string): HostTensor => batchNoise(latentShape(config, B), seed, name, first)
  return {
    x: float32(imageShape(config, B), images),
    zEps: latentNoise('zEps'),
    z0Eps: latentNoise('z0Eps'),
    xEps: batchNoise(imageShape(config, B), seed, 'xEps', first),
    ...(config.variant.variance === 'learned' ? { zDraw: latentNoise('zDraw') } : {}),
    ...latentLevels(config, B, seed, step),
    xLogSnr: x.logSnr,
    xWeight: x.weight,
    encoderShare: scalar(encoderShare),
    seed: int32([], [step]),
  }
}
