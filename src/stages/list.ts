/** @file The stages of training in their order: one line each. */
import { ConfigError } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { autoencoder } from './autoencoder.ts'
import { baseModel } from './baseModel.ts'
import { decoderAlone } from './decoderAlone.ts'
import type { Stage } from './stage.ts'
import { studentDecoder } from './student.ts'

/** All stages. */
export const stages: readonly Stage[] = [autoencoder, decoderAlone, studentDecoder, baseModel]

/** Which stages to train: one by its flag, all, or all that come before a model of latents is trained. */
export type StageChoice = string

/** The choice of all stages but those of the base model, as runs that share a stage 1 need them. */
export const beforeBase: StageChoice = 'before base'

/** Values of `--stage`. */
export const stageFlags: readonly string[] = stages.map(({ flag }) => flag)

/** A stage by its flag or name. @throws naming the known ones */
export const stageCalled = (given: string): Stage => {
  const found = stages.find(({ flag, name }) => flag === given || name === given)
  if (found === undefined) {
    throw new Error(`stage ${given}: there is none of that name; give one of ${stageFlags.join(', ')}`)
  }
  return found
}

/** The stages that a configuration has. */
export const stagesOf = (config: Config): readonly Stage[] => stages.filter((stage) => stage.applies(config))

/** A stage of a configuration by its flag or name. @throws ConfigError when the configuration has none of that name */
export const stageOf = (config: Config, given: string): Stage => {
  const stage = stageCalled(given)
  if (stage.applies(config)) return stage
  const own = stagesOf(config).map(({ name }) => name)
  throw new ConfigError(
    `${config.name}: it has no ${stage.name}, its stages are ${own.join(', ')}; give one of these, or settings of that one (train.stages)`,
  )
}

/** The stages that a choice names. */
export const chosenStages = (choice: StageChoice): readonly Stage[] => {
  if (choice === 'all') return stages
  if (choice === beforeBase) return stages.filter(({ networks }) => !networks.includes('base'))
  return [stageCalled(choice)]
}
