/** @file A model of latents in use: what is asked for to noisy latents, by steps that stop at λ(0). */
import { type HostTensor, paddedExamples, type Shape, scalar } from '../engine/host/tensor.ts'
import type { Value } from '../engine/ir/graph.ts'
import { add, mul, sub } from '../engine/ops/core.ts'
import { concat, slice } from '../engine/ops/slice.ts'
import type { Runtime } from '../engine/runtime/runtime.ts'
import { type FrozenProgram, traceFrozen, type Weights } from '../train/frozen.ts'
import { conditionedBase, conditionFeeds, conditionInputs } from './baseModel.ts'
import {
  type Chain,
  predicted,
  runChain,
  type StepInputs,
  stepInputs,
  stepUpdates,
  takeStep,
  type Watch,
} from './chain.ts'
import type { Facts } from './conditions/condition.ts'
import { latentInUse, latentOf, type ModelConfig, partConfig } from './config.ts'
import { type Guidance, guidanceAt, type SamplerConfig, samplerSteps } from './diffusion/sampler.ts'
import type { Schedule } from './diffusion/schedule.ts'
import { batchOfGiven, type GivenTensors, givenInputs, givenLatentAmong, givenLatentOf } from './given.ts'
import type { Kept } from './kept.ts'
import type { Base } from './networks/base.ts'
import { priorNetwork } from './networks/prior.ts'
import { batchShape } from './networks/shapes.ts'
import { baseGrid, latentSchedule } from './objective/schedules.ts'
import { compiledOnUse, inBatches } from './programs.ts'
import { partsOfVariant } from './variants.ts'

/** Which network generates: the base model of stage 2, or the prior of stage 1 (Appendix B; it is told nothing). */
export type GeneratorKind = 'base' | 'prior'

/** What to generate, and how. */
export interface GenerationRequest {
  /** What is known of each sample; null for nothing. */
  readonly facts: readonly (Facts | null)[]
  readonly seed: number
  readonly sampler: SamplerConfig
  readonly guidance: Guidance
  /** Number of the first sample; 0 when absent. */
  readonly first?: number
  /** What is given of each clip; nothing when absent. */
  readonly given?: GivenTensors | undefined
  /** Positions of each sample that are kept as they are in `z0`; none when absent. */
  readonly kept?: Kept | undefined
  readonly watch?: Watch | undefined
}

/** A model of latents ready to run. */
export interface Generator {
  /** Noisy latents z_0 [N, c, h, w], noise from (seed, number of the sample). */
  generate(request: GenerationRequest): Promise<HostTensor>
  dispose(): Promise<void>
}

/** The stream of a generator's noise. */
export const generatorStream = 'generate'

/** The chain of the batch from a sample on. @param end how it ends, see samplerSteps */
const chainOf = (
  { seed, sampler, first = 0, kept, watch }: GenerationRequest,
  schedule: Schedule,
  { shape, end, from }: { readonly shape: Shape; readonly end: 'noisy' | 'clean'; readonly from: number },
): Chain => ({
  steps: samplerSteps(schedule, sampler, end),
  shape,
  seed,
  name: generatorStream,
  first: first + from,
  kept: kept && {
    z0: paddedExamples(kept.z0, from, shape[0]),
    mask: paddedExamples(kept.mask, from, shape[0]),
    end: end === 'noisy' ? schedule.logSnr(0) : Number.POSITIVE_INFINITY,
  },
  watch,
})

/** What a step gives: the next point of the chain and the prediction. */
type StepOutput = keyof ReturnType<typeof takeStep>

/** A step of the stage-1 prior as a program: what generates where there is no base model (Appendix B). */
export const tracedPriorStep = (
  model: ModelConfig,
  weights: Weights,
  B: number,
): FrozenProgram<keyof StepInputs, StepOutput> =>
  traceFrozen(
    'generate',
    {
      weights,
      networks: { prior: priorNetwork(partConfig(model).prior) },
      inputs: stepInputs(batchShape(latentOf(model), B)),
    },
    ({ prior }, step) => takeStep(step, predicted(step, prior(step.xT, step.logSnr))),
  )

/** The prior as a generator. */
const priorGenerator = (runtime: Runtime, model: ModelConfig, weights: Weights, B: number): Generator => {
  const shape = batchShape(latentOf(model), B)
  const program = compiledOnUse(runtime, () => tracedPriorStep(model, weights, B), stepUpdates)
  return {
    generate: (request) =>
      inBatches(request.facts.length, B, (from) => {
        const chain = chainOf(request, generatorGrid(model, 'prior'), { shape, end: 'noisy', from })
        return runChain(runtime, chain, {}, () => ({ program, feeds: {} }))
      }),
    dispose: () => program.dispose(),
  }
}

/** The input under which guidance finds a condition of which nothing is told. */
const nullName = (name: string): string => `null/${name}`

/** Inputs of conditions under the names for guidance. */
const asNulls = <T>(conditions: Readonly<Record<string, T>>): Readonly<Record<string, T>> =>
  Object.fromEntries(Object.entries(conditions).map(([name, value]) => [nullName(name), value]))

/** One step of the base model, without guidance. @param inputs those of the step and of the conditions */
export const plainStep = (
  model: ModelConfig,
  base: Base,
  inputs: StepInputs & Readonly<Record<string, Value>>,
): ReturnType<typeof takeStep> => {
  const { bound } = partsOfVariant(model.variant).space
  const { givenZ, givenMask } = inputs // absent for images
  const given = givenLatentAmong({ givenZ, givenMask })
  const vHat = base({ zT: inputs.xT, logSnr: inputs.logSnr, given, conditions: inputs })
  return takeStep(inputs, bound(predicted(inputs, vHat)))
}

/**
 * One step with classifier-free guidance x̂ = x̂_null + g·(x̂_told − x̂_null); both branches run as one batch.
 * @param inputs those of the step, of the conditions, the same under `null/…` with nothing told, and `guidance`, a scalar:
 *   g, where 1 is the conditional model alone
 */
export const guidedStep = (
  model: ModelConfig,
  base: Base,
  inputs: StepInputs & Readonly<Record<string, Value>>,
): ReturnType<typeof takeStep> => {
  const { bound } = partsOfVariant(model.variant).space
  const B = inputs.logSnr.shape[0]
  const both = (told: string, untold: string): Value => concat([inputs[told], inputs[untold]], 0)
  const twice = { xT: both('xT', 'xT'), logSnr: both('logSnr', 'logSnr') }
  const names = Object.keys(conditionInputs(model, B))
  const conditions = Object.fromEntries(names.map((name) => [name, both(name, nullName(name))]))
  const frames = Object.keys(givenLatentOf(givenInputs(model, B)))
  const given = givenLatentAmong(Object.fromEntries(frames.map((name) => [name, both(name, name)])))
  const xHat = predicted(twice, base({ zT: twice.xT, logSnr: twice.logSnr, given, conditions }))
  const [conditional, unconditional] = [slice(xHat, 0, 0, B), slice(xHat, 0, B, 2 * B)]
  const xGuided = add(unconditional, mul(sub(conditional, unconditional), inputs.guidance))
  return takeStep(inputs, bound(xGuided))
}

/** The two steps of the base model as programs, for batches of B. */
export const tracedBaseSteps = (
  model: ModelConfig,
  weights: Weights,
  B: number,
): Readonly<Record<'plain' | 'guided', () => FrozenProgram<string, StepOutput>>> => {
  const networks = { base: conditionedBase(model) }
  const conditions = conditionInputs(model, B)
  const inputs = {
    ...stepInputs(batchShape(latentOf(model), B)),
    ...conditions,
    ...givenLatentOf(givenInputs(model, B)),
  }
  return {
    plain: () =>
      traceFrozen('generate', { weights, networks, inputs }, ({ base }, given) =>
        plainStep(model, base, given),
      ),
    guided: () =>
      traceFrozen(
        'generateGuided',
        { weights, networks, inputs: { ...inputs, ...asNulls(conditions), guidance: { shape: [] } } },
        ({ base }, given) => guidedStep(model, base, given),
      ),
  }
}

/** A step of a model that generates, without guidance, as a program. */
export const tracedGeneratorStep = (
  model: ModelConfig,
  weights: Weights,
  B: number,
  kind: GeneratorKind,
): FrozenProgram<string, 'x' | 'xHat'> =>
  kind === 'prior' ? tracedPriorStep(model, weights, B) : tracedBaseSteps(model, weights, B).plain()

/** λ of the chain that generates. */
export const generatorGrid = (model: ModelConfig, kind: GeneratorKind): Schedule => {
  const latent = latentInUse(model)
  return kind === 'prior' ? latentSchedule(latent) : baseGrid({ ...model, latent })
}

/** The guidance scale of a step. Guidance is by class: without classes there is nothing to guide to. */
export const guidanceScale = (model: ModelConfig, guidance: Guidance, logSnr: number): number =>
  model.classes === 0 ? 1 : guidanceAt(guidance, logSnr)

/** The base model as a generator. Guided steps, at twice the cost, are compiled only where guidance is not 1. */
const baseGenerator = (runtime: Runtime, model: ModelConfig, weights: Weights, B: number): Generator => {
  const shape = batchShape(latentOf(model), B)
  const { chainEnd } = partsOfVariant(model.variant).space
  const traced = tracedBaseSteps(model, weights, B)
  const plain = compiledOnUse(runtime, traced.plain, stepUpdates)
  const guided = compiledOnUse(runtime, traced.guided, stepUpdates)
  return {
    generate: (request) =>
      inBatches(request.facts.length, B, (from) => {
        const { facts, guidance, given } = request
        const own = Array.from({ length: B }, (_, i) => facts[from + i] ?? null)
        const held = {
          ...givenLatentOf(batchOfGiven(model, given, from, B)),
          ...conditionFeeds(model, own),
          ...asNulls(
            conditionFeeds(
              model,
              own.map(() => null),
            ),
          ),
        }
        const chain = chainOf(request, generatorGrid(model, 'base'), { shape, end: chainEnd, from })
        return runChain(runtime, chain, held, ({ logSnr }) => {
          const scale = guidanceScale(model, guidance, logSnr)
          const feeds: Readonly<Record<string, HostTensor>> = scale === 1 ? {} : { guidance: scalar(scale) }
          return { program: scale === 1 ? plain : guided, feeds }
        })
      }),
    dispose: async () => {
      await plain.dispose()
      await guided.dispose()
    },
  }
}

/**
 * The generator for batches of B.
 * @param weights the averaged weights of the base model, or of the prior
 */
export const createGenerator = (
  runtime: Runtime,
  model: ModelConfig,
  weights: Weights,
  B: number,
  kind: GeneratorKind = 'base',
): Generator => (kind === 'prior' ? priorGenerator : baseGenerator)(runtime, model, weights, B)
