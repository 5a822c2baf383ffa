/** @file Matrix products, with transposition as a flag (never materialised) and an optional addend. */
import { type Shape, sameShape, showShape, sizeOf } from '../host/tensor.ts'
import { apply, expect, expectDType, type Op, type Value } from '../ir/graph.ts'
import { reshape, sumTo } from './core.ts'
import { broadcastShape, type EmittedOperand, emitProduct, f32, type MatmulFlags } from './emit.ts'

export type { MatmulFlags } from './emit.ts'

const matrixAxes = (shape: Shape, transposed: boolean): readonly [number, number] => {
  const [m, n] = shape.slice(-2) as [number, number]
  return transposed ? [n, m] : [m, n]
}

const inferMatmul = (a: Value, b: Value, { transA, transB }: MatmulFlags): Shape => {
  expectDType([a, b], a.dtype)
  expect(
    a.shape.length >= 2 && b.shape.length >= 2,
    () => 'both operands need at least two axes; reshape first',
  )
  const [m, k] = matrixAxes(a.shape, transA)
  const [k2, n] = matrixAxes(b.shape, transB)
  expect(
    k === k2,
    () => `the inner sizes ${k} and ${k2} of ${showShape(a.shape)} and ${showShape(b.shape)} differ`,
  )
  return [...broadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2)), m, n]
}

const matmulOp: Op<MatmulFlags> = {
  name: 'matmul',
  infer: ([a, b], flags) => [{ shape: inferMatmul(a, b, flags), dtype: a.dtype }],
  emit: (e, names, { inputs, attrs }) => {
    const [a, b] = names.map((name, i): EmittedOperand => ({ name, rank: inputs[i].shape.length })) as [
      EmittedOperand,
      EmittedOperand,
    ]
    return [emitProduct(e, a, b, attrs)]
  },
  vjp: ([d], { inputs: [a, b], attrs: { transA, transB, alpha } }) => {
    const da = transA
      ? matmul(b, d!, { transA: transB, transB: true, alpha })
      : matmul(d!, b, { transB: !transB, alpha })
    const db = transB
      ? matmul(d!, a, { transA: true, transB: transA, alpha })
      : matmul(a, d!, { transA: !transA, alpha })
    return [sumTo(da, a.shape), sumTo(db, b.shape)]
  },
  flops: ({ inputs: [a], outputs: [y], attrs }) => 2 * sizeOf(y.shape) * matrixAxes(a.shape, attrs.transA)[1],
  samples: [
    { inputs: f32([2, 3], [3, 4]), attrs: { transA: false, transB: false, alpha: 1 } },
    { inputs: f32([2, 3, 4], [2, 3, 5]), attrs: { transA: true, transB: false, alpha: 0.5 } },
    { inputs: f32([2, 2, 3, 4], [2, 2, 5, 4]), attrs: { transA: false, transB: true, alpha: 2 } },
    { inputs: f32([2, 4, 3], [2, 5, 4]), attrs: { transA: true, transB: true, alpha: 1 } },
    { inputs: f32([3, 4], [2, 4, 5]), attrs: { transA: false, transB: false, alpha: 1 } },
  ],
}
/** alpha · A·B over the last two axes, leading axes broadcast. */
export const matmul = (a: Value, b: Value, flags: Partial<MatmulFlags> = {}): Value =>
  apply(matmulOp, [a, b], { transA: false, transB: false, alpha: 1, ...flags })

const gemmOp: Op<MatmulFlags> = {
  name: 'gemm',
  infer: ([a, b, c], flags) => {
    expect(a.shape.length === 2 && b.shape.length === 2, () => 'gemm takes matrices; use matmul for batches')
    const shape = inferMatmul(a, b, flags)
    if (c !== undefined) {
      const fits = sameShape(broadcastShape(shape, c.shape), shape)
      expect(fits, () => `the addend ${showShape(c.shape)} does not fit the product ${showShape(shape)}`)
      expectDType([c], a.dtype)
    }
    return [{ shape, dtype: a.dtype }]
  },
  emit: (e, [a, b, c], { attrs: { transA, transB, alpha } }) => {
    const options = { attrs: { transA: { i: +transA }, transB: { i: +transB }, alpha: { f: alpha } } }
    if (c === undefined) return [e.product('Gemm', [a, b], options)]
    // A halved product leaves the addend, which may be a residual stream, in float32.
    if (e.compute === 'float16') return e.node('Add', [e.product('Gemm', [a, b], options), c])
    return e.node('Gemm', [a, b, c], options)
  },
  vjp: ([d], { inputs: [a, b, c], attrs: { transA, transB, alpha } }) => {
    const da = transA
      ? gemm(b, d!, undefined, { transA: transB, transB: true, alpha })
      : gemm(d!, b, undefined, { transB: !transB, alpha })
    const db = transB
      ? gemm(d!, a, undefined, { transA: true, transB: transA, alpha })
      : gemm(a, d!, undefined, { transA: !transA, alpha })
    return c === undefined ? [da, db] : [da, db, sumTo(d!, c.shape)]
  },
  flops: ({ inputs: [a], outputs: [y], attrs }) => 2 * sizeOf(y.shape) * matrixAxes(a.shape, attrs.transA)[1],
  samples: [
    { inputs: f32([2, 3], [3, 4]), attrs: { transA: false, transB: false, alpha: 1 } },
    { inputs: f32([3, 2], [4, 3], [4]), attrs: { transA: true, transB: true, alpha: 0.5 } },
    { inputs: f32([2, 3], [4, 3], [2, 4]), attrs: { transA: false, transB: true, alpha: 1 } },
  ],
}
/** alpha · A·B + C for matrices; C may be a row [N] or a whole matrix, which costs no pass of its own. */
export const gemm = (a: Value, b: Value, c?: Value, flags: Partial<MatmulFlags> = {}): Value =>
  apply(gemmOp, c === undefined ? [a, b] : [a, b, c], { transA: false, transB: false, alpha: 1, ...flags })

/**
 * x·W + addend over the last axis of x [..., K] with W [K, N]; the addend is a bias [N] or a tensor of the result's
 * shape (a residual).
 */
export const linear = (x: Value, weight: Value, addend?: Value): Value => {
  const K = x.shape.at(-1)!
  const N = weight.shape.at(-1)!
  const rows = sizeOf(x.shape) / K
  const c = addend === undefined || addend.shape.length === 1 ? addend : reshape(addend, [rows, N])
  return reshape(gemm(reshape(x, [rows, K]), weight, c), [...x.shape.slice(0, -1), N])
}

/** The op objects of this file. */
export const matmulOps: readonly Op<unknown>[] = [matmulOp, gemmOp]
