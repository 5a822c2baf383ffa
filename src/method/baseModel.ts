/** @file The stage-2 objective (paper, section 3.3): the base model learns clean latents of the frozen encoder. */

import type { HostTensor } from '../engine/host/tensor.ts'
import type { Value } from '../engine/ir/graph.ts'
import type { InputSpec } from '../engine/ir/program.ts'
import type { Network } from '../engine/nn/network.ts'
import { add, mul, reduceSum } from '../engine/ops/core.ts'
import type { DropoutKey } from '../engine/ops/dropout.ts'
import { type FrozenProgram, traceFrozen, type Weights } from '../train/frozen.ts'
import { type Objective, objectiveOf, type Traced } from '../train/objective.ts'
import type { Facts } from './conditions/condition.ts'
import { conditionsOf } from './conditions/list.ts'
import { baseConfig, latentInUse, latentOf, type ModelConfig } from './config.ts'
import { type Draw, drawnNoise, drawnUniforms } from './diffusion/draws.ts'
import { diffuse, levelOf, normalKlElements, sumPerExample, vLoss, vTarget } from './diffusion/process.ts'
import type { Schedule } from './diffusion/schedule.ts'
import { elboWeight, sigmoidWeight, type Weighting } from './diffusion/weighting.ts'
import { dropoutFeeds, dropoutInputs } from './dropout.ts'
import { givenInputs, givenLatentAmong, givenLatentOf, nothingGiven } from './given.ts'
import { type Base, type BaseReads, baseNetwork, embeddingWidth } from './networks/base.ts'
import { batchShape, elementsOf } from './networks/shapes.ts'
import { baseDraws, drawnLevels, latentSchedule } from './objective/schedules.ts'

/** The base model with its conditions. */
export const conditionedBase = (model: ModelConfig): Network<Base> => {
  const config = baseConfig(model)
  const width = embeddingWidth(config)
  return baseNetwork(
    config,
    Object.fromEntries(conditionsOf(model).map(({ name, embedding }) => [name, embedding(width)])),
  )
}

/** Inputs of all conditions for B examples. */
export const conditionInputs = (model: ModelConfig, B: number): Readonly<Record<string, InputSpec>> =>
  Object.assign({}, ...conditionsOf(model).map(({ inputs }) => inputs(B)))

/** Feeds of all conditions; null for an example of which nothing is told. */
export const conditionFeeds = (
  model: ModelConfig,
  facts: readonly (Facts | null)[],
): Readonly<Record<string, HostTensor>> =>
  Object.assign({}, ...conditionsOf(model).map(({ feeds }) => feeds(facts)))

/** Inputs of the objective besides the conditions'. */
const ownInputs = (model: ModelConfig, B: number) => {
  const shape = batchShape(latentOf(model), B)
  return {
    z: { shape },
    zEps: { shape },
    zLogSnr: { shape: [B] },
    zWeight: { shape: [B] },
    ...givenLatentOf(givenInputs(model, B)),
  } satisfies Readonly<Record<string, InputSpec>>
}

/** What the loss is traced from. */
interface BaseInputs extends Traced<ReturnType<typeof ownInputs>> {
  readonly conditions: BaseReads['conditions']
  readonly dropout?: DropoutKey
}

/** The weighted loss of v̂ per example, in nats, [B]. */
const baseNats = (
  base: Base,
  { z, zEps, zLogSnr, zWeight, conditions, dropout, ...inputs }: BaseInputs,
): Value => {
  const level = levelOf(zLogSnr, z.shape.length)
  const zT = diffuse(z, zEps, level)
  const vHat = base({ zT, logSnr: zLogSnr, given: givenLatentAmong(inputs), conditions, dropout })
  return vLoss(vTarget(z, zEps, level), vHat, zWeight)
}

/** The stage-2 objective for B latents; the loss is in nats per latent element. */
export const baseObjective = (model: ModelConfig, B: number): Objective =>
  objectiveOf({
    name: 'stage2',
    networks: { base: conditionedBase(model) },
    inputs: { ...ownInputs(model, B), ...dropoutInputs, ...conditionInputs(model, B) },
    trace: ({ base }, { seed, firstExample: first, ...inputs }) => {
      const nats = baseNats(base, { ...inputs, conditions: inputs, dropout: { seed, first } }) // [B]
      return {
        loss: mul(reduceSum(nats), 1 / (B * elementsOf(latentOf(model)))),
        report: { baseNats: nats },
      }
    },
  })

/** The latents' rate by the base model, in nats each: its unweighted ELBO and the KL at λ(1) (Table 5). */
export const tracedBaseRate = (
  model: ModelConfig,
  weights: Weights,
  B: number,
): FrozenProgram<string, 'nats'> =>
  traceFrozen(
    'evaluateBase',
    {
      weights,
      networks: { base: conditionedBase(model) },
      inputs: { ...ownInputs(model, B), ...conditionInputs(model, B) },
    },
    ({ base }, inputs) => {
      const terminal = sumPerExample(normalKlElements(inputs.z, model.latent.logSnr1))
      return { nats: add(baseNats(base, { ...inputs, conditions: inputs }), terminal) }
    },
  )

type Feeds = Readonly<Record<string, HostTensor>>

/** @param schedule of λ, and its weighting */
const drawnInputs = (z: HostTensor, draw: Draw, schedule: Schedule, weighting: Weighting): Feeds => {
  const { logSnr, weight } = drawnLevels(schedule, weighting, draw, 'baseTime')
  return { z, zEps: drawnNoise(draw, 'baseEps', z.shape.slice(1)), zLogSnr: logSnr, zWeight: weight }
}

/** The facts of a draw's examples, a share of them withheld for guidance. */
const withheld = (facts: readonly Facts[], share: number, draw: Draw): (Facts | null)[] => {
  const uniforms = drawnUniforms(draw, 'labelDropout')
  return facts.map((fact, i) => (uniforms[i] < share ? null : fact))
}

/**
 * Everything that a training step is fed besides what is given of clips: a pure function of the draw.
 * @param z clean latents [count, c, h, w]
 * @param facts what is known of each
 */
export const baseFeeds = (model: ModelConfig, z: HostTensor, facts: readonly Facts[], draw: Draw): Feeds => ({
  ...drawnInputs(
    z,
    draw,
    baseDraws({ ...model, latent: latentInUse(model) }),
    sigmoidWeight(model.base.bias),
  ),
  ...conditionFeeds(model, withheld(facts, model.base.labelDropout, draw)),
  ...dropoutFeeds(draw),
})

/** What measuring is fed: the plain ELBO, nothing withheld, no frames given. */
export const measuredBaseFeeds = (
  model: ModelConfig,
  z: HostTensor,
  facts: readonly (Facts | null)[],
  draw: Draw,
): Feeds => ({
  ...drawnInputs(z, draw, latentSchedule(latentInUse(model)), elboWeight),
  ...conditionFeeds(model, facts),
  ...givenLatentOf(nothingGiven(model, draw.part.count)),
})
