/** @file Order without data: what keeps recomputed parts of a graph from running early. */
import { float32 } from '../host/tensor.ts'
import { apply, expectDType, type Op, type Value } from '../ir/graph.ts'
import { f32, int64s } from './emit.ts'

const afterOp: Op<null> = {
  name: 'after',
  alias: 'maybe',
  infer: ([x, d]) => {
    expectDType([x, d], 'float32')
    return [x]
  },
  // x + 0·(one element of d): a dependence that the runtime cannot optimise away and that costs one pass over x.
  emit: (e, [x, d]) => {
    const [flat] = e.node('Reshape', [d, e.constant(int64s([-1]))])
    const [one] = e.node('Slice', [flat, e.constant(int64s([0])), e.constant(int64s([1]))])
    return e.node('Add', [x, e.node('Mul', [one, e.constant(float32([1], [0]))])[0]])
  },
  vjp: ([dx]) => [dx!, null],
  samples: [{ inputs: f32([2, 3], [3]), attrs: null }],
}
/**
 * x, but not before d is known: keeps recomputed parts of a graph from running early, and the runtime from finding that
 * they equal what was computed before. Not finite where d's first element is not.
 */
export const after = (x: Value, d: Value): Value => apply(afterOp, [x, d], null)

/** The op objects of this file. */
export const orderOps: readonly Op<unknown>[] = [afterOp]
