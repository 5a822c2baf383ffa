/** @file Short forms for writing an op's ONNX emission and its test samples. */
import { type HostTensor, type Shape, sizeOf } from '../host/tensor.ts'
import type { Emitter, OnnxAttribute, ValueType } from '../ir/graph.ts'

/** Emission as one ONNX node with the op's inputs in order. */
export const onnx =
  (opType: string, attrs?: Readonly<Record<string, OnnxAttribute>>, domain?: string) =>
  (e: Emitter, inputs: readonly string[]): readonly string[] =>
    e.node(opType, inputs, { attrs, domain })

/** An int64 vector, as ONNX wants shapes, axes and starts. */
export const int64s = (values: readonly number[]): HostTensor => ({
  dtype: 'int64',
  shape: [values.length],
  data: BigInt64Array.from(values.map((v) => BigInt(v))),
})

/** A float32 tensor filled with one number. */
export const filled = (shape: Shape, x: number): HostTensor => ({
  dtype: 'float32',
  shape,
  data: new Float32Array(sizeOf(shape)).fill(x),
})

/** Float32 input types of a sample. */
export const f32 = (...shapes: readonly Shape[]): ValueType[] =>
  shapes.map((shape) => ({ shape, dtype: 'float32' }))
