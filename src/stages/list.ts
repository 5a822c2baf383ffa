/** @file The stages of training in their order: one line each. */
import { autoencoder } from './autoencoder.ts'
import { baseModel } from './baseModel.ts'
import { decoderAlone } from './decoderAlone.ts'
import type { Stage } from './stage.ts'

/** All stages. */
export const stages: readonly Stage[] = [autoencoder, decoderAlone, baseModel]

/** Which stages to train: one by its flag, or all. */
export type StageChoice = string

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

/** The stages that a choice names. */
export const chosenStages = (choice: StageChoice): readonly Stage[] =>
  choice === 'all' ? stages : [stageCalled(choice)]
