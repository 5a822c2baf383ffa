/**
 * @file The ops whose gradients need each other: arithmetic with broadcasting, element-wise functions, comparisons,
 * selection, casts, reductions and shape changes. d denotes the cotangent of what follows it.
 */
import {
  type DType,
  float32,
  type HostTensor,
  onnxElementType,
  type Shape,
  sameShape,
  showShape,
  sizeOf,
} from '../host/tensor.ts'
import { apply, commonDType, type Emitter, expect, expectDType, type Op, type Value } from '../ir/graph.ts'
import { broadcastShape, f32, int64s, onnx } from './emit.ts'

/** A value, or a number that becomes a float32 constant. */
export type Operand = Value | number

const constantOp: Op<HostTensor & { readonly name?: string }> = {
  name: 'constant',
  infer: (_, { shape, dtype }) => [{ shape, dtype }],
  emit: (e, _, { attrs }) => [e.constant(attrs, attrs.name)],
  samples: [{ inputs: [], attrs: float32([2], [1, -2]) }],
}
/** A tensor known at trace time. @param name what to call it in a model, such as a parameter's path */
export const constant = (tensor: HostTensor, name?: string): Value =>
  apply(constantOp, [], name === undefined ? tensor : { ...tensor, name })

const lift = (x: Operand): Value => (typeof x === 'number' ? constant(float32([], [x])) : x)

// ---- arithmetic with broadcasting -------------------------------------------------------------------------------

type BinaryVjp = (d: Value, a: Value, b: Value, y: Value) => readonly [Value, Value]

const binarySamples = [
  { inputs: f32([2, 3], [2, 3]), attrs: null },
  { inputs: f32([2, 1, 3], [4, 1]), attrs: null },
  { inputs: f32([], [3]), attrs: null },
]

const binary = (
  name: string,
  opType: string,
  vjp: BinaryVjp,
  range?: readonly [number, number],
): Op<null> => ({
  name,
  infer: (inputs) => {
    const [a, b] = inputs
    return [{ shape: broadcastShape(a.shape, b.shape), dtype: commonDType(inputs) }]
  },
  emit: onnx(opType),
  vjp: ([d], { inputs: [a, b], outputs: [y] }) => {
    const [da, db] = vjp(d!, a, b, y)
    return [sumTo(da, a.shape), sumTo(db, b.shape)]
  },
  samples: binarySamples.map((s) => ({ ...s, range })),
})

/** See `Op.elementwise`. */
const arithmetic = <A>(op: Op<A>): Op<A> => ({ ...op, elementwise: true })

const addOp = arithmetic(binary('add', 'Add', (d) => [d, d]))
const subOp = arithmetic(binary('sub', 'Sub', (d) => [d, neg(d)]))
const mulOp = arithmetic(binary('mul', 'Mul', (d, a, b) => [mul(d, b), mul(d, a)]))
const divOp = arithmetic(binary('div', 'Div', (d, _, b, y) => [div(d, b), neg(div(mul(d, y), b))], [0.5, 2]))
const maximumOp = binary('maximum', 'Max', (d, a, b) => [
  where(greater(a, b), d, 0),
  where(greater(a, b), 0, d),
])
const minimumOp = binary('minimum', 'Min', (d, a, b) => [
  where(greater(a, b), 0, d),
  where(greater(a, b), d, 0),
])

/** a + b */
export const add = (a: Operand, b: Operand): Value => apply(addOp, [lift(a), lift(b)], null)
/** a − b */
export const sub = (a: Operand, b: Operand): Value => apply(subOp, [lift(a), lift(b)], null)
/** a · b, element by element */
export const mul = (a: Operand, b: Operand): Value => apply(mulOp, [lift(a), lift(b)], null)
/** a / b */
export const div = (a: Operand, b: Operand): Value => apply(divOp, [lift(a), lift(b)], null)
/** max(a, b); on ties the gradient goes to b */
export const maximum = (a: Operand, b: Operand): Value => apply(maximumOp, [lift(a), lift(b)], null)
/** min(a, b); on ties the gradient goes to a */
export const minimum = (a: Operand, b: Operand): Value => apply(minimumOp, [lift(a), lift(b)], null)

// ---- element-wise functions -------------------------------------------------------------------------------------

type UnaryVjp = (d: Value, x: Value, y: Value) => Value

const unary = (
  name: string,
  emit: (e: Emitter, inputs: readonly string[]) => readonly string[],
  vjp: UnaryVjp,
  range?: readonly [number, number],
): Op<null> => ({
  name,
  infer: ([x]) => {
    expectDType([x], 'float32')
    return [x]
  },
  emit,
  vjp: ([d], { inputs: [x], outputs: [y] }) => [vjp(d!, x, y)],
  samples: [{ inputs: f32([2, 3]), attrs: null, range }],
})

const negOp = arithmetic(unary('neg', onnx('Neg'), (d) => neg(d)))
const absOp = arithmetic(unary('abs', onnx('Abs'), (d, x) => where(greater(x, 0), d, neg(d)), [0.1, 1]))
const expOp = unary('exp', onnx('Exp'), (d, _, y) => mul(d, y))
const logOp = unary('log', onnx('Log'), (d, x) => div(d, x), [0.3, 2])
const sqrtOp = arithmetic(unary('sqrt', onnx('Sqrt'), (d, _, y) => div(mul(d, 0.5), y), [0.3, 2]))
const sinOp = unary('sin', onnx('Sin'), (d, x) => mul(d, cos(x)))
const cosOp = unary('cos', onnx('Cos'), (d, x) => neg(mul(d, sin(x))))
const tanhOp = unary('tanh', onnx('Tanh'), (d, _, y) => mul(d, sub(1, mul(y, y))))
const sigmoidOp = unary('sigmoid', onnx('Sigmoid'), (d, _, y) => mul(d, mul(y, sub(1, y))))
const softplusOp = unary('softplus', onnx('Softplus'), (d, x) => mul(d, sigmoid(x)), [-30, 30])
const squareOp = arithmetic(
  unary(
    'square',
    (e, [x]) => e.node('Mul', [x, x]),
    (d, x) => mul(mul(d, 2), x),
  ),
)
const erfOp = unary('erf', onnx('Erf'), (d, x) => mul(d, mul(2 / Math.sqrt(Math.PI), exp(neg(mul(x, x))))))

/** −x */
export const neg = (x: Value): Value => apply(negOp, [x], null)
/** |x| */
export const abs = (x: Value): Value => apply(absOp, [x], null)
/** eˣ */
export const exp = (x: Value): Value => apply(expOp, [x], null)
/** ln x */
export const log = (x: Value): Value => apply(logOp, [x], null)
/** √x */
export const sqrt = (x: Value): Value => apply(sqrtOp, [x], null)
/** sin x */
export const sin = (x: Value): Value => apply(sinOp, [x], null)
/** cos x */
export const cos = (x: Value): Value => apply(cosOp, [x], null)
/** tanh x */
export const tanh = (x: Value): Value => apply(tanhOp, [x], null)
/** 1/(1+e⁻ˣ) */
export const sigmoid = (x: Value): Value => apply(sigmoidOp, [x], null)
/** ln(1+eˣ), finite for any finite x */
export const softplus = (x: Value): Value => apply(softplusOp, [x], null)
/** The error function */
export const erf = (x: Value): Value => apply(erfOp, [x], null)
/** x² */
export const square = (x: Value): Value => apply(squareOp, [x], null)

/** Bounds of `clip`. */
interface Interval {
  readonly low: number
  readonly high: number
}

/** Its gradient passes where x is left as it is, at the bounds themselves too. */
const clipOp: Op<Interval> = arithmetic({
  name: 'clip',
  infer: ([x], { low, high }) => {
    expectDType([x], 'float32')
    expect(low <= high, () => `the bounds must be in order, found ${low} and ${high}; swap them`)
    return [x]
  },
  emit: (e, [x], { attrs: { low, high } }) =>
    e.node('Clip', [x, e.constant(float32([], [low])), e.constant(float32([], [high]))]),
  vjp: ([d], { inputs: [x], outputs: [y] }) => [where(equal(x, y), d!, 0)],
  samples: [{ inputs: f32([2, 3]), attrs: { low: -0.5, high: 0.25 } }],
})
/** x kept between two numbers. */
export const clip = (x: Value, low: number, high: number): Value => apply(clipOp, [x], { low, high })

/**
 * SiLU, x·sigmoid(x). Composed so that the backward pass reuses the sigmoid and the product:
 * dx = d·(s + y − y·s), four element-wise passes.
 */
const siluOp: Op<null> = {
  name: 'silu',
  infer: ([x]) => {
    expectDType([x], 'float32')
    return [x, x]
  },
  emit: (e, [x]) => {
    const [s] = e.node('Sigmoid', [x])
    return [e.node('Mul', [x, s])[0], s]
  },
  vjp: ([dy, ds], { outputs: [y, s] }) => {
    expect(ds === null, () => 'the saved sigmoid is internal to the gradient; use sigmoid() instead')
    return [mul(dy!, sub(add(s, y), mul(y, s)))]
  },
  samples: [{ inputs: f32([2, 3]), attrs: null, range: [-4, 4] }],
}
export const silu = (x: Value): Value => apply(siluOp, [x], null)

/** GELU, x·Φ(x) with the exact normal distribution function. */
export const gelu = (x: Value): Value => mul(mul(x, 0.5), add(erf(mul(x, Math.SQRT1_2)), 1))

// ---- comparisons, selection, casts ------------------------------------------------------------------------------

const compare = (name: string, opType: string): Op<null> => ({
  name,
  infer: (inputs) => {
    commonDType(inputs)
    return [{ shape: broadcastShape(inputs[0].shape, inputs[1].shape), dtype: 'bool' }]
  },
  emit: onnx(opType),
  samples: [{ inputs: f32([2, 3], [3]), attrs: null }],
})
const greaterOp = compare('greater', 'Greater')
const lessOp = compare('less', 'Less')
const equalOp = compare('equal', 'Equal')

/** a > b */
export const greater = (a: Operand, b: Operand): Value => apply(greaterOp, [lift(a), lift(b)], null)
/** a < b; false where either is NaN */
export const less = (a: Operand, b: Operand): Value => apply(lessOp, [lift(a), lift(b)], null)
/** a = b */
export const equal = (a: Operand, b: Operand): Value => apply(equalOp, [lift(a), lift(b)], null)
/** Whether x is neither infinite nor NaN. */
export const finite = (x: Value): Value => less(abs(x), Number.POSITIVE_INFINITY)

const whereOp: Op<null> = {
  name: 'where',
  infer: ([c, a, b]) => {
    expect(c.dtype === 'bool', () => `the condition must be bool, found ${c.dtype}; compare first`)
    return [{ shape: broadcastShape(c.shape, broadcastShape(a.shape, b.shape)), dtype: commonDType([a, b]) }]
  },
  emit: onnx('Where'),
  elementwise: true,
  vjp: ([d], { inputs: [c, a, b] }) => [
    null,
    sumTo(where(c, d!, 0), a.shape),
    sumTo(where(c, 0, d!), b.shape),
  ],
  samples: [
    { inputs: [{ shape: [2, 3], dtype: 'bool' }, ...f32([2, 3], [2, 3])], attrs: null },
    { inputs: [{ shape: [3], dtype: 'bool' }, ...f32([2, 1], [])], attrs: null },
  ],
}
/** condition ? a : b, element by element */
export const where = (condition: Value, a: Operand, b: Operand): Value =>
  apply(whereOp, [condition, lift(a), lift(b)], null)

const castOp: Op<DType> = {
  name: 'cast',
  alias: 'maybe',
  infer: ([x], dtype) => [{ shape: x.shape, dtype }],
  emit: (e, inputs, node) => e.node('Cast', inputs, { attrs: { to: { i: onnxElementType[node.attrs] } } }),
  vjp: ([d], { inputs: [x], attrs }) => [
    x.dtype.startsWith('float') && attrs.startsWith('float') ? cast(d!, x.dtype) : null,
  ],
  samples: [
    { inputs: [{ shape: [2, 3], dtype: 'bool' }], attrs: 'float32' },
    { inputs: [{ shape: [4], dtype: 'int32' }], attrs: 'float32' },
    { inputs: [{ shape: [4], dtype: 'int32' }], attrs: 'int64' },
  ],
}
/** Converts the element type; the identity when it already fits. */
export const cast = (x: Value, dtype: DType): Value => (x.dtype === dtype ? x : apply(castOp, [x], dtype))

const stopGradientOp: Op<null> = {
  name: 'stopGradient',
  alias: 'always',
  infer: ([x]) => [x],
  emit: (_, inputs) => inputs,
  vjp: () => [null],
  samples: [{ inputs: f32([2, 3]), attrs: null }],
}
/** The same value, through which no gradient flows. */
export const stopGradient = (x: Value): Value => apply(stopGradientOp, [x], null)

// ---- reductions -------------------------------------------------------------------------------------------------

/** Axes (non-negative, ascending) of a reduction and whether they stay as size 1. */
interface Reduction {
  readonly axes: readonly number[]
  readonly keepDims: boolean
}

const reducedShape = (shape: Shape, { axes, keepDims }: Reduction): Shape =>
  shape.flatMap((d, axis) => (axes.includes(axis) ? (keepDims ? [1] : []) : [d]))

/** The cotangent of a reduction with the reduced axes put back as size 1. */
const restoreAxes = (d: Value, x: Value, attrs: Reduction): Value =>
  reshape(d, reducedShape(x.shape, { ...attrs, keepDims: true }))

const reduce = (
  name: string,
  opType: string,
  vjp: (d: Value, x: Value, y: Value) => Value,
): Op<Reduction> => ({
  name,
  infer: ([x], attrs) => {
    for (const axis of attrs.axes) {
      expect(axis >= 0 && axis < x.shape.length, () => `axis ${axis} is not an axis of ${showShape(x.shape)}`)
    }
    return [{ shape: reducedShape(x.shape, attrs), dtype: x.dtype }]
  },
  emit: (e, [x], { attrs }) =>
    e.node(opType, [x, e.constant(int64s(attrs.axes))], {
      attrs: { keepdims: { i: attrs.keepDims ? 1 : 0 } },
    }),
  vjp: ([d], { inputs: [x], outputs: [y], attrs }) => [
    vjp(restoreAxes(d!, x, attrs), x, restoreAxes(y, x, attrs)),
  ],
  samples: [
    { inputs: f32([2, 3, 4]), attrs: { axes: [1], keepDims: false } },
    { inputs: f32([2, 3, 4]), attrs: { axes: [0, 2], keepDims: true } },
    { inputs: f32([3]), attrs: { axes: [0], keepDims: false } },
  ],
})
const plainReduceSum = reduce('reduceSum', 'ReduceSum', (d, x) => expand(d, x.shape))
/** Column sums of a matrix go through a product with ones: ORT's ReduceSum over the first axis is up to four times slower. */
const reduceSumOp: Op<Reduction> = {
  ...plainReduceSum,
  emit: (e, [x], node) => {
    const [rows, columns] = node.inputs[0].shape as [number, number]
    const { axes, keepDims } = node.attrs
    const columnSums = node.inputs[0].shape.length === 2 && axes.length === 1 && axes[0] === 0 && !keepDims
    if (!columnSums || node.inputs[0].dtype !== 'float32') return plainReduceSum.emit(e, [x], node)
    const ones = e.constant(float32([1, rows], new Float32Array(rows).fill(1)))
    const [sums] = e.node('MatMul', [ones, x])
    return e.node('Reshape', [sums, e.constant(int64s([columns]))])
  },
  samples: [...plainReduceSum.samples, { inputs: f32([5, 3]), attrs: { axes: [0], keepDims: false } }],
}
const reduceSumSquareOp = reduce('reduceSumSquare', 'ReduceSumSquare', (d, x) => mul(d, mul(x, 2)))
const reduceMaxOp = reduce('reduceMax', 'ReduceMax', (d, x, y) => mul(d, cast(equal(x, y), 'float32')))

const allAxes = (x: Value): number[] => x.shape.map((_, axis) => axis)
const reduction = (x: Value, axes: readonly number[], keepDims: boolean): Reduction => ({
  axes: axes.map((a) => (a < 0 ? a + x.shape.length : a)).sort((a, b) => a - b),
  keepDims,
})

/** Sum over axes (all by default); negative axes count from the end. */
export const reduceSum = (x: Value, axes: readonly number[] = allAxes(x), keepDims = false): Value =>
  axes.length === 0 ? x : apply(reduceSumOp, [x], reduction(x, axes, keepDims))
/** Sum of squares over axes, in one pass. */
export const reduceSumSquare = (x: Value, axes: readonly number[] = allAxes(x), keepDims = false): Value =>
  apply(reduceSumSquareOp, [x], reduction(x, axes, keepDims))
/** Maximum over axes; tied maxima each receive the gradient. */
export const reduceMax = (x: Value, axes: readonly number[] = allAxes(x), keepDims = false): Value =>
  apply(reduceMaxOp, [x], reduction(x, axes, keepDims))
/** Mean over axes. */
export const reduceMean = (x: Value, axes: readonly number[] = allAxes(x), keepDims = false): Value => {
  const sum = reduceSum(x, axes, keepDims)
  return mul(sum, sizeOf(sum.shape) / sizeOf(x.shape))
}

/**
 * Sums x over the axes along which `shape` was broadcast to x's shape: the gradient of broadcasting.
 */
export const sumTo = (x: Value, shape: Shape): Value => {
  if (sameShape(x.shape, shape)) return x
  const lead = x.shape.length - shape.length
  const suffix = shape.every((d, i) => d === x.shape[i + lead])
  if (suffix && lead > 1) return reduceSum(reshape(x, [sizeOf(x.shape) / sizeOf(shape), ...shape]), [0])
  const axes = x.shape.flatMap((d, axis) => (axis < lead || shape[axis - lead] !== d ? [axis] : []))
  return reshape(reduceSum(x, axes), shape)
}

// ---- shape ------------------------------------------------------------------------------------------------------

const reshapeOp: Op<Shape> = {
  name: 'reshape',
  alias: 'always',
  infer: ([x], shape) => {
    expect(
      sizeOf(shape) === sizeOf(x.shape),
      () =>
        `${showShape(x.shape)} has ${sizeOf(x.shape)} elements, ${showShape(shape)} needs ${sizeOf(shape)}`,
    )
    return [{ shape, dtype: x.dtype }]
  },
  emit: (e, [x], node) => e.node('Reshape', [x, e.constant(int64s(node.attrs))]),
  vjp: ([d], { inputs: [x] }) => [reshape(d!, x.shape)],
  samples: [
    { inputs: f32([2, 6]), attrs: [3, 4] },
    { inputs: f32([1]), attrs: [] },
  ],
}
/** The same elements in another shape. */
export const reshape = (x: Value, shape: Shape): Value =>
  sameShape(x.shape, shape) ? x : apply(reshapeOp, [x], shape)

const transposeOp: Op<readonly number[]> = {
  name: 'transpose',
  alias: 'maybe',
  infer: ([x], perm) => {
    const sorted = [...perm].sort((a, b) => a - b)
    expect(
      perm.length === x.shape.length && sorted.every((axis, i) => axis === i),
      () => `[${perm}] is not a permutation of the axes of ${showShape(x.shape)}`,
    )
    return [{ shape: perm.map((axis) => x.shape[axis]), dtype: x.dtype }]
  },
  emit: (e, inputs, node) => e.node('Transpose', inputs, { attrs: { perm: { is: node.attrs } } }),
  vjp: ([d], { attrs }) => [
    transpose(
      d!,
      attrs.map((_, axis) => attrs.indexOf(axis)),
    ),
  ],
  samples: [{ inputs: f32([2, 3, 4]), attrs: [2, 0, 1] }],
}
/** Permutes the axes: output axis i is input axis perm[i]. */
export const transpose = (x: Value, perm: readonly number[]): Value => apply(transposeOp, [x], perm)

const expandOp: Op<Shape> = {
  name: 'expand',
  alias: 'maybe',
  infer: ([x], shape) => {
    const result = broadcastShape(x.shape, shape)
    expect(sameShape(result, shape), () => `${showShape(x.shape)} does not expand to ${showShape(shape)}`)
    return [{ shape, dtype: x.dtype }]
  },
  emit: (e, [x], node) => e.node('Expand', [x, e.constant(int64s(node.attrs))]),
  vjp: ([d], { inputs: [x] }) => [sumTo(d!, x.shape)],
  samples: [{ inputs: f32([2, 1, 3]), attrs: [4, 2, 5, 3] }],
}
/** Repeats along axes of size 1 and new leading axes. */
export const expand = (x: Value, shape: Shape): Value =>
  sameShape(x.shape, shape) ? x : apply(expandOp, [x], shape)

/** The op objects of this file. */
export const coreOps: readonly Op<unknown>[] = [
  constantOp,
  addOp,
  subOp,
  mulOp,
  divOp,
  maximumOp,
  minimumOp,
  negOp,
  absOp,
  expOp,
  logOp,
  sqrtOp,
  sinOp,
  cosOp,
  tanhOp,
  sigmoidOp,
  softplusOp,
  squareOp,
  erfOp,
  clipOp,
  siluOp,
  greaterOp,
  lessOp,
  equalOp,
  whereOp,
  castOp,
  stopGradientOp,
  reduceSumOp,
  reduceSumSquareOp,
  reduceMaxOp,
  reshapeOp,
  transposeOp,
  expandOp,
]
