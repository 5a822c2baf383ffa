/** @file Generation by class: a learned embedding for each class, and one more for "no class". */
import { int32 } from '../../engine/host/tensor.ts'
import type { Value } from '../../engine/ir/graph.ts'
import { networkOf } from '../../engine/nn/network.ts'
import { param } from '../../engine/nn/params.ts'
import { gather } from '../../engine/ops/gather.ts'
import { type Condition, conditionOf } from './condition.ts'

/** Conditions on one of `count` classes. Input: `labels`, int32 [B], where `count` stands for no class. */
export const classCondition = (count: number): Condition =>
  conditionOf({
    name: 'classes',
    inputs: (B) => ({ labels: { shape: [B], dtype: 'int32' } }),
    feeds: (facts) => ({
      labels: int32(
        [facts.length],
        facts.map((fact) => (fact === null || fact.label < 0 ? count : fact.label)),
      ),
    }),
    choices: Array.from({ length: count }, (_, label) => ({ label })),
    nameOf: ({ label }, classes) => classes[label] ?? 'none',
    embedding: (width) =>
      networkOf(
        param([count + 1, width], 1),
        (table) => (inputs: { readonly labels: Value }) => gather(table, inputs.labels),
      ),
  })
