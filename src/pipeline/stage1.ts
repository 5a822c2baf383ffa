/** @file Stage 1 as an objective for the generic loop, and the noise, times and weights that it is fed. */
import {
  cosineSchedule,
  linearSchedule,
  resolutionShift,
  type Schedule,
  stratifiedTimes,
} from '../diffusion/schedule.ts'
import { elboWeight, sigmoidWeight, type Weighting } from '../diffusion/weighting.ts'
import { fillNormal, randomUniform, streamKey } from '../host/random.ts'
import { float32, type HostTensor, int32, type Shape, scalar, zeros } from '../host/tensor.ts'
import type { Value } from '../ir/graph.ts'
import type { InputSpec } from '../ir/program.ts'
import { latentGrid, type ModelConfig } from '../models/config.ts'
import { type Stage1Inputs, stage1Spec, stage1Terms } from '../models/unifiedLatents.ts'
import { add, mul, reduceMean, reduceSum, sqrt, square } from '../ops/core.ts'
import type { Objective } from '../train/step.ts'

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

const stage1InputSpecs = (config: ModelConfig, B: number): Record<keyof Stage1Inputs, InputSpec> => ({
  x: { shape: imageShape(config, B) },
  zEps: { shape: latentShape(config, B) },
  z0Eps: { shape: latentShape(config, B) },
  xEps: { shape: imageShape(config, B) },
  zLogSnr: { shape: [B] },
  zWeight: { shape: [B] },
  xLogSnr: { shape: [B] },
  xWeight: { shape: [B] },
  encoderShare: { shape: [] },
  seed: { shape: [], dtype: 'int32' },
})

/** Root mean square over all elements of the latent: collapse shows here first (method.md section 9). */
const rms = (z: Value): Value => sqrt(reduceMean(square(z)))

/** The stage-1 objective for a batch of B pictures; the loss is in nats per pixel. */
export const stage1Objective = (config: ModelConfig, B: number): Objective => ({
  name: 'stage1',
  spec: stage1Spec(config),
  inputs: stage1InputSpecs(config, B),
  trace: (lookUp, inputs) => {
    const terms = stage1Terms(config, lookUp, inputs as unknown as Stage1Inputs)
    const nats = add(add(terms.priorNats, terms.terminalNats), terms.decoderNats) // [B]
    return {
      loss: mul(reduceSum(nats), 1 / (B * config.size ** 2)),
      report: {
        priorNats: terms.priorNats,
        terminalNats: terms.terminalNats,
        decoderNats: terms.decoderNats,
        latentRms: rms(terms.z),
      },
    }
  },
})

/** Noise of a batch: one stream per example, so that a picture's noise does not depend on the batch around it. */
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

/**
 * Everything that stage 1 is fed at a step: a pure function of (seed, step), so that resuming needs no generator state.
 * @param images [B, 3, H, W] in [−1, 1]
 * @param encoderShare share of the prior's gradient that reaches the encoder
 */
export const stage1Feeds = (
  config: ModelConfig,
  images: Float32Array,
  seed: number,
  step: number,
  encoderShare: number,
): Record<keyof Stage1Inputs, HostTensor> => {
  const B = images.length / (3 * config.size ** 2)
  const first = step * B
  const z = batchLevels(priorSchedule(config), elboWeight, B, seed, 'zTime', step)
  const weighting = sigmoidWeight(config.decoder.bias, config.decoder.lossFactor)
  const x = batchLevels(decoderSchedule(config), weighting, B, seed, 'xTime', step)
  return {
    x: float32(imageShape(config, B), images),
    zEps: batchNoise(latentShape(config, B), seed, 'zEps', first),
    z0Eps: batchNoise(latentShape(config, B), seed, 'z0Eps', first),
    xEps: batchNoise(imageShape(config, B), seed, 'xEps', first),
    zLogSnr: z.logSnr,
    zWeight: z.weight,
    xLogSnr: x.logSnr,
    xWeight: x.weight,
    encoderShare: scalar(encoderShare),
    seed: int32([], [step]),
  }
}
