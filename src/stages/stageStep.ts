/** @file The training step of a stage as a configuration sets it: its optimiser, and in how many parts its batch comes. */
import { ConfigError } from '../config/load.ts'
import type { Config, OptimizerName } from '../config/schema.ts'
import type { Spec } from '../engine/nn/params.ts'
import type { ModelConfig } from '../method/config.ts'
import { type AdamWConfig, adamW } from '../train/adamw.ts'
import { muon } from '../train/muon.ts'
import type { Optimizer } from '../train/optimizer.ts'
import { type TracedStep, traceStep } from '../train/trainStep.ts'
import type { UpdateRule } from '../train/update.ts'
import type { Stage } from './stage.ts'

/** AdamW as the configuration sets it. */
export const adamWOf = ({ train }: Config): AdamWConfig => ({
  beta1: train.beta1,
  beta2: train.beta2,
  epsilon: 1e-8,
  weightDecay: train.weightDecay,
})

/**
 * The ends of a network, by path: the layers that read or write pixels and latents, and the tables of its conditions, as
 * in `decoder.in.weight` and `base.classes`. Muon is for what lies between them (Jordan et al.).
 */
const isEnd = (path: string): boolean => /^\w+\.((in|latent|out)\.weight|\w+)$/.test(path)

const optimizers: Readonly<Record<OptimizerName, (config: Config) => Optimizer>> = {
  adamw: (config) => adamW(adamWOf(config)),
  muon: (config) => {
    const { weightDecay } = config.train
    return muon({ momentum: 0.95, weightDecay, takes: (path) => !isEnd(path) }, adamW(adamWOf(config)))
  },
}

/** How a configuration moves the weights. */
export const updateRuleOf = (config: Config): UpdateRule => {
  const { optimizer = 'adamw', clipNorm } = config.train
  return { optimizer: optimizers[optimizer](config), clipNorm }
}

/**
 * In how many parts a stage's batch comes, of all processes together.
 * @throws ConfigError when they do not divide it
 */
export const partsPerBatch = (config: Config, stage: Stage, processes: number = 1): number => {
  const { accumulate = 1 } = config.train
  const { batch } = stage.settings(config)
  if (batch % accumulate !== 0) {
    throw new ConfigError(
      `train.accumulate is ${accumulate}, but the batch of ${stage.name} is ${batch}; set a divisor of every stage's batch`,
    )
  }
  if (batch % (accumulate * processes) !== 0) {
    const each = accumulate === 1 ? '' : ` with train.accumulate ${accumulate} each`
    throw new ConfigError(
      `the batch of ${stage.name} is ${batch}, which ${processes} processes${each} do not share evenly; start another number of them, or set another batch`,
    )
  }
  return accumulate * processes
}

/** A stage's training step, and the parameters that it trains. */
export interface StageStep {
  readonly step: TracedStep
  readonly spec: Spec
}

/** Traces the training step of a stage, in one process or several. @throws ConfigError when its batch does not come in equal parts */
export const stageStep = (
  config: Config,
  model: ModelConfig,
  stage: Stage,
  processes: number = 1,
): StageStep => {
  const parts = partsPerBatch(config, stage, processes)
  const objective = stage.objective(model, stage.settings(config).batch / parts)
  return { step: traceStep(objective, updateRuleOf(config), parts), spec: objective.spec }
}
