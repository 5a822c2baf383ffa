/**
 * @file The graph: immutable, statically shaped values, the nodes that make them and the ops that nodes are made of.
 * One op is one object; a node holds its op, so there is neither a registry nor an enum.
 */
import { type DType, type HostTensor, type Shape, showShape } from '../host/tensor.ts'

/** Shape and element type of a value. */
export interface ValueType {
  readonly shape: Shape
  readonly dtype: DType
}

/** One tensor of the graph. Values are compared by identity. */
export interface Value extends ValueType {
  /** Creation order; inputs of a node always have smaller ids than its outputs. */
  readonly id: number
  /** The node that makes it; null for a program input. */
  readonly node: Node | null
  /** Which of the node's outputs it is. */
  readonly index: number
  /** Name of a program input; the empty string for everything else. */
  readonly name: string
}

/** One application of an op. */
export interface Node<A = unknown> {
  readonly id: number
  readonly op: Op<A>
  readonly inputs: readonly Value[]
  readonly attrs: A
  readonly outputs: readonly Value[]
  /** Where in the model it was traced, for example `decoder/middle/3`. */
  readonly scope: string
  /** The recomputed part of the graph that it belongs to; null for nodes whose outputs are kept. */
  readonly segment: Segment | null
}

/** A part of the graph that the backward pass computes again from these inputs instead of keeping its intermediates. */
export interface Segment {
  readonly inputs: readonly Value[]
}

/** An ONNX attribute: integer(s), float(s) or a string. */
export type OnnxAttribute =
  | { readonly i: number }
  | { readonly f: number }
  | { readonly s: string }
  | { readonly is: readonly number[] }

/**
 * For whom ONNX is emitted: `cpu` may use forms that ONNX Runtime's other providers lack or get wrong, `any` suits them
 * all, `standard` has no operator beside those of ONNX's own specification.
 */
export type EmissionTarget = 'cpu' | 'any' | 'standard'

/** The element type of matrix products and convolutions: `float16` halves their operands, sums and results. */
export type Compute = 'float32' | 'float16'

/** Receives the ONNX nodes that an op stands for. Names are opaque strings; '' is an omitted optional input. */
export interface Emitter {
  readonly target: EmissionTarget
  /** The element type in which products are computed; everything else is float32. */
  readonly compute: Compute
  /** Appends a node and returns the names of its outputs (one unless `outputs` says more). */
  node(
    opType: string,
    inputs: readonly string[],
    options?: {
      readonly attrs?: Readonly<Record<string, OnnxAttribute>>
      readonly outputs?: number
      readonly domain?: string
    },
  ): string[]
  /** Appends a product of two tensors: as `node`, but computed in `compute`, float32 in and out. */
  product(
    opType: string,
    operands: readonly [string, string],
    options?: Parameters<Emitter['node']>[2],
  ): string
  /**
   * Adds an initializer and returns its name; equal small tensors share one.
   * @param name what to call it where that is known, such as a parameter's path
   */
  constant(tensor: HostTensor, name?: string): string
}

/** Input shapes, attributes and value range of one test case of an op. */
export interface Sample<A> {
  readonly inputs: readonly ValueType[]
  readonly attrs: A
  /** Draw inputs from this interval instead of [−1, 1] (positive for log and sqrt). */
  readonly range?: readonly [number, number]
}

/** An operation: its type rule, its ONNX form, its gradient and its test cases. */
export interface Op<A> {
  readonly name: string
  /** Types of the outputs. @throws an Error in words when the inputs do not fit. */
  infer(inputs: readonly Value[], attrs: A): readonly ValueType[]
  /** Emits ONNX and returns one name per output. */
  emit(emitter: Emitter, inputs: readonly string[], node: Node<A>): readonly string[]
  /**
   * Cotangents of the inputs, as graph. `cotangents[i]` is null where output i did not reach the loss; null in the
   * answer means that no gradient flows to that input.
   */
  vjp?(cotangents: readonly (Value | null)[], node: Node<A>): readonly (Value | null)[]
  /** Multiply–adds × 2 of matrix products and convolutions; 0 when absent (method.md section 6). */
  flops?(node: Node<A>): number
  /** Bytes of the tensors that live inside the emission at once; 0 when absent. */
  scratch?(node: Node<A>): number
  /**
   * Whether the output is arithmetic on the operands' elements at the same place, in kernels that have read an element
   * when they write it. Not for functions that the library fuses to kernels of several passes (Erf to Gelu, Sigmoid to
   * QuickGelu), nor for those that it computes operand by operand (Max).
   */
  readonly elementwise?: true
  /**
   * For ops that move elements and compute nothing: whether the outputs share the input's memory, in its order, or a
   * library might let their readers read the input instead, by a view or a fusion.
   */
  readonly alias?: 'always' | 'maybe'
  readonly samples: readonly Sample<A>[]
}

let nextId = 0
let currentScope = ''
let currentSegment: Segment | null = null

/** Runs `body` with `name` appended to the path under which nodes are traced. */
export const scope = <T>(name: string | number, body: () => T): T => {
  const outer = currentScope
  currentScope = outer === '' ? String(name) : `${outer}/${name}`
  try {
    return body()
  } finally {
    currentScope = outer
  }
}

/**
 * Traces `body` as a segment: reverse mode computes it again from `inputs` when its gradient is wanted, so that only
 * `inputs` live on meanwhile (gradient checkpointing; Chen et al. 2016, "Training deep nets with sublinear memory
 * cost"). Segments do not nest: an inner one becomes part of the outer.
 * @param inputs the activations that `body` starts from; parameters need not be named
 */
export const segment = <T>(inputs: readonly Value[], body: () => T): T => {
  if (currentSegment !== null) return body()
  currentSegment = { inputs }
  try {
    return body()
  } finally {
    currentSegment = null
  }
}

/** A program input. */
export const input = (name: string, shape: Shape, dtype: DType = 'float32'): Value => ({
  id: nextId++,
  name,
  shape,
  dtype,
  node: null,
  index: 0,
})

/**
 * Applies an op and returns all its outputs.
 * @throws one sentence with the op, the model path and the shapes when the inputs do not fit.
 */
export const applyAll = <A>(op: Op<A>, inputs: readonly Value[], attrs: A): readonly Value[] => {
  let types: readonly ValueType[]
  try {
    types = op.infer(inputs, attrs)
  } catch (cause) {
    const shapes = inputs.map((v) => `${v.dtype}${showShape(v.shape)}`).join(', ')
    const place = currentScope === '' ? '' : ` at ${currentScope}`
    throw new Error(`${op.name}${place}: ${(cause as Error).message} (inputs ${shapes})`, { cause })
  }
  const outputs: Value[] = []
  const node: Node<A> = {
    id: nextId++,
    op,
    inputs,
    attrs,
    outputs,
    scope: currentScope,
    segment: currentSegment,
  }
  for (const [index, { shape, dtype }] of types.entries()) {
    outputs.push({ id: nextId++, name: '', shape, dtype, node, index })
  }
  return outputs
}

/** Applies an op with one output. */
export const apply = <A>(op: Op<A>, inputs: readonly Value[], attrs: A): Value =>
  applyAll(op, inputs, attrs)[0]

/** The nodes that the values depend on, inputs before users. */
export const nodesOf = (values: Iterable<Value>): Node[] => {
  const seen = new Set<Node>()
  const stack = [...values].flatMap((v) => v.node ?? [])
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    if (seen.has(node)) continue
    seen.add(node)
    for (const v of node.inputs) if (v.node !== null && !seen.has(v.node)) stack.push(v.node)
  }
  return [...seen].sort((a, b) => a.id - b.id)
}

/** Throws unless the condition holds; used by type rules. */
export function expect(condition: boolean, message: () => string): asserts condition {
  if (!condition) throw new Error(message())
}

/** Throws unless all values have this dtype. */
export const expectDType = (values: readonly Value[], dtype: DType): void => {
  for (const v of values)
    expect(v.dtype === dtype, () => `expected ${dtype}, found ${v.dtype}; cast it first`)
}

/** Throws unless all values share one dtype, which is returned. */
export const commonDType = (values: readonly Value[]): DType => {
  const dtype = values[0].dtype
  for (const v of values)
    expect(v.dtype === dtype, () => `dtypes ${dtype} and ${v.dtype} differ; cast one of them`)
  return dtype
}
