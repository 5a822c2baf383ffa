/** @file What ops are written with: shape rules, pieces of ONNX emission, test samples. Nothing here is an op. */
import { type HostTensor, type Shape, showShape, sizeOf } from '../host/tensor.ts'
import { type Emitter, expect, type OnnxAttribute, type ValueType } from '../ir/graph.ts'

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

/** NumPy broadcasting of two shapes. @throws naming the axis that does not fit. */
export const broadcastShape = (a: Shape, b: Shape): Shape => {
  const rank = Math.max(a.length, b.length)
  return Array.from({ length: rank }, (_, axis) => {
    const m = a[axis - rank + a.length] ?? 1
    const n = b[axis - rank + b.length] ?? 1
    expect(
      m === n || m === 1 || n === 1,
      () => `${showShape(a)} and ${showShape(b)} do not broadcast at axis ${axis}`,
    )
    return m === 1 ? n : m
  })
}

/** How the operands enter: alpha · (A or Aᵀ)(B or Bᵀ), transposing the last two axes. */
export interface MatmulFlags {
  readonly transA: boolean
  readonly transB: boolean
  readonly alpha: number
}

/** A tensor inside an emission. */
export interface EmittedOperand {
  readonly name: string
  readonly rank: number
}

/**
 * Emits alpha·(A or Aᵀ)(B or Bᵀ). On the CPU the flags cost nothing; ORT's WebGPU provider (1.30, Node) has no
 * FusedMatMul and would copy both operands to the host and the product back.
 */
export const emitProduct = (
  e: Emitter,
  a: EmittedOperand,
  b: EmittedOperand,
  { transA, transB, alpha }: MatmulFlags,
): string => {
  const one = (...args: Parameters<Emitter['node']>): string => e.node(...args)[0]
  const operands = [a.name, b.name] as const
  if (!transA && !transB && alpha === 1) return e.product('MatMul', operands)
  if (e.target === 'cpu') {
    const attrs = { transA: { i: +transA }, transB: { i: +transB }, alpha: { f: alpha } }
    return e.product('FusedMatMul', operands, { attrs, domain: 'com.microsoft' })
  }
  const turned = ({ name, rank }: EmittedOperand, transposed: boolean): string => {
    const perm = Array.from({ length: rank }, (_, i) => (i < rank - 2 ? i : 2 * rank - 3 - i))
    return transposed ? one('Transpose', [name], { attrs: { perm: { is: perm } } }) : name
  }
  const product = e.product('MatMul', [turned(a, transA), turned(b, transB)])
  return alpha === 1 ? product : one('Mul', [product, e.constant(filled([], alpha))])
}

/** WebGPU guarantees eight storage buffers to a shader, and its Split binds one for every output and the input. */
const portableParts = 7

/** Emits the cut of x along an axis into parts of the given sizes. */
export const cut = (e: Emitter, x: string, axis: number, sizes: readonly number[]): readonly string[] => {
  const most = e.target === 'cpu' ? sizes.length : portableParts
  const each = most ** Math.max(0, Math.ceil(Math.log(sizes.length) / Math.log(most) - 1e-9) - 1)
  const groups = Array.from({ length: Math.ceil(sizes.length / each) }, (_, i) =>
    sizes.slice(i * each, (i + 1) * each),
  )
  const totals = groups.map((group) => group.reduce((n, d) => n + d, 0))
  const attrs = { axis: { i: axis } }
  const parts = e.node('Split', [x, e.constant(int64s(totals))], { attrs, outputs: groups.length })
  return parts.flatMap((part, i) => (groups[i].length === 1 ? [part] : cut(e, part, axis, groups[i])))
}
