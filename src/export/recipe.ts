/**
 * @file What others need besides the networks to sample, encode and decode: `model.json`. Numbers that a run decides are given as
 * numbers, a row for every step; what they follow from is given in words beside them. docs/export.md describes every key.
 */
import type { DType } from '../engine/host/tensor.ts'
import { conditionFeeds, conditionInputs } from '../method/baseModel.ts'
import { decodingSteps, decodingStream, encodingStream, fixedNoiseStream } from '../method/codec.ts'
import { imageOf, latentInUse, latentOf, type ModelConfig, partConfig } from '../method/config.ts'
import {
  describeSampler,
  type Guidance,
  type SamplerConfig,
  type SamplerKind,
  type Step,
  samplerSteps,
} from '../method/diffusion/sampler.ts'
import { alphaOf, type Schedule, type ScheduleForm, sigmaOf } from '../method/diffusion/schedule.ts'
import { generatorGrid, generatorStream, guidanceScale } from '../method/generator.ts'
import type { Extent } from '../method/networks/shapes.ts'
import { decoderSchedule } from '../method/objective/schedules.ts'
import { partsOfVariant } from '../method/variants.ts'
import type { Measured } from '../metrics/figures.ts'
import { ofNoClass } from '../model/choices.ts'
import { configGuidance, decoderSampler, latentSampler } from '../model/samplers.ts'
import type { OpenedRun } from '../use/openRun.ts'
import type { ExportedNetwork, ExportedValue } from './networks.ts'

/** What the file says that it is. */
export const recipeFormat = 'unified-latents onnx'

/** Grows when a reader of an older version would go wrong. */
export const recipeVersion = 1

/** A network's file, what it reads and what it gives. */
interface NetworkFile {
  readonly file: string
  /** Where its weights lie if not in it. */
  readonly weights?: string
  readonly inputs: readonly ExportedValue[]
  readonly outputs: readonly ExportedValue[]
}

/** λ over t. */
interface ScheduleRecipe extends Pick<Schedule, 'logSnr0' | 'logSnr1'> {
  readonly form: ScheduleForm
  readonly formula: string
}

/** A chain of steps. */
interface ChainRecipe {
  readonly schedule: ScheduleRecipe
  readonly sampler: SamplerConfig & {
    readonly description: string
    readonly formula: string
    /** `noisy`: the last step goes to λ(0) and keeps its noise. `clean`: it returns x̂. */
    readonly end: 'noisy' | 'clean'
  }
  /** What the chain begins with. */
  readonly start: 'noise' | 'zeros'
  readonly steps: readonly (Step & { readonly guidance?: number })[]
}

/** An input of the base model that says what is asked for. */
interface ConditionRecipe {
  readonly name: string
  readonly dtype: DType
  /** What is fed where nothing is asked for, and for the half of guidance that is told nothing. */
  readonly usual: number
  readonly untold: number
}

/** `model.json`. */
export interface Recipe {
  readonly format: typeof recipeFormat
  readonly version: typeof recipeVersion
  readonly name: string
  readonly licence: string
  /** How weights are stored; all is computed in float32. */
  readonly precision: 'float32' | 'float16'
  readonly image: Extent & {
    readonly range: readonly [number, number]
    readonly colours: string
    readonly bytes: string
  }
  readonly latent: Extent & {
    readonly logSnr0: number
    readonly alpha0: number
    readonly sigma0: number
  }
  readonly formulas: Readonly<Record<string, string>>
  /** By number, as `labels` has them. */
  readonly classes: readonly string[]
  /** The latent's measured rate; null where it was not measured. */
  readonly rate: { readonly bitsPerPixel: Measured; readonly count: number } | null
  readonly noise: Readonly<Record<string, string>>
  /** Of clips: frames that may be given. */
  readonly given: string | null
  readonly encoder: NetworkFile
  readonly decoder: NetworkFile & ChainRecipe
  readonly base:
    | (NetworkFile &
        ChainRecipe & {
          readonly network: 'base' | 'prior'
          readonly conditions: readonly ConditionRecipe[]
          /** Null where nothing is guided: there are no classes. */
          readonly guidance: Guidance | null
        })
    | null
}

const scheduleFormulas: Readonly<Record<ScheduleForm['name'], string>> = {
  linear: 'logSnr(t) = (1 - t) logSnr0 + t logSnr1',
  cosine:
    'logSnr(t) = shift - 2 ln tan(a0 + t (a1 - a0)), a0 = atan(exp((shift - logSnr0) / 2)), a1 = atan(exp((shift - logSnr1) / 2))',
  weight:
    'logSnr(t) has density sigmoid(bias - logSnr) sigmoid(logSnr) between logSnr1 and logSnr0, and is its quantile at 1 - t',
}

const samplerFormulas: Readonly<Record<SamplerKind, string>> = {
  ancestral:
    'from t to s: c = -expm1(logSnr_t - logSnr_s), keep = (alpha_s / alpha_t) (1 - c), clean = alpha_s c, noise = sqrt(c) sigma_t^variance sigma_s^(1 - variance)',
  ddim: 'from t to s: keep = sigma_s / sigma_t, clean = alpha_s - keep alpha_t',
  dpmpp2m:
    'from t to s: keep and clean as in ddim, r = (logSnr_s - logSnr_t) / (2 (logSnr_t - logSnr_before)), past = -clean r, clean (1 + r); r = 0 in the first step',
}

const formulas = {
  alpha: 'sqrt(sigmoid(logSnr))',
  sigma: 'sqrt(sigmoid(-logSnr))',
  parameterisation:
    'networks predict v = alpha eps - sigma x inside; their files give xHat = alpha xT - sigma v',
  z0: 'alpha0 z + sigma0 eps: what the decoder is given of an encoded image',
  grid: 'step i of n goes from t = 1 - i / n to t = 1 - (i + 1) / n',
  step: 'x = keep xT + clean xHat + past xHatBefore + noise eps; xHatBefore is the xHat of the step before',
  guidance: 'xHat = xHatUntold + guidance (xHatTold - xHatUntold)',
}

const noise = {
  generator:
    'example n of seed s has the standard normals of the stream (s, name, n); any other source of noise will do as well',
  encoderVariance: encodingStream,
  z0: fixedNoiseStream,
  baseStart: generatorStream,
  baseStep: `${generatorStream}/<step>`,
  decoderStart: decodingStream,
  decoderStep: `${decodingStream}/<step>`,
}

const givenFrames =
  'givenFrames: the clip, its frames after the given ones replaced by the last given one, zeros where nothing is given; givenZ: what the encoder makes of it; givenMask: 1 for given frames, else 0. Given frames come back as they are'

const scheduleRecipe = ({ form, logSnr0, logSnr1 }: Schedule): ScheduleRecipe => ({
  form,
  formula: scheduleFormulas[form.name],
  logSnr0,
  logSnr1,
})

const samplerRecipe = (
  config: SamplerConfig,
  end: ChainRecipe['sampler']['end'],
): ChainRecipe['sampler'] => ({
  ...config,
  description: describeSampler(config),
  formula: samplerFormulas[config.kind],
  end,
})

const fileOf = ({ file, inputs, outputs, model }: ExportedNetwork): NetworkFile => ({
  file,
  ...(model.weights && { weights: model.weights.file }),
  inputs,
  outputs,
})

/** What is fed to every condition's input. */
const conditionsOf = (run: OpenedRun): ConditionRecipe[] => {
  const [usual, untold] = [ofNoClass(run), null].map((fact) => conditionFeeds(run.model, [fact]))
  return Object.entries(conditionInputs(run.model, 1)).map(([name, { dtype = 'float32' }]) => ({
    name,
    dtype,
    usual: Number(usual[name].data[0]),
    untold: Number(untold[name].data[0]),
  }))
}

const decoderRecipe = ({ config, model }: OpenedRun): ChainRecipe => {
  const { isOneStep } = partsOfVariant(model.variant).distortion
  const steps = decodingSteps(model, decoderSampler(config))
  return {
    schedule: scheduleRecipe(decoderSchedule(partConfig(model))),
    sampler: samplerRecipe({ ...decoderSampler(config), steps: steps.length }, 'clean'),
    start: isOneStep ? 'zeros' : 'noise',
    steps,
  }
}

const baseRecipe = (run: OpenedRun, network: ExportedNetwork): Recipe['base'] => {
  const { config, model } = run
  const kind = config.sampler.generator
  const { chainEnd: end } = partsOfVariant(model.variant).space
  const grid = generatorGrid(model, kind)
  const guidance = kind === 'prior' || model.classes === 0 ? null : configGuidance(config)
  const scale = ({ logSnr }: Step): number => (guidance === null ? 1 : guidanceScale(model, guidance, logSnr))
  return {
    ...fileOf(network),
    network: kind,
    conditions: kind === 'prior' ? [] : conditionsOf(run),
    guidance,
    schedule: scheduleRecipe(grid),
    sampler: samplerRecipe(latentSampler(config), end),
    start: 'noise',
    steps: samplerSteps(grid, latentSampler(config), end).map((step) => ({ ...step, guidance: scale(step) })),
  }
}

const latentRecipe = (model: ModelConfig): Recipe['latent'] => {
  const { logSnr0 } = latentInUse(model)
  return { ...latentOf(model), logSnr0, alpha0: alphaOf(logSnr0), sigma0: sigmaOf(logSnr0) }
}

/** What of a recipe the run does not say. */
export interface RecipeFacts extends Pick<Recipe, 'licence' | 'precision' | 'rate'> {
  readonly encoder: ExportedNetwork
  readonly decoder: ExportedNetwork
  /** Null where the run has no network that generates. */
  readonly base: ExportedNetwork | null
}

/** The recipe of a run. */
export const recipeOf = (
  run: OpenedRun,
  { licence, precision, rate, encoder, decoder, base }: RecipeFacts,
): Recipe => ({
  format: recipeFormat,
  version: recipeVersion,
  name: run.config.name,
  licence,
  precision,
  image: {
    ...imageOf(run.model),
    range: [-1, 1],
    colours: 'sRGB, channels red, green, blue',
    bytes: 'byte = round(127.5 x + 127.5), x = byte / 127.5 - 1',
  },
  latent: latentRecipe(run.model),
  formulas,
  classes: run.info.classes,
  rate,
  noise,
  given: run.model.video === undefined ? null : givenFrames,
  encoder: fileOf(encoder),
  decoder: { ...fileOf(decoder), ...decoderRecipe(run) },
  base: base && baseRecipe(run, base),
})
