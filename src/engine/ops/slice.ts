/** @file Parts of tensors: slice, pad, concat, split; each is the gradient of another. */
import { showShape, zeros } from '../host/tensor.ts'
import { apply, applyAll, commonDType, expect, type Op, type Value } from '../ir/graph.ts'
import { constant } from './core.ts'
import { cut, f32, int64s } from './emit.ts'

/** Half-open range [start, end) of every axis. */
interface Box {
  readonly starts: readonly number[]
  readonly ends: readonly number[]
}

const sliceOp: Op<Box> = {
  name: 'slice',
  alias: 'maybe',
  infer: ([x], { starts, ends }) => {
    for (const [axis, d] of x.shape.entries()) {
      const [s, e] = [starts[axis], ends[axis]]
      expect(
        s >= 0 && s <= e && e <= d,
        () => `range ${s}..${e} of axis ${axis} is outside ${showShape(x.shape)}`,
      )
    }
    return [{ shape: starts.map((s, axis) => ends[axis] - s), dtype: x.dtype }]
  },
  emit: (e, [x], { attrs: { starts, ends } }) =>
    e.node('Slice', [x, e.constant(int64s(starts)), e.constant(int64s(ends))]),
  vjp: ([d], { inputs: [x], attrs: { starts, ends } }) => [
    pad(
      d!,
      starts,
      x.shape.map((size, axis) => size - ends[axis]),
    ),
  ],
  samples: [{ inputs: f32([3, 4]), attrs: { starts: [1, 0], ends: [3, 2] } }],
}
/** x[start:end] along one axis; negative axes count from the end. */
export const slice = (x: Value, axis: number, start: number, end: number): Value => {
  const at = axis < 0 ? axis + x.shape.length : axis
  if (x.shape[at] === undefined)
    throw new Error(`slice: axis ${axis} is not an axis of ${showShape(x.shape)}`)
  return sliceBox(
    x,
    x.shape.map((_, i) => (i === at ? start : 0)),
    x.shape.map((d, i) => (i === at ? end : d)),
  )
}
/** The box [starts, ends) of x. */
export const sliceBox = (x: Value, starts: readonly number[], ends: readonly number[]): Value =>
  apply(sliceOp, [x], { starts, ends })

const padOp: Op<{ readonly before: readonly number[]; readonly after: readonly number[] }> = {
  name: 'pad',
  alias: 'maybe',
  infer: ([x], { before, after }) => {
    expect(
      [...before, ...after].every((n) => n >= 0),
      () => 'padding must not be negative; slice instead',
    )
    return [{ shape: x.shape.map((d, axis) => d + before[axis] + after[axis]), dtype: x.dtype }]
  },
  emit: (e, [x], { attrs: { before, after } }) =>
    e.node('Pad', [x, e.constant(int64s([...before, ...after]))]),
  vjp: ([d], { inputs: [x], attrs: { before } }) => [
    sliceBox(
      d!,
      before,
      x.shape.map((size, axis) => size + before[axis]),
    ),
  ],
  samples: [{ inputs: f32([2, 3]), attrs: { before: [1, 0], after: [0, 2] } }],
}
/** Surrounds x with zeros. */
export const pad = (x: Value, before: readonly number[], after: readonly number[]): Value =>
  apply(padOp, [x], { before, after })

const concatOp: Op<{ readonly axis: number }> = {
  name: 'concat',
  alias: 'maybe',
  infer: (inputs, { axis }) => {
    const [first] = inputs
    expect(first?.shape[axis] !== undefined, () => `axis ${axis} is not an axis of the values`)
    for (const v of inputs) {
      expect(
        v.shape.length === first.shape.length && v.shape.every((d, i) => i === axis || d === first.shape[i]),
        () => `${showShape(v.shape)} does not join ${showShape(first.shape)} along axis ${axis}`,
      )
    }
    const total = inputs.reduce((n, v) => n + v.shape[axis], 0)
    return [{ shape: first.shape.map((d, i) => (i === axis ? total : d)), dtype: commonDType(inputs) }]
  },
  emit: (e, inputs, { attrs: { axis } }) => e.node('Concat', inputs, { attrs: { axis: { i: axis } } }),
  vjp: ([d], { inputs, attrs: { axis } }) =>
    split(
      d!,
      axis,
      inputs.map((v) => v.shape[axis]),
    ),
  samples: [{ inputs: f32([2, 3], [2, 1], [2, 2]), attrs: { axis: 1 } }],
}
/** Joins values along an axis; negative axes count from the end. */
export const concat = (values: readonly Value[], axis: number): Value =>
  values.length === 1
    ? values[0]
    : apply(concatOp, values, { axis: axis < 0 ? axis + values[0].shape.length : axis })

const splitOp: Op<{ readonly axis: number; readonly sizes: readonly number[] }> = {
  name: 'split',
  alias: 'maybe',
  infer: ([x], { axis, sizes }) => {
    const total = sizes.reduce((n, d) => n + d, 0)
    expect(
      total === x.shape[axis],
      () => `sizes ${showShape(sizes)} do not add up to axis ${axis} of ${showShape(x.shape)}`,
    )
    return sizes.map((size) => ({ shape: x.shape.map((d, i) => (i === axis ? size : d)), dtype: x.dtype }))
  },
  emit: (e, [x], { attrs: { axis, sizes } }) => cut(e, x, axis, sizes),
  vjp: (cotangents, { outputs, attrs: { axis } }) => [
    concat(
      cotangents.map((d, i) => d ?? constant(zeros(outputs[i].shape))),
      axis,
    ),
  ],
  samples: [
    { inputs: f32([2, 6]), attrs: { axis: 1, sizes: [1, 3, 2] } },
    { inputs: f32([20]), attrs: { axis: 0, sizes: [1, 3, 2, 1, 1, 2, 3, 1, 4, 2] } },
  ],
}
/** Cuts x along an axis into parts of the given sizes; negative axes count from the end. */
export const split = (x: Value, axis: number, sizes: readonly number[]): readonly Value[] =>
  sizes.length === 1 && sizes[0] === x.shape.at(axis)
    ? [x]
    : applyAll(splitOp, [x], { axis: axis < 0 ? axis + x.shape.length : axis, sizes })

/** The op objects of this file. */
export const sliceOps: readonly Op<unknown>[] = [sliceOp, padOp, concatOp, splitOp]
