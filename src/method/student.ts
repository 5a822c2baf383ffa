/**
 * @file A decoder of few steps, taught by one of many: each of its N steps learns to land where K/N steps of its teacher do,
 * from the same noise and the same latent (progressive distillation, Salimans & Ho 2022, in one go; with N = 1 the regression
 * of SSDD, Vallaeys et al. 2025).
 */
import { float32, floats, type HostTensor } from '../engine/host/tensor.ts'
import { mul, reduceSum, square, sub } from '../engine/ops/core.ts'
import { type Objective, objectiveOf } from '../train/objective.ts'
import { predicted } from './chain.ts'
import { imageOf, latentInUse, latentOf, type ModelConfig, partConfig } from './config.ts'
import type { Draw } from './diffusion/draws.ts'
import { sumPerExample } from './diffusion/process.ts'
import { type Step, samplerSteps } from './diffusion/sampler.ts'
import { dropoutFeeds, dropoutInputs } from './dropout.ts'
import { type GivenTensors, givenAmong, givenInputs } from './given.ts'
import { decoderNetwork } from './networks/decoder.ts'
import { batchShape, elementsOf } from './networks/shapes.ts'
import { decoderSchedule, filled } from './objective/schedules.ts'

/** The steps of a deterministic decoder: those of N fall on every K/N-th of K. */
export const deterministicSteps = (model: ModelConfig, steps: number): readonly Step[] =>
  samplerSteps(decoderSchedule(partConfig(model)), { kind: 'ddim', steps, variance: 0 }, 'clean')

/** x̃ = (x_s − keep·x_t)/clean: what a step must predict to land on x_s, as it goes x_s = keep·x_t + clean·x̂. */
export const landingOn = ({ keep, clean }: Step, xT: HostTensor, xS: HostTensor): HostTensor => {
  const from = floats(xT)
  return float32(
    xS.shape,
    floats(xS).map((value, i) => (value - keep * from[i]) / clean),
  )
}

/** max(SNR, 1)·‖x̃ − x̂‖² for each number of an image, for B examples of a batch. */
export const studentObjective = (model: ModelConfig, B: number): Objective => {
  const image = batchShape(imageOf(model), B)
  const perNumber = 1 / elementsOf(imageOf(model))
  return objectiveOf({
    name: 'student',
    networks: { decoder: decoderNetwork(partConfig(model).decoder) },
    inputs: {
      xT: { shape: image },
      target: { shape: image },
      z0: { shape: batchShape(latentOf(model), B) },
      z0LogSnr: { shape: [B] },
      logSnr: { shape: [B] },
      weight: { shape: [B] },
      ...givenInputs(model, B),
      ...dropoutInputs,
    },
    trace: ({ decoder }, { seed, firstExample: first, target, weight, ...reads }) => {
      const xHat = predicted(reads, decoder({ ...reads, given: givenAmong(reads), dropout: { seed, first } }))
      const squared = mul(sumPerExample(square(sub(target, xHat))), perNumber) // [B]
      return { loss: mul(reduceSum(mul(weight, squared)), 1 / B), report: { squared } }
    },
  })
}

/** What a step of the student at `step` of its chain is fed; of clips also what is given of them. */
export const studentFeeds = (
  model: ModelConfig,
  step: Step,
  { xT, xS, z0, ...given }: Readonly<Record<'xT' | 'xS' | 'z0', HostTensor>> & GivenTensors,
  draw: Draw,
): Readonly<Record<string, HostTensor>> => {
  const { count } = draw.part
  return {
    xT,
    z0,
    ...given,
    target: landingOn(step, xT, xS),
    z0LogSnr: filled(count, latentInUse(model).logSnr0),
    logSnr: filled(count, step.logSnr),
    weight: filled(count, Math.max(Math.exp(step.logSnr), 1)),
    ...dropoutFeeds(draw),
  }
}
