/**
 * @file An independent evaluator of graphs in float64: every op from its mathematical definition, by multi-index and
 * without regard for speed, so that it shares no trick (and no mistake) with the ONNX emissions it judges.
 */
import type { DType, HostTensor, Shape } from '../../src/engine/host/tensor.ts'
import { nodesOf, type Value } from '../../src/engine/ir/graph.ts'

/** A row-major tensor of doubles; bool is 0 or 1. */
export interface RefTensor {
  readonly shape: Shape
  readonly data: Float64Array
}

/** `dtype` is that of the op's first output: integer arithmetic wraps. */
type Rule = (inputs: readonly RefTensor[], attrs: unknown, dtype: DType) => RefTensor | RefTensor[]

const count = (shape: Shape): number => shape.reduce((n, d) => n * d, 1)

/** A tensor from a function of the multi-index. The index array is reused between calls. */
const build = (shape: Shape, f: (index: readonly number[]) => number): RefTensor => {
  const data = new Float64Array(count(shape))
  const index = shape.map(() => 0)
  for (let i = 0; i < data.length; i++) {
    data[i] = f(index)
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      index[axis]++
      if (index[axis] < shape[axis]) break
      index[axis] = 0
    }
  }
  return { shape, data }
}

/** The element at a multi-index; zero outside, which is what padding means. */
const at = (t: RefTensor, ...index: number[]): number => {
  let offset = 0
  for (let axis = 0; axis < t.shape.length; axis++) {
    const i = index[axis]
    const d = t.shape[axis]
    if (i < 0 || i >= d) return 0
    offset = offset * d + i
  }
  return t.data[offset]
}

/** The element that NumPy broadcasting puts at an index of the result: axes align at the right, size 1 repeats. */
const broadcastAt = (t: RefTensor, index: readonly number[]): number => {
  const lead = index.length - t.shape.length
  let offset = 0
  for (let axis = 0; axis < t.shape.length; axis++) {
    const d = t.shape[axis]
    offset = offset * d + (d === 1 ? 0 : index[axis + lead])
  }
  return t.data[offset]
}

const broadcast = (...shapes: readonly Shape[]): Shape => {
  const rank = Math.max(...shapes.map((s) => s.length))
  return Array.from({ length: rank }, (_, axis) => {
    const sizes = shapes.map((s) => s[axis - rank + s.length] ?? 1)
    return sizes.find((d) => d !== 1) ?? 1
  })
}

const sumOver = (n: number, f: (i: number) => number): number => {
  let sum = 0
  for (let i = 0; i < n; i++) sum += f(i)
  return sum
}

const elementwise =
  (f: (x: number) => number): Rule =>
  ([x]) => ({ shape: x.shape, data: x.data.map(f) })

const pairwise =
  (f: (a: number, b: number, dtype: DType) => number): Rule =>
  ([a, b], _, dtype) =>
    build(broadcast(a.shape, b.shape), (i) => f(broadcastAt(a, i), broadcastAt(b, i), dtype))

const wrapped = (x: number, dtype: DType): number => (dtype === 'int32' ? x | 0 : x)

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x))

/** erf x = 2/√π · e^(−x²) · Σ 2ⁿ x^(2n+1)/(2n+1)!!, a series without cancellation. */
const erf = (x: number): number => {
  let term = x
  let sum = x
  for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1)
    sum += term
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum
}

interface Reduction {
  readonly axes: readonly number[]
  readonly keepDims: boolean
}

/** Folds each set of elements that differ only along the reduced axes. */
const reduction =
  (fold: (all: number[]) => number): Rule =>
  ([x], attrs) => {
    const { axes, keepDims } = attrs as Reduction
    const kept = x.shape.map((d, axis) => (axes.includes(axis) ? 1 : d))
    const full = build(kept, (i) => {
      const reduced = x.shape.map((d, axis) => (axes.includes(axis) ? d : 1))
      const elements: number[] = []
      build(reduced, (j) => elements.push(at(x, ...i.map((k, axis) => k + j[axis]))))
      return fold(elements)
    })
    return keepDims ? full : { ...full, shape: x.shape.filter((_, axis) => !axes.includes(axis)) }
  }

/** Applies a function to every row of the last axis; its results may have another length. */
const byRow = (x: RefTensor, f: (row: number[]) => number[]): RefTensor => {
  const n = x.shape.at(-1)!
  const rows = Array.from({ length: x.data.length / n }, (_, r) => f([...x.data.slice(r * n, r * n + n)]))
  return { shape: [...x.shape.slice(0, -1), rows[0].length], data: Float64Array.from(rows.flat()) }
}

const mean = (xs: readonly number[]): number => xs.reduce((a, b) => a + b, 0) / xs.length
const variance = (xs: readonly number[]): number => {
  const m = mean(xs)
  return mean(xs.map((x) => (x - m) ** 2))
}

interface MatmulFlags {
  readonly transA: boolean
  readonly transB: boolean
  readonly alpha: number
}

/** alpha · op(A)·op(B), plus C where there is one. */
const product: Rule = ([a, b, c], attrs) => {
  const { transA, transB, alpha } = attrs as MatmulFlags
  const [m, k] = transA ? [a.shape.at(-1)!, a.shape.at(-2)!] : [a.shape.at(-2)!, a.shape.at(-1)!]
  const n = b.shape.at(transB ? -2 : -1)!
  const batch = broadcast(a.shape.slice(0, -2), b.shape.slice(0, -2))
  return build([...batch, m, n], (index) => {
    const lead = index.slice(0, -2)
    const [i, j] = index.slice(-2) as [number, number]
    const sum = sumOver(k, (l) => {
      const left = broadcastAt(a, transA ? [...lead, l, i] : [...lead, i, l])
      return left * broadcastAt(b, transB ? [...lead, j, l] : [...lead, l, j])
    })
    return alpha * sum + (c === undefined ? 0 : broadcastAt(c, index))
  })
}

type Four = readonly [number, number, number, number]

/** Half of an odd kernel: how far "same" padding reaches. */
const reach = (k: number): number => (k - 1) / 2

const conv2d: Rule = ([x, w]) => {
  const [B, C, H, W] = x.shape as Four
  const [O, , kh, kw] = w.shape as Four
  return build([B, O, H, W], ([b, o, i, j]) =>
    sumOver(C, (c) =>
      sumOver(kh, (p) =>
        sumOver(kw, (q) => at(x, b, c, i + p - reach(kh), j + q - reach(kw)) * at(w, o, c, p, q)),
      ),
    ),
  )
}

/** The sum over all output positions of d · ∂y/∂w. */
const convKernelGrad: Rule = ([x, d], kernel) => {
  const [B, O, H, W] = d.shape as Four
  const [kh, kw] = kernel as readonly [number, number]
  return build([O, x.shape[1], kh, kw], ([o, c, p, q]) =>
    sumOver(B, (b) =>
      sumOver(H, (i) =>
        sumOver(W, (j) => at(d, b, o, i, j) * at(x, b, c, i + p - reach(kh), j + q - reach(kw))),
      ),
    ),
  )
}

const adjointKernel: Rule = ([w]) => {
  const [O, C, kh, kw] = w.shape as Four
  return build([C, O, kh, kw], ([c, o, p, q]) => at(w, o, c, kh - 1 - p, kw - 1 - q))
}

/** Output channel (dy, dx, c) holds the pixel (dy, dx) of each block. */
const spaceToDepth: Rule = ([x], attrs) => {
  const s = attrs as number
  const [B, C, H, W] = x.shape as Four
  return build([B, C * s * s, H / s, W / s], ([b, k, i, j]) => {
    const [dy, dx] = [Math.floor(k / C / s), Math.floor(k / C) % s]
    return at(x, b, k % C, i * s + dy, j * s + dx)
  })
}

const depthToSpace: Rule = ([x], attrs) => {
  const s = attrs as number
  const [B, K, H, W] = x.shape as Four
  const C = K / (s * s)
  return build([B, C, H * s, W * s], ([b, c, i, j]) => {
    const [dy, dx] = [i % s, j % s]
    return at(x, b, (dy * s + dx) * C + c, (i - dy) / s, (j - dx) / s)
  })
}

const gather: Rule = ([table, indices]) =>
  build([indices.shape[0], ...table.shape.slice(1)], ([row, ...rest]) =>
    at(table, indices.data[row], ...rest),
  )

const scatterAdd: Rule = ([rows, indices], n) =>
  build([n as number, ...rows.shape.slice(1)], ([target, ...rest]) =>
    sumOver(rows.shape[0], (r) => (indices.data[r] === target ? at(rows, r, ...rest) : 0)),
  )

const slice: Rule = ([x], attrs) => {
  const { starts, ends } = attrs as { starts: readonly number[]; ends: readonly number[] }
  return build(
    starts.map((s, axis) => ends[axis] - s),
    (i) => at(x, ...i.map((k, axis) => k + starts[axis])),
  )
}

const pad: Rule = ([x], attrs) => {
  const { before, after } = attrs as { before: readonly number[]; after: readonly number[] }
  return build(
    x.shape.map((d, axis) => before[axis] + d + after[axis]),
    (i) => at(x, ...i.map((k, axis) => k - before[axis])),
  )
}

const concat: Rule = (inputs, attrs) => {
  const { axis } = attrs as { axis: number }
  const total = inputs.reduce((n, t) => n + t.shape[axis], 0)
  return build(inputs[0].shape.with(axis, total), (index) => {
    let k = index[axis]
    let part = 0
    while (k >= inputs[part].shape[axis]) k -= inputs[part++].shape[axis]
    return at(inputs[part], ...index.with(axis, k))
  })
}

const split: Rule = ([x], attrs) => {
  const { axis, sizes } = attrs as { axis: number; sizes: readonly number[] }
  return sizes.map((size, part) => {
    const start = sizes.slice(0, part).reduce((a, b) => a + b, 0)
    return build(x.shape.with(axis, size), (i) => at(x, ...i.with(axis, i[axis] + start)))
  })
}

const transpose: Rule = ([x], attrs) => {
  const perm = attrs as readonly number[]
  return build(
    perm.map((axis) => x.shape[axis]),
    (i) => at(x, ...x.shape.map((_, axis) => i[perm.indexOf(axis)])),
  )
}

/** Values that the target type can hold; float16 is not rounded, which would hide gradients from differences. */
const convert = (dtype: DType): ((x: number) => number) => {
  if (dtype === 'bool') return (x) => (x === 0 ? 0 : 1)
  return dtype.startsWith('float') ? (x) => x : Math.trunc
}

/** A graph constant as doubles. */
export const fromHost = ({ dtype, shape, data }: HostTensor): RefTensor => {
  if (dtype === 'float16') throw new Error('reference: float16 constants are not supported')
  return { shape, data: Float64Array.from(data as ArrayLike<number | bigint>, Number) }
}

/** What each op computes, by name. */
export const rules: Readonly<Record<string, Rule>> = {
  constant: (_, tensor) => fromHost(tensor as HostTensor),
  add: pairwise((a, b, dtype) => wrapped(a + b, dtype)),
  sub: pairwise((a, b, dtype) => wrapped(a - b, dtype)),
  mul: pairwise((a, b, dtype) => (dtype === 'int32' ? Math.imul(a, b) : a * b)),
  div: pairwise((a, b) => a / b),
  maximum: pairwise((a, b) => Math.max(a, b)),
  minimum: pairwise((a, b) => Math.min(a, b)),
  neg: elementwise((x) => -x),
  abs: elementwise(Math.abs),
  exp: elementwise(Math.exp),
  log: elementwise(Math.log),
  sqrt: elementwise(Math.sqrt),
  sin: elementwise(Math.sin),
  cos: elementwise(Math.cos),
  tanh: elementwise(Math.tanh),
  sigmoid: elementwise(sigmoid),
  softplus: elementwise((x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)))),
  square: elementwise((x) => x * x),
  erf: elementwise(erf),
  clip: ([x], attrs) => {
    const { low, high } = attrs as { low: number; high: number }
    return [{ shape: x.shape, data: x.data.map((v) => Math.min(Math.max(v, low), high)) }]
  },
  silu: ([x]) => [
    { shape: x.shape, data: x.data.map((v) => v * sigmoid(v)) },
    { shape: x.shape, data: x.data.map(sigmoid) },
  ],
  greater: pairwise((a, b) => (a > b ? 1 : 0)),
  less: pairwise((a, b) => (a < b ? 1 : 0)),
  equal: pairwise((a, b) => (a === b ? 1 : 0)),
  where: ([c, a, b]) =>
    build(broadcast(c.shape, a.shape, b.shape), (i) =>
      broadcastAt(c, i) === 0 ? broadcastAt(b, i) : broadcastAt(a, i),
    ),
  cast: ([x], attrs) => ({ shape: x.shape, data: x.data.map(convert(attrs as DType)) }),
  stopGradient: ([x]) => x,
  after: ([x]) => x,
  reduceSum: reduction((all) => all.reduce((a, b) => a + b, 0)),
  reduceSumSquare: reduction((all) => all.reduce((a, b) => a + b * b, 0)),
  reduceMax: reduction((all) => Math.max(...all)),
  reshape: ([x], shape) => ({ shape: shape as Shape, data: x.data }),
  transpose,
  expand: ([x], shape) => build(shape as Shape, (i) => broadcastAt(x, i)),
  matmul: product,
  gemm: product,
  slice,
  pad,
  concat,
  split,
  conv2d,
  adjointKernel,
  convKernelGrad,
  spaceToDepth,
  depthToSpace,
  gather,
  scatterAdd,
  layerNorm: ([x], eps) => [
    byRow(x, (row) => row.map((v) => (v - mean(row)) / Math.sqrt(variance(row) + (eps as number)))),
    byRow(x, (row) => [1 / Math.sqrt(variance(row) + (eps as number))]),
  ],
  rmsNorm: ([x], eps) => {
    const inverse = (row: number[]): number => 1 / Math.sqrt(mean(row.map((v) => v * v)) + (eps as number))
    return [byRow(x, (row) => row.map((v) => v * inverse(row))), byRow(x, (row) => [inverse(row)])]
  },
  softmax: ([x]) =>
    byRow(x, (row) => {
      const weights = row.map((v) => Math.exp(v - Math.max(...row)))
      return weights.map((v) => v / (mean(weights) * row.length))
    }),
}

/** Evaluates values from the given inputs. @throws when an input is missing or an op is unknown. */
export const evaluate = (values: readonly Value[], feeds: ReadonlyMap<Value, RefTensor>): RefTensor[] => {
  const known = new Map(feeds)
  const find = (v: Value): RefTensor => {
    const t = known.get(v)
    if (t === undefined) throw new Error(`reference: no value for input '${v.name}'`)
    return t
  }
  for (const node of nodesOf(values)) {
    const rule = rules[node.op.name]
    if (rule === undefined) throw new Error(`reference: op ${node.op.name} is not defined`)
    const result = rule(node.inputs.map(find), node.attrs, node.outputs[0].dtype)
    const outputs = Array.isArray(result) ? result : [result]
    for (const [i, v] of node.outputs.entries()) known.set(v, outputs[i])
  }
  return values.map(find)
}
