/**
 * @file The rate planner: finished runs give the law of the rate (law/rateLaw.ts), the law gives the setting for a
 * wanted rate, and with measured base models the best rate for a training budget (law/rateBudget.ts).
 */

import { resolve } from 'node:path'
import { ConfigError } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { meanAndError } from '../metrics/mean.ts'
import { freeKeys } from '../runs/configHash.ts'
import { isWithin } from '../runs/findRuns.ts'
import { firstDifference } from '../runs/settings.ts'
import { trainingFlops } from '../stages/info.ts'
import { stageCalled } from '../stages/list.ts'
import { type BudgetLaw, type BudgetPoint, fitBudget, planBudget } from './law/rateBudget.ts'
import type { RateEstimate } from './law/rateEstimate.ts'
import { fitRateLaw, predictRate, type RateLaw, type RatePoint, type RateSetting } from './law/rateLaw.ts'
import { protocolOf } from './measuredBy.ts'
import { type LeftOut, type MeasuredRun, measuredRuns } from './measuredRuns.ts'
import { type PlannedRate, plannedRate } from './plannedRate.ts'

export type { RateEstimate } from './law/rateEstimate.ts'

/** All runs of one setting, averaged. */
export interface MeasuredSetting extends RatePoint {
  readonly bitsPerPixel: number
  readonly runs: readonly string[]
}

/** What to plan. */
export interface PlanRequest {
  /** Directories that are runs or hold runs at any depth. */
  readonly dirs: readonly string[]
  /** Wanted rate. */
  readonly bitsPerPixel?: number | undefined
  readonly bias?: number | undefined
  readonly lossFactor?: number | undefined
  /** Training FLOPs of a base model, instead of a wanted rate. */
  readonly budget?: number | undefined
  /** Directories of runs that are predicted and left out of the fit; a run below both belongs to the nearer directory. */
  readonly check?: readonly string[] | undefined
}

/** A held-out setting: what the law says of it and what was measured. */
export interface CheckedSetting {
  readonly measured: MeasuredSetting
  readonly predicted: RateEstimate
  /** predicted/measured − 1 */
  readonly relativeError: number
  /** Whether the 95% interval holds the measured rate; null without an interval. */
  readonly inside: boolean | null
}

/** What `ul plan` prints. */
export interface Plan {
  readonly law: RateLaw
  /** The settings behind the law, with the rate that it gives each. */
  readonly settings: readonly (MeasuredSetting & { readonly fitted: number })[]
  readonly leftOut: readonly LeftOut[]
  /** The best rate for the budget, and what it comes from. */
  readonly budget: (RateEstimate & { readonly trainingFlops: number; readonly law: BudgetLaw }) | null
  /** The setting for the wanted rate; `set` are values of `--set`. */
  readonly plan: PlannedRate | null
  /** The rate at a setting that is given whole. */
  readonly prediction: (RateEstimate & RateSetting) | null
  readonly check: { readonly settings: readonly CheckedSetting[]; readonly largestError: number } | null
}

/** Length of the longest of `dirs` that a path is or lies below; −1 for none. */
const nearness = (path: string, dirs: readonly string[]): number =>
  Math.max(-1, ...dirs.filter((dir) => isWithin(path, dir)).map((dir) => resolve(dir).length))

/**
 * Runs to fit and runs to predict. A run below directories of both kinds belongs to the nearer one, to `check` when it is
 * the same one: `runs` with `--check runs/a` holds one out, `runs/a runs/b` with `--check runs` predicts the others.
 * @throws when there is nothing to predict, or nothing left to fit
 */
const splitRuns = (
  dirs: readonly string[],
  check: readonly string[],
): { readonly runs: MeasuredRun[]; readonly held: MeasuredRun[]; readonly leftOut: readonly LeftOut[] } => {
  const { runs: all, leftOut } = measuredRuns([...dirs, ...check])
  const held = all.filter(({ dir }) => nearness(dir, check) >= nearness(dir, dirs))
  if (check.length > 0 && held.length === 0)
    throw new Error(`${check.join(', ')}: there is no finished run to check that is not in the fit`)
  const heldStages1 = new Set(held.map(({ stage1 }) => stage1))
  const runs = all.filter(({ stage1 }) => !heldStages1.has(stage1))
  if (runs.length === 0 && held.length > 0)
    throw new Error('every run is held out by --check, so there is none to fit; give others to one of them')
  return { runs, held, leftOut }
}

/** What decides the rate besides loss factor, bias and seed. */
const sharedPart = ({ data, latent, encoder, prior, decoder, train }: Config): unknown => {
  const { lossFactor: _, bias: __, ...networks } = decoder
  const { stage2, ...optimiser } = train
  const { from, ...stage1 } = optimiser.stage1
  const trained = Object.entries({ ...optimiser, stage1 }).filter(([key]) => !freeKeys.has(key))
  return { data, latent, encoder, prior, decoder: networks, train: Object.fromEntries(trained) }
}

/** @throws in one sentence naming the first key, when the runs are of more than one kind */
const expectOneKind = (runs: readonly MeasuredRun[]): void => {
  const shared = new Map(runs.map((run) => [run, sharedPart(run.stage1Config)]))
  const first = runs[0]
  if (first === undefined) return
  const difference = (run: MeasuredRun) => firstDifference(shared.get(first), shared.get(run))
  const other = runs.find((run) => difference(run) !== null)
  if (other === undefined) return
  const alike = runs.filter((run) => difference(run) === null).length
  const { key, values } = difference(other)!
  throw new Error(
    `the runs follow different laws: ${alike} of ${runs.length} ${alike === 1 ? 'is' : 'are'} like ${first.dir}, but ${other.dir} has another ${key} (${values[0]} and ${values[1]}); give the runs of one kind`,
  )
}

/** Runs by setting: the mean over stages 1, with the error over them, or over images where there is one. */
const bySetting = (runs: readonly MeasuredRun[]): MeasuredSetting[] => {
  // Several base models on one stage 1 measure one rate; the run that trained it speaks for it.
  const own = (run: MeasuredRun): number => (run.stage1 === resolve(run.dir) ? 0 : 1)
  const stages1 = new Map<string, MeasuredRun>()
  for (const run of [...runs].sort((a, b) => own(a) - own(b)))
    if (!stages1.has(run.stage1)) stages1.set(run.stage1, run)
  const settings = new Map<string, MeasuredRun[]>()
  for (const run of stages1.values()) {
    const { lossFactor, bias } = run.stage1Config.decoder
    const key = JSON.stringify([lossFactor, bias])
    settings.set(key, [...(settings.get(key) ?? []), run])
  }
  return [...settings]
    .map(([key, same]) => {
      const [lossFactor, bias] = JSON.parse(key) as [number, number]
      const { mean, error } = meanAndError(same.map(({ bitsPerPixel }) => bitsPerPixel))
      const standardError = same.length > 1 ? error : same[0].error
      return {
        lossFactor,
        bias,
        bitsPerPixel: mean,
        error: standardError > 0 ? standardError : undefined,
        runs: same.map(({ dir }) => dir),
      }
    })
    .sort((a, b) => a.bias - b.bias || a.lossFactor - b.lossFactor)
}

/**
 * Base models that were measured: rate, training FLOPs (three times forward, all images of stage 2) and Fréchet
 * distance.
 * @throws when they were measured by different protocols
 */
const budgetPoints = (runs: readonly MeasuredRun[]): BudgetPoint[] => {
  const flopsOf = ({ config, ...run }: MeasuredRun): number =>
    trainingFlops(config, stageCalled('stage2'), run.classes())
  let first: { readonly dir: string; readonly protocol: unknown } | undefined
  return runs.flatMap((run) => {
    const quality = run.config.sampler.generator === 'base' ? run.quality() : null
    if (quality?.generation == null) return []
    const { frechet } = quality.generation
    const protocol = protocolOf(quality)
    first ??= { dir: run.dir, protocol }
    const other = firstDifference(first.protocol, protocol)
    if (other !== null)
      throw new Error(
        `${first.dir} and ${run.dir}: their distances do not compare, protocol.${other.key} is ${other.values[0]} and ${other.values[1]}; measure both alike`,
      )
    return [{ bitsPerPixel: run.bitsPerPixel, trainingFlops: flopsOf(run), frechet }]
  })
}

const checkSetting = (law: RateLaw, measured: MeasuredSetting): CheckedSetting => {
  const predicted = predictRate(law, measured)
  const { low, high } = predicted
  return {
    measured,
    predicted,
    relativeError: predicted.bitsPerPixel / measured.bitsPerPixel - 1,
    inside:
      low === null || high === null ? null : low <= measured.bitsPerPixel && measured.bitsPerPixel <= high,
  }
}

/**
 * Fits the law to runs and plans with it.
 * @throws ConfigError when the request contradicts itself; an error when the runs do not give what is asked
 */
export const planRuns = (request: PlanRequest): Plan => {
  const { bias, lossFactor } = request
  if (request.bitsPerPixel !== undefined && request.budget !== undefined)
    throw new ConfigError(
      'a rate and a budget are both given, but the budget decides the rate; give one of them',
    )
  const asks = request.bitsPerPixel !== undefined || request.budget !== undefined
  if (asks && bias !== undefined && lossFactor !== undefined)
    throw new ConfigError('bias and loss factor are both given, so nothing is left to plan; give one of them')
  if (!asks && (bias === undefined) !== (lossFactor === undefined))
    throw new ConfigError(
      'a bias or a loss factor alone has no rate; give both, or one of them with a rate (--bits-per-pixel)',
    )
  const { runs, held, leftOut } = splitRuns(request.dirs, request.check ?? [])
  expectOneKind([...runs, ...held])
  const measured = bySetting(runs)
  const law = fitRateLaw(measured)

  const budgetOf = (trainingFlops: number): NonNullable<Plan['budget']> => {
    const found = fitBudget(budgetPoints(runs))
    return { ...planBudget(found, trainingFlops), trainingFlops, law: found }
  }
  const budget = request.budget === undefined ? null : budgetOf(request.budget)
  const wanted = request.bitsPerPixel ?? budget?.bitsPerPixel
  const plan = wanted === undefined ? null : plannedRate(law, wanted, { bias, lossFactor })
  const checked = bySetting(held).map((setting) => checkSetting(law, setting))
  return {
    law,
    settings: measured.map((setting) => ({ ...setting, fitted: predictRate(law, setting).bitsPerPixel })),
    leftOut,
    budget,
    plan,
    prediction:
      asks || bias === undefined || lossFactor === undefined
        ? null
        : { bias, lossFactor, ...predictRate(law, { bias, lossFactor }) },
    check:
      checked.length === 0
        ? null
        : {
            settings: checked,
            largestError: Math.max(0, ...checked.map(({ relativeError }) => Math.abs(relativeError))),
          },
  }
}
