/** @file What to do about a stage whose updates are skipped. */
import type { Config } from '../config/schema.ts'
import { partsOfVariant } from '../method/variants.ts'
import { DivergedError } from '../train/loop.ts'
import type { Stage, StageContext } from './stage.ts'

/** How far the learning rate is lowered in what is advised. */
const lowered = (lr: number): number => Number((lr / 10).toPrecision(2))

/** The command that trains a stage again at a lower rate. What was trained before it is kept where that can be. */
const retry = (config: Config, dir: string, stage: Stage): string => {
  const { name } = stage
  const lr = lowered(stage.settings(config).lr)
  if (config.train.stages?.[name] !== undefined)
    return `remove checkpoints/${name}-* there and run the same command with --set 'train.stages={${name}: {lr: ${lr}}}'`
  const ofBase = stage.networks.includes('base')
  const keeps = ofBase && partsOfVariant(config.variant).space.isLearned ? ` --stage1-from '${dir}'` : ''
  return `run the same command with --set ${ofBase ? 'train.stage2.lr' : 'train.lr'}=${lr}${keeps} --out '${dir}-slower'`
}

/** The error of a stage that diverged. @param saved the step of its last checkpoint, 0 where there is none */
export const divergence = (
  { config, dir }: StageContext,
  stage: Stage,
  cause: DivergedError,
  saved: number,
): DivergedError =>
  new DivergedError(
    `${dir}: ${stage.name} has diverged: ${cause.message}; ${saved === 0 ? 'nothing' : `step ${saved}`} is saved, ${retry(config, dir, stage)}`,
    { cause },
  )
