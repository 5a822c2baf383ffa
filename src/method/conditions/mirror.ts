/**
 * @file Whether an image is mirrored, told to the model so that mirroring the training images does not leak into samples
 * (augmentation conditioning: Karras et al. 2022, appendix F.2). Samples of which nobody says so are not mirrored.
 */
import { int32 } from '../../engine/host/tensor.ts'
import type { Value } from '../../engine/ir/graph.ts'
import { networkOf } from '../../engine/nn/network.ts'
import { param } from '../../engine/nn/params.ts'
import { gather } from '../../engine/ops/gather.ts'
import { type Condition, conditionOf } from './condition.ts'

/** Rows of the embedding: as the data has it, mirrored, and nothing told. */
const rows = { asItIs: 0, mirrored: 1, untold: 2 }

/** Conditions on mirroring. Input: `mirroring`, int32 [B]. */
export const mirrorCondition: Condition = conditionOf({
  name: 'mirror',
  inputs: (B) => ({ mirroring: { shape: [B], dtype: 'int32' } }),
  feeds: (facts) => ({
    mirroring: int32(
      [facts.length],
      facts.map((fact) =>
        fact === null ? rows.untold : fact.mirrored === true ? rows.mirrored : rows.asItIs,
      ),
    ),
  }),
  choices: [],
  nameOf: ({ mirrored }) => (mirrored === true ? 'mirrored' : 'as it is'),
  embedding: (width) =>
    networkOf(
      param([3, width], 1),
      (table) => (inputs: { readonly mirroring: Value }) => gather(table, inputs.mirroring),
    ),
})
