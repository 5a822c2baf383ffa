/** @file A model of latents in use: what is asked for to noisy latents, by steps that stop at λ(0). */
import { type HostTensor, paddedExamples, type Shape, scalar } from '../engine/host/tensor.ts'
import type { Value } from '../engine/ir/graph.ts'
import type { InputSpec } from '../engine/ir/program.ts'
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
import {
  batchOfGiven,
  type GivenTensors,
  givenInputs,
  givenLatentAmong,
  givenLatentOf,
  nothingGiven,
} from './given.ts'
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

/** What a branch of guidance is not told: the conditions, or the given frames of a clip. */
export type Untold = 'conditions' | 'given'

/** The scale of each kind of guidance, where 1 is none; as a step's input. */
const scaleNames = { conditions: 'guidance', given: 'givenGuidance' } as const

/** Names of the inputs that such a branch has its own of. */
const untoldNames = (model: ModelConfig, B: number): Readonly<Record<Untold, readonly string[]>> => ({
  conditions: Object.keys(conditionInputs(model, B)),
  given: Object.keys(givenLatentOf(givenInputs(model, B))),
})

/**
 * One step with classifier-free guidance x̂ = x̂_null + g·(x̂_told − x̂_null) by what is told, and by what is given of clips another
 * (g' − 1)·(x̂_told − x̂_alone), where x̂_alone is given nothing; all branches run as one batch.
 * @param inputs those of the step, of the conditions and of what is given, the same under `null/…` as far as left out, and
 *   `guidance` and `givenGuidance`, scalars: g and g', where 1 is none
 */
export const guidedStep = (
  model: ModelConfig,
  base: Base,
  inputs: StepInputs & Readonly<Record<string, Value>>,
  untold: readonly Untold[] = ['conditions'],
): ReturnType<typeof takeStep> => {
  const { bound } = partsOfVariant(model.variant).space
  const B = inputs.logSnr.shape[0]
  const names = untoldNames(model, B)
  const inAll = (name: string): Value => {
    const own = untold.map((left) => (names[left].includes(name) ? nullName(name) : name))
    return concat(
      [name, ...own].map((one) => inputs[one]),
      0,
    )
  }
  const joined = (all: readonly string[]) => Object.fromEntries(all.map((name) => [name, inAll(name)]))
  const together = { xT: inAll('xT'), logSnr: inAll('logSnr') }
  const given = givenLatentAmong(joined(names.given))
  const reads = { zT: together.xT, logSnr: together.logSnr, given, conditions: joined(names.conditions) }
  const xHat = predicted(together, base(reads))
  const branch = (at: number): Value => slice(xHat, 0, at * B, (at + 1) * B)
  const told = branch(0)
  const guided = untold.reduce((x, left, i) => {
    const [without, scale] = [branch(i + 1), inputs[scaleNames[left]]]
    return left === 'conditions'
      ? add(without, mul(sub(told, without), scale))
      : add(x, mul(sub(told, without), sub(scale, 1)))
  }, told)
  return takeStep(inputs, bound(guided))
}

/** A step of the base model for batches of B as a program, guided by what it leaves out. */
export const tracedBaseStep = (
  model: ModelConfig,
  weights: Weights,
  B: number,
  untold: readonly Untold[],
): FrozenProgram<string, StepOutput> => {
  const networks = { base: conditionedBase(model) }
  const own: Readonly<Record<string, InputSpec>> = {
    ...conditionInputs(model, B),
    ...givenLatentOf(givenInputs(model, B)),
  }
  const names = untoldNames(model, B)
  const left = untold.flatMap((one) => names[one]).map((name) => [name, own[name]] as const)
  const inputs = {
    ...stepInputs(batchShape(latentOf(model), B)),
    ...own,
    ...asNulls(Object.fromEntries(left)),
    ...Object.fromEntries(untold.map((one) => [scaleNames[one], { shape: [] }])),
  }
  return untold.length === 0
    ? traceFrozen('generate', { weights, networks, inputs }, ({ base }, given) =>
        plainStep(model, base, given),
      )
    : traceFrozen('generateGuided', { weights, networks, inputs }, ({ base }, given) =>
        guidedStep(model, base, given, untold),
      )
}

/** A step of a model that generates, without guidance, as a program. */
export const tracedGeneratorStep = (
  model: ModelConfig,
  weights: Weights,
  B: number,
  kind: GeneratorKind,
): FrozenProgram<string, 'x' | 'xHat'> =>
  kind === 'prior' ? tracedPriorStep(model, weights, B) : tracedBaseStep(model, weights, B, [])

/** λ of the chain that generates. */
export const generatorGrid = (model: ModelConfig, kind: GeneratorKind): Schedule => {
  const latent = latentInUse(model)
  return kind === 'prior' ? latentSchedule(latent) : baseGrid({ ...model, latent })
}

/** The guidance scale of a step. Guidance is by class: without classes there is nothing to guide to. */
export const guidanceScale = (model: ModelConfig, guidance: Guidance, logSnr: number): number =>
  model.classes === 0 ? 1 : guidanceAt(guidance, logSnr)

/** All that a step may leave out. */
const leftOut: readonly (readonly Untold[])[] = [[], ['conditions'], ['given'], ['conditions', 'given']]

/** The base model as a generator. Guided steps, at twice the cost or three times, are compiled only where guidance is not 1. */
const baseGenerator = (runtime: Runtime, model: ModelConfig, weights: Weights, B: number): Generator => {
  const shape = batchShape(latentOf(model), B)
  const { chainEnd } = partsOfVariant(model.variant).space
  const programs = new Map(
    leftOut.map((untold) => [
      untold.join(),
      compiledOnUse(runtime, () => tracedBaseStep(model, weights, B, untold), stepUpdates),
    ]),
  )
  const nothing = asNulls(givenLatentOf(nothingGiven(model, B)))
  return {
    generate: (request) =>
      inBatches(request.facts.length, B, (from) => {
        const { facts, guidance, given } = request
        const own = Array.from({ length: B }, (_, i) => facts[from + i] ?? null)
        const untoldFacts = own.map(() => null)
        const held = {
          ...givenLatentOf(batchOfGiven(model, given, from, B)),
          ...nothing,
          ...conditionFeeds(model, own),
          ...asNulls(conditionFeeds(model, untoldFacts)),
        }
        const chain = chainOf(request, generatorGrid(model, 'base'), { shape, end: chainEnd, from })
        return runChain(runtime, chain, held, ({ logSnr }) => {
          const scales: Readonly<Record<Untold, number>> = {
            conditions: guidanceScale(model, guidance, logSnr),
            given: given === undefined ? 1 : guidanceAt({ ...guidance, scale: guidance.given ?? 1 }, logSnr),
          }
          const untold = leftOut[3].filter((one) => scales[one] !== 1)
          return {
            program: programs.get(untold.join())!,
            feeds: Object.fromEntries(untold.map((one) => [scaleNames[one], scalar(scales[one])])),
          }
        })
      }),
    dispose: async () => {
      for (const program of programs.values()) await program.dispose()
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
