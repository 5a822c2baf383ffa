/** @file Inputs that do not fit: every message is one sentence that names the op, the model path and the shapes. */
import { describe, expect, it } from 'vitest'
import type { Shape } from '../../src/engine/host/tensor.ts'
import { input, scope, type Value } from '../../src/engine/ir/graph.ts'
import { attention } from '../../src/engine/ops/attention.ts'
import { conv2d, depthToSpace, spaceToDepth } from '../../src/engine/ops/conv.ts'
import {
  add,
  cast,
  clip,
  exp,
  expand,
  reduceSum,
  reshape,
  transpose,
  where,
} from '../../src/engine/ops/core.ts'
import { gather, scatterAdd } from '../../src/engine/ops/gather.ts'
import { gemm, linear, matmul } from '../../src/engine/ops/matmul.ts'
import { concat, pad, slice, split } from '../../src/engine/ops/slice.ts'

const f = (...shape: Shape): Value => input('x', shape)
const i = (...shape: Shape): Value => input('i', shape, 'int32')

/** The message of a failing trace under `decoder/middle/3`. */
const messageOf = (body: () => unknown): string => {
  try {
    scope('decoder', () => scope('middle', () => scope(3, body)))
  } catch (error) {
    return (error as Error).message
  }
  return 'nothing was thrown'
}

/** What was traced, which op complains, its words, and the inputs as it lists them. */
type Row = readonly [title: string, body: () => unknown, op: string, words: string, inputs: string]

const rows: readonly Row[] = [
  [
    'matmul: inner sizes',
    () => matmul(f(2, 3), f(4, 5)),
    'matmul',
    'the inner sizes 3 and 4 of [2,3] and [4,5] differ',
    'float32[2,3], float32[4,5]',
  ],
  [
    'matmul: inner sizes after transposition',
    () => matmul(f(2, 3), f(3, 5), { transB: true }),
    'matmul',
    'the inner sizes 3 and 5 of [2,3] and [3,5] differ',
    'float32[2,3], float32[3,5]',
  ],
  [
    'matmul: a vector',
    () => matmul(f(2, 3), f(3)),
    'matmul',
    'both operands need at least two axes; reshape first',
    'float32[2,3], float32[3]',
  ],
  [
    'matmul: dtypes',
    () => matmul(f(2, 3), i(3, 2)),
    'matmul',
    'expected float32, found int32; cast it first',
    'float32[2,3], int32[3,2]',
  ],
  [
    'matmul: batches',
    () => matmul(f(2, 2, 3), f(3, 3, 2)),
    'matmul',
    '[2] and [3] do not broadcast at axis 0',
    'float32[2,2,3], float32[3,3,2]',
  ],
  [
    'gemm: an addend larger than the product',
    () => gemm(f(1, 3), f(3, 4), f(2, 4)),
    'gemm',
    'the addend [2,4] does not fit the product [1,4]',
    'float32[1,3], float32[3,4], float32[2,4]',
  ],
  [
    'linear: width of the weight',
    () => linear(f(2, 5, 3), f(4, 4)),
    'gemm',
    'the inner sizes 3 and 4 of [10,3] and [4,4] differ',
    'float32[10,3], float32[4,4]',
  ],
  [
    'add: broadcasting',
    () => add(f(2, 3), f(2)),
    'add',
    '[2,3] and [2] do not broadcast at axis 1',
    'float32[2,3], float32[2]',
  ],
  [
    'add: dtypes',
    () => add(f(2, 3), i(3)),
    'add',
    'dtypes float32 and int32 differ; cast one of them',
    'float32[2,3], int32[3]',
  ],
  ['exp: dtype', () => exp(i(2)), 'exp', 'expected float32, found int32; cast it first', 'int32[2]'],
  [
    'where: condition',
    () => where(f(2), f(2), 0),
    'where',
    'the condition must be bool, found float32; compare first',
    'float32[2], float32[2], float32[]',
  ],
  [
    'reshape: number of elements',
    () => reshape(f(2, 3), [4]),
    'reshape',
    '[2,3] has 6 elements, [4] needs 4',
    'float32[2,3]',
  ],
  [
    'transpose: not a permutation',
    () => transpose(f(2, 3), [0, 0]),
    'transpose',
    '[0,0] is not a permutation of the axes of [2,3]',
    'float32[2,3]',
  ],
  [
    'expand: an axis that is not 1',
    () => expand(f(2, 3), [2, 1]),
    'expand',
    '[2,3] does not expand to [2,1]',
    'float32[2,3]',
  ],
  [
    'reduceSum: axis',
    () => reduceSum(f(2, 3), [2]),
    'reduceSum',
    'axis 2 is not an axis of [2,3]',
    'float32[2,3]',
  ],
  [
    'concat: other sizes',
    () => concat([f(2, 3), f(3, 3)], 1),
    'concat',
    '[3,3] does not join [2,3] along axis 1',
    'float32[2,3], float32[3,3]',
  ],
  [
    'concat: ranks',
    () => concat([f(2, 3), f(3)], 0),
    'concat',
    '[3] does not join [2,3] along axis 0',
    'float32[2,3], float32[3]',
  ],
  [
    'concat: dtypes',
    () => concat([f(2, 3), i(2, 3)], 0),
    'concat',
    'dtypes float32 and int32 differ; cast one of them',
    'float32[2,3], int32[2,3]',
  ],
  [
    'concat: axis',
    () => concat([f(2, 3), f(2, 3)], 2),
    'concat',
    'axis 2 is not an axis of the values',
    'float32[2,3], float32[2,3]',
  ],
  [
    'split: sizes',
    () => split(f(2, 6), 1, [2, 3]),
    'split',
    'sizes [2,3] do not add up to axis 1 of [2,6]',
    'float32[2,6]',
  ],
  [
    'split: one size that is not the whole',
    () => split(f(2, 6), -1, [5]),
    'split',
    'sizes [5] do not add up to axis 1 of [2,6]',
    'float32[2,6]',
  ],
  [
    'slice: range',
    () => slice(f(2, 6), 1, 2, 7),
    'slice',
    'range 2..7 of axis 1 is outside [2,6]',
    'float32[2,6]',
  ],
  [
    'slice: backwards',
    () => slice(f(2, 6), -1, 4, 3),
    'slice',
    'range 4..3 of axis 1 is outside [2,6]',
    'float32[2,6]',
  ],
  [
    'pad: negative',
    () => pad(f(2, 6), [0, -1], [0, 0]),
    'pad',
    'padding must not be negative; slice instead',
    'float32[2,6]',
  ],
  [
    'conv2d: channels',
    () => conv2d(f(1, 3, 4, 4), f(2, 4, 3, 3)),
    'conv2d',
    'x has 3 channels, the kernel [2,4,3,3] expects 4',
    'float32[1,3,4,4], float32[2,4,3,3]',
  ],
  [
    'conv2d: rank',
    () => conv2d(f(3, 4, 4), f(2, 3, 3, 3)),
    'conv2d',
    'conv2d takes x [B,C,H,W] and w [O,C,kh,kw]',
    'float32[3,4,4], float32[2,3,3,3]',
  ],
  [
    'conv2d: an even kernel',
    () => conv2d(f(1, 3, 4, 4), f(2, 3, 2, 2)),
    'conv2d',
    '"same" padding needs odd kernels, found 2×2',
    'float32[1,3,4,4], float32[2,3,2,2]',
  ],
  [
    'conv2d: dtype',
    () => conv2d(i(1, 3, 4, 4), f(2, 3, 3, 3)),
    'conv2d',
    'expected float32, found int32; cast it first',
    'int32[1,3,4,4], float32[2,3,3,3]',
  ],
  [
    'gather: float indices',
    () => gather(f(3, 4), f(2)),
    'gather',
    'indices must be int32 [B], found float32[2]',
    'float32[3,4], float32[2]',
  ],
  [
    'gather: a matrix of indices',
    () => gather(f(3, 4), i(2, 2)),
    'gather',
    'indices must be int32 [B], found int32[2,2]',
    'float32[3,4], int32[2,2]',
  ],
  [
    'scatterAdd: number of indices',
    () => scatterAdd(f(3, 4), i(2), 3),
    'scatterAdd',
    'there must be one index per row',
    'float32[3,4], int32[2]',
  ],
  [
    'attention: head widths',
    () => attention(f(1, 2, 5, 8), f(1, 2, 5, 4), f(1, 2, 5, 8)),
    'matmul',
    'the inner sizes 8 and 4 of [1,2,5,8] and [1,2,5,4] differ',
    'float32[1,2,5,8], float32[1,2,5,4]',
  ],
  [
    'attention: numbers of keys and values',
    () => attention(f(1, 2, 5, 8), f(1, 2, 6, 8), f(1, 2, 7, 8)),
    'matmul',
    'the inner sizes 6 and 7 of [1,2,5,6] and [1,2,7,8] differ',
    'float32[1,2,5,6], float32[1,2,7,8]',
  ],
  [
    'attention: numbers of heads',
    () => attention(f(1, 2, 5, 8), f(1, 3, 5, 8), f(1, 3, 5, 8)),
    'matmul',
    '[1,2] and [1,3] do not broadcast at axis 1',
    'float32[1,2,5,8], float32[1,3,5,8]',
  ],
  [
    'depthToSpace: channels',
    () => depthToSpace(f(1, 6, 2, 2), 2),
    'depthToSpace',
    '6 channels are not divisible by 2²',
    'float32[1,6,2,2]',
  ],
  [
    'depthToSpace: rank',
    () => depthToSpace(f(2, 4, 2), 2),
    'depthToSpace',
    'the layout must be [B,C,H,W], found [2,4,2]',
    'float32[2,4,2]',
  ],
  [
    'spaceToDepth: sides',
    () => spaceToDepth(f(1, 3, 5, 4), 2),
    'spaceToDepth',
    '5×4 is not divisible by 2',
    'float32[1,3,5,4]',
  ],
  [
    'spaceToDepth: rank',
    () => spaceToDepth(f(3, 4, 4), 2),
    'spaceToDepth',
    'the layout must be [B,C,H,W], found [3,4,4]',
    'float32[3,4,4]',
  ],
  [
    'clip: bounds',
    () => clip(f(2), 1, -1),
    'clip',
    'the bounds must be in order, found 1 and -1; swap them',
    'float32[2]',
  ],
]

describe('inputs that do not fit', () => {
  it.each(rows)('%s', (_, body, op, words, inputs) => {
    expect(messageOf(body)).toBe(`${op} at decoder/middle/3: ${words} (inputs ${inputs})`)
  })

  it('slice names an axis that does not exist, instead of returning the whole', () => {
    expect(messageOf(() => slice(f(2, 6), 2, 0, 1))).toBe('slice: axis 2 is not an axis of [2,6]')
    expect(messageOf(() => slice(f(2, 6), -3, 0, 1))).toBe('slice: axis -3 is not an axis of [2,6]')
  })

  it('leaves out the path at top level', () => {
    expect(() => matmul(f(2, 3), f(4, 5))).toThrow(/^matmul: the inner sizes 3 and 4/)
  })

  it('restores the path after a failure, so that the next message is not misplaced', () => {
    messageOf(() => matmul(f(2, 3), f(4, 5)))
    expect(cast(f(1), 'int32').node!.scope).toBe('')
  })
})
