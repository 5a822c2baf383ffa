/** @file Models of any batch: what is made free of the batch, what is left, and what is refused. */
import { fromBinary } from '@bufbuild/protobuf'
import { type GraphProto, ModelProtoSchema } from 'onnx-buf'
import { describe, expect, it } from 'vitest'
import { float32 } from '../../src/engine/host/tensor.ts'
import type { Value } from '../../src/engine/ir/graph.ts'
import { type Program, trace } from '../../src/engine/ir/program.ts'
import { serializeAnyBatch } from '../../src/engine/onnx/anyBatch.ts'
import { add, constant, expand, mul, reshape } from '../../src/engine/ops/core.ts'
import { linear } from '../../src/engine/ops/matmul.ts'
import { slice } from '../../src/engine/ops/slice.ts'

/** A program of x [B, 2, 3] for B examples. */
const of =
  (body: (x: Value, B: number) => Value) =>
  (B: number): Program =>
    trace('any', { x: { shape: [B, 2, 3] } }, ({ x }) => ({ y: body(x, B) }))

const graphOf = (traced: (B: number) => Program): GraphProto =>
  fromBinary(ModelProtoSchema, serializeAnyBatch(traced).bytes).graph!

/** The int64 constants of a graph. */
const shapesOf = ({ initializer }: GraphProto): number[][] =>
  initializer
    .filter(({ dataType }) => dataType === 7)
    .map(({ rawData }) => Array.from(new BigInt64Array(rawData.slice().buffer), Number))

/** Sizes of what a graph takes or gives, by name where they have one. */
const sizesOf = ([value]: GraphProto['input']): unknown[] =>
  value.type?.value.case === 'tensorType'
    ? (value.type.value.value.shape?.dim ?? []).map(({ value: { value: size } }) =>
        typeof size === 'bigint' ? Number(size) : size,
      )
    : []

describe('a size that is the batch', () => {
  it('has a name in inputs and outputs, and is left open in a reshape', () => {
    const graph = graphOf(of((x, B) => reshape(x, [B, 6])))
    expect(sizesOf(graph.input)).toEqual(['batch', 2, 3])
    expect(sizesOf(graph.output)).toEqual(['batch', 6])
    expect(shapesOf(graph)).toEqual([[-1, 6]])
  })

  it('is found where it is a factor of a size, and not where a size happens to equal it', () => {
    // At the batches that are compared, 2 and 3, sizes of 2 and 3 are everywhere.
    const graph = graphOf(of((x, B) => reshape(mul(reshape(x, [3 * B, 1, 2]), 2), [B, 3, 2])))
    expect(shapesOf(graph)).toEqual([
      [-1, 1, 2],
      [-1, 3, 2],
    ])
  })

  it('stays what it is where a tensor is expanded along another axis', () => {
    const graph = graphOf(of((x, B) => expand(reshape(x, [B, 1, 2, 3]), [B, 4, 2, 3])))
    expect(shapesOf(graph)).toContainEqual([1, 4, 2, 3])
  })

  it('is gone from the constants of a layer', () => {
    const [w, b] = [
      constant(float32([3, 4], new Float32Array(12).fill(2)), 'w'),
      constant(float32([4], [1, 2, 3, 4]), 'b'),
    ]
    const graph = graphOf(of((x) => mul(linear(x, w, b), 2)))
    expect(shapesOf(graph).sort()).toEqual([
      [-1, 2, 4],
      [-1, 3],
    ])
    expect(sizesOf(graph.output)).toEqual(['batch', 2, 4])
  })
})

describe('what is refused, by the name of the node', () => {
  it.each<[string, (x: Value, B: number) => Value, RegExp]>([
    [
      'a constant of the batch',
      (x, B) => add(x, constant(float32([B, 1, 1], new Float32Array(B)))),
      /^add\/Add: the batch is part of a constant of Add/,
    ],
    [
      'two sizes of the batch',
      (x, B) => reshape(mul(reshape(x, [B, 1, 6]), reshape(x, [1, B, 6])), [B, B, 2, 3]),
      /^reshape_2\/Reshape: the batch is part of a constant of Reshape/,
    ],
    [
      'an expansion to the batch',
      (x, B) => add(x, expand(constant(float32([1, 2, 3], [1, 2, 3, 4, 5, 6])), [B, 2, 3])),
      /^expand\/Expand: the batch is part of a constant of Expand/,
    ],
    [
      'a part of the batch',
      (x, B) => slice(x, 0, 0, B - 1),
      /^slice\/Slice: the batch is part of a constant of Slice/,
    ],
    ['another program', (x, B) => (B === 2 ? x : mul(x, 2)), /is another node for another batch/],
  ])('%s', (_, body, expected) => {
    expect(() => serializeAnyBatch(of(body))).toThrow(expected)
  })
})
