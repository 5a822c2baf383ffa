/** @file Stage 2 as an objective for the generic loop, and what it is fed. */

import { randomUniform, streamKey } from '../engine/host/random.ts'
import { float32, type HostTensor, int32 } from '../engine/host/tensor.ts'
import type { InputSpec } from '../engine/ir/program.ts'
import { mul, reduceSum } from '../engine/ops/core.ts'
import type { Objective } from '../train/step.ts'
import { linearSchedule, type Schedule } from './diffusion/schedule.ts'
import { sigmoidWeight, type Weighting } from './diffusion/weighting.ts'
import { nullLabel } from './networks/base.ts'
import type { ModelConfig } from './networks/config.ts'
import { batchLevels, batchNoise, latentShape } from './stage1.ts'
import { type Stage2Inputs, stage2Nats, stage2Spec } from './unifiedLatents.ts'

/** The base model's schedule: the same least noise λ(0) as the prior (method.md section 4). */
export const baseSchedule = ({ latent }: ModelConfig): Schedule =>
  linearSchedule(latent.logSnr0, latent.logSnr1)

const stage2InputSpecs = (config: ModelConfig, B: number): Record<keyof Stage2Inputs, InputSpec> => ({
  z: { shape: latentShape(config, B) },
  zEps: { shape: latentShape(config, B) },
  zLogSnr: { shape: [B] },
  zWeight: { shape: [B] },
  labels: { shape: [B], dtype: 'int32' },
  seed: { shape: [], dtype: 'int32' },
})

/** The stage-2 objective for a batch of B latents; the loss is in nats per latent element. */
export const stage2Objective = (config: ModelConfig, B: number): Objective => ({
  name: 'stage2',
  spec: stage2Spec(config),
  inputs: stage2InputSpecs(config, B),
  trace: (lookUp, inputs) => {
    const nats = stage2Nats(config, lookUp, inputs as unknown as Stage2Inputs) // [B]
    const elements = latentShape(config, 1).reduce((n, d) => n * d, 1)
    return { loss: mul(reduceSum(nats), 1 / (B * elements)), report: { baseNats: nats } }
  },
})

/** Labels with a share replaced by "no class", decided per example by the counter. */
const droppedLabels = (
  config: ModelConfig,
  labels: Int32Array,
  share: number,
  seed: number,
  first: number,
): HostTensor => {
  const key = streamKey(seed, 'labelDropout')
  const kept = labels.map((label, i) =>
    label < 0 || randomUniform(key, first + i) < share ? nullLabel(config) : label,
  )
  return int32([labels.length], kept)
}

/**
 * Everything that stage 2 is fed at a step: a pure function of (seed, step).
 * @param latents clean latents [B, c, h, w]
 * @param labels class per example, −1 for none
 * @param options weight and label dropout other than the configured ones: what measuring takes
 */
export const stage2Feeds = (
  config: ModelConfig,
  latents: Float32Array,
  labels: Int32Array,
  seed: number,
  step: number,
  {
    weighting = sigmoidWeight(config.base.bias),
    labelDropout = config.base.labelDropout,
  }: { readonly weighting?: Weighting; readonly labelDropout?: number } = {},
): Record<keyof Stage2Inputs, HostTensor> => {
  const B = labels.length
  const shape = latentShape(config, B)
  const levels = batchLevels(baseSchedule(config), weighting, B, seed, 'baseTime', step)
  return {
    z: float32(shape, latents),
    zEps: batchNoise(shape, seed, 'baseEps', step * B),
    zLogSnr: levels.logSnr,
    zWeight: levels.weight,
    labels: droppedLabels(config, labels, labelDropout, seed, step * B),
    seed: int32([], [step]),
  }
}
