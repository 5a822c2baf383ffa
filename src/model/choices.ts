/** @file What can be asked for of a model that generates: the values of the condition that it is told, by name. */
import type { Config } from '../config/schema.ts'
import type { Condition, Facts } from '../method/conditions/condition.ts'
import { conditionsOf } from '../method/conditions/list.ts'
import type { RunInfo } from './info.ts'

/** What a run generates by. */
export interface Conditioned {
  readonly config: Config
  readonly info: Pick<RunInfo, 'classes'>
}

/** Whether a model that generates is told something of its samples. The prior of stage 1 is told nothing. */
export const generatesByClass = ({ sampler, base }: Config, classes: number): boolean =>
  sampler.generator === 'base' && classes > 0 && base.labelDropout < 1

/** The condition that rows of grids show, where the run's samples depend on one. */
export const shownCondition = ({ config, info }: Conditioned): Condition | undefined =>
  generatesByClass(config, info.classes.length)
    ? conditionsOf({ classes: info.classes.length, base: config.base }).find(
        ({ choices }) => choices.length > 0,
      )
    : undefined

/**
 * A sample of no class: an image of which nothing else is said, so that other conditions take what the data has. Nothing at
 * all is told to a model that never was told anything.
 */
export const ofNoClass = ({ config: { sampler, base } }: Conditioned): Facts | null =>
  sampler.generator === 'base' && base.labelDropout < 1 ? { label: -1 } : null

/** A value that samples are asked for by, and its name. */
export interface NamedFacts {
  readonly name: string
  readonly facts: Facts | null
}

/** Everything that can be asked for in turn: what the run knows, or nothing at all. At least one. */
export const choicesOf = (run: Conditioned): readonly NamedFacts[] => {
  const condition = shownCondition(run)
  if (condition === undefined) return [{ name: 'none', facts: ofNoClass(run) }]
  return condition.choices.map((facts) => ({ name: condition.nameOf(facts, run.info.classes), facts }))
}
