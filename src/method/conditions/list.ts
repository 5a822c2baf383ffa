/** @file The conditions that a base model may have: one line each. */
import { classCondition } from './classes.ts'
import type { Condition } from './condition.ts'
import { mirrorCondition } from './mirror.ts'

/** Names of all conditions, as configurations give them. */
export type ConditionName = 'classes' | 'mirror'

/** What conditions are made from. */
export interface ConditionedModel {
  /** Number of classes; 0 for none. */
  readonly classes: number
  /** Which the base model has; its classes when absent. */
  readonly base: { readonly conditions?: readonly ConditionName[] | undefined }
}

/** All conditions, one line each. */
const makers: Readonly<Record<ConditionName, (model: ConditionedModel) => Condition>> = {
  classes: ({ classes }) => classCondition(classes),
  mirror: () => mirrorCondition,
}

/** Names of all conditions. */
export const conditionNames: readonly ConditionName[] = Object.keys(makers) as ConditionName[]

/** What the base model of a configuration is told. */
export const conditionsOf = (model: ConditionedModel): readonly Condition[] =>
  (model.base.conditions ?? ['classes']).map((name) => makers[name](model))
