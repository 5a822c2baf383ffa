/** @file Row look-up in a table and its gradient, the scattered sum. */
import { showShape, zeros } from '../host/tensor.ts'
import { apply, expect, type Op, type Value } from '../ir/graph.ts'
import { f32, int64s } from './emit.ts'

const checkIndices = (indices: Value): void => {
  expect(
    indices.dtype === 'int32' && indices.shape.length === 1,
    () => `indices must be int32 [B], found ${indices.dtype}${showShape(indices.shape)}`,
  )
}

const gatherOp: Op<null> = {
  name: 'gather',
  infer: ([table, indices]) => {
    checkIndices(indices)
    return [{ shape: [indices.shape[0], ...table.shape.slice(1)], dtype: table.dtype }]
  },
  emit: (e, inputs) => e.node('Gather', inputs, { attrs: { axis: { i: 0 } } }),
  vjp: ([d], { inputs: [table, indices] }) => [scatterAdd(d!, indices, table.shape[0]), null],
  samples: [{ inputs: [...f32([3, 4]), { shape: [5], dtype: 'int32' }], attrs: null, range: [0, 2] }],
}
/** Rows of table [V, …] at indices int32 [B]: [B, …]. */
export const gather = (table: Value, indices: Value): Value => apply(gatherOp, [table, indices], null)

const scatterAddOp: Op<number> = {
  name: 'scatterAdd',
  infer: ([rows, indices], count) => {
    checkIndices(indices)
    expect(rows.shape[0] === indices.shape[0], () => 'there must be one index per row')
    return [{ shape: [count, ...rows.shape.slice(1)], dtype: rows.dtype }]
  },
  emit: (e, [rows, indices], { inputs, outputs: [y] }) => {
    // Reshaped as int32: ORT's WebGPU provider (1.30) takes a Reshape of int64 to the CPU and back.
    const [column] = e.node('Reshape', [indices, e.constant(int64s([inputs[1].shape[0], 1]))])
    const [wide] = e.node('Cast', [column], { attrs: { to: { i: 7 } } })
    const attrs = { reduction: { s: 'add' } }
    return e.node('ScatterND', [e.constant(zeros(y.shape)), wide, rows], { attrs })
  },
  vjp: ([d], { inputs: [, indices] }) => [gather(d!, indices), null],
  samples: [{ inputs: [...f32([5, 4]), { shape: [5], dtype: 'int32' }], attrs: 3, range: [0, 2] }],
}
/** Sums rows [B, …] into a table [count, …] at indices int32 [B]. */
export const scatterAdd = (rows: Value, indices: Value, count: number): Value =>
  apply(scatterAddOp, [rows, indices], count)

/** The op objects of this file. */
export const gatherOps: readonly Op<unknown>[] = [gatherOp, scatterAddOp]
