/** @file The conditions of a model: one line each. */
import { classCondition } from './classes.ts'
import type { Condition } from './condition.ts'

/** What the base model of a data set is told. @param model.classes number of classes; 0 for none */
export const conditionsOf = (model: { readonly classes: number }): readonly Condition[] => [
  classCondition(model.classes),
]
