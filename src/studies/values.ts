/** @file The values that comparisons show of a run: a new one is a row here, and nothing else. */
import type { Config } from '../config/schema.ts'
import { spaces } from '../method/variants.ts'
import { type Evaluation, measuredEntries, type Quality } from '../metrics/figures.ts'
import { reconstructionMetrics } from '../metrics/reconstruction.ts'
import type { ModelFlops } from '../stages/info.ts'

/** What values are taken from. */
export interface MeasuredRun {
  readonly config: Config
  /** The configuration that its stage 1 was trained with: its own, or that of the run that it takes it from. */
  readonly stage1Config: Config
  readonly evaluation: Evaluation | null
  readonly quality: Quality
  /** What its networks and the steps of its stages compute. */
  readonly cost: ModelFlops
}

/** A value of a run. */
export interface RunValue {
  /** As it is printed, and as plots of experiments name it. */
  readonly name: string
  /** Which is better; absent where neither is. */
  readonly better?: 'higher' | 'lower'
  /** Digits after the point in the tables of docs/results.md. */
  readonly digits: number
  /** Undefined where it was not measured, or does not exist. */
  of(run: MeasuredRun): number | undefined
}

/** FLOPs of all steps of a stage. */
const trainingFlops = ({ cost }: MeasuredRun, stage: string, steps: number): number =>
  1e9 * (cost.stages.find((one) => one.stage === stage)?.gflopsPerStep ?? 0) * steps

/** Whether samples come from a base model. */
const usesBase = ({ config, quality }: MeasuredRun): boolean =>
  quality.generation !== null && config.sampler.generator === 'base'

/**
 * In the order in which they are shown. rFD and gFD are Fréchet distances of reconstructions and samples by the network
 * that the protocol names: FIDs only with Inception's features.
 */
export const runValues: readonly RunValue[] = [
  { name: 'bits/pixel', better: 'lower', digits: 3, of: ({ evaluation }) => evaluation?.bitsPerPixel.mean },
  {
    name: 'base bits/pixel',
    better: 'lower',
    digits: 3,
    of: ({ evaluation }) => evaluation?.baseBitsPerPixel?.mean,
  },
  ...reconstructionMetrics.map(
    ({ key, name, better, digits }): RunValue => ({
      name,
      better,
      digits,
      of: ({ evaluation }) => {
        const found = evaluation && measuredEntries(evaluation).find(([name]) => name === key)?.[1]
        return typeof found === 'number' ? found : found?.mean
      },
    }),
  ),
  { name: 'rFD', better: 'lower', digits: 1, of: ({ quality }) => quality.reconstruction?.frechet },
  { name: 'gFD', better: 'lower', digits: 1, of: ({ quality }) => quality.generation?.frechet },
  { name: 'KID', better: 'lower', digits: 3, of: ({ quality }) => quality.generation?.kid.mean },
  { name: 'precision', better: 'higher', digits: 2, of: ({ quality }) => quality.generation?.precision },
  { name: 'recall', better: 'higher', digits: 3, of: ({ quality }) => quality.generation?.recall },
  {
    name: 'base GFLOPs',
    digits: 3,
    of: (run) =>
      usesBase(run) ? run.cost.networks.find(({ network }) => network === 'base')?.gflopsForward : undefined,
  },
  {
    name: 'stage 1 training FLOPs',
    digits: 0,
    of: (run) =>
      !spaces[run.config.variant.encoder].isLearned
        ? 0
        : trainingFlops(run, 'stage1', run.stage1Config.train.stage1.steps),
  },
  {
    name: 'base training FLOPs',
    digits: 0,
    of: (run) => (usesBase(run) ? trainingFlops(run, 'stage2', run.config.train.stage2.steps) : undefined),
  },
]
