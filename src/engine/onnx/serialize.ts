/** @file A program as the bytes of an ONNX model. */
import { create } from '@bufbuild/protobuf'
import { type GraphProto, GraphProtoSchema } from 'onnx-buf'
import { type HostTensor, onnxElementType, showShape } from '../host/tensor.ts'
import type { Compute, EmissionTarget, Emitter, Node, Value } from '../ir/graph.ts'
import type { Program } from '../ir/program.ts'
import { Names } from './names.ts'
import { initializer, modelBytes, nodeProto, rawBytes, valueInfo } from './proto.ts'
import { halveWeights, moveOutside, type Outside, type WeightsFile } from './weights.ts'

/** Larger initializers are not worth comparing for equality. */
const shareBelowBytes = 4096

/** The serialised model, and how its names lead back to the program. */
export interface OnnxModel {
  readonly bytes: Uint8Array
  /** Program output name → name in the model: the same, unless an input has that name. */
  readonly outputs: Readonly<Record<string, string>>
  /** Program inputs that no node reads; the model does not declare them. */
  readonly unused: ReadonlySet<string>
  /** ONNX node name → the node of the program that it was emitted for. */
  readonly origin: ReadonlyMap<string, Node>
  /** The weights that lie outside `bytes`; null when none were asked to. */
  readonly weights: WeightsFile | null
}

/** For whom a program is emitted, how it multiplies, and how and where its weights are kept. */
export interface Emission {
  readonly target?: EmissionTarget
  readonly compute?: Compute
  readonly outside?: Outside
  /** Weights to keep in half precision, by their names; they are computed with in float32. */
  readonly halves?: Readonly<Record<string, HostTensor>>
}

class GraphEmitter implements Emitter {
  readonly target: EmissionTarget
  readonly compute: Compute
  readonly graph: GraphProto
  readonly origin = new Map<string, Node>()
  readonly #names: Names
  readonly #shared = new Map<string, string>()
  readonly #halves = new Map<string, string>()
  #current: { readonly node: Node; readonly name: string } | null = null

  constructor(name: string, { target = 'any', compute = 'float32' }: Emission, names: Names) {
    this.target = target
    this.compute = compute
    this.graph = create(GraphProtoSchema, { name })
    this.#names = names
  }

  /** Emits a node of the program under a name. */
  emit(node: Node, name: string, inputs: readonly string[]): readonly string[] {
    this.#current = { node, name }
    const outputs = node.op.emit(this, inputs, node)
    this.#current = null
    return outputs
  }

  node(opType: string, inputs: readonly string[], options: Parameters<Emitter['node']>[2] = {}): string[] {
    const name = this.#names.unique(this.#under(opType))
    const outputs = Array.from({ length: options.outputs ?? 1 }, (_, i) => this.#names.unique(`${name}:${i}`))
    const { attrs, domain } = options
    this.graph.node.push(nodeProto({ name, opType, inputs, outputs, attrs, domain }))
    if (this.#current !== null) this.origin.set(name, this.#current.node)
    return outputs
  }

  product(...[opType, operands, options]: Parameters<Emitter['product']>): string {
    if (this.compute === 'float32') return this.node(opType, operands, options)[0]
    const halves = operands.map((name) => this.#half(name))
    return this.#cast(this.node(opType, halves, options)[0], onnxElementType.float32)
  }

  /** A tensor as float16, cast once however many products read it. */
  #half(name: string): string {
    const known = this.#halves.get(name) ?? this.#cast(name, onnxElementType.float16)
    this.#halves.set(name, known)
    return known
  }

  #cast(name: string, elementType: number): string {
    return this.node('Cast', [name], { attrs: { to: { i: elementType } } })[0]
  }

  constant(tensor: HostTensor, asked?: string): string {
    const bytes = rawBytes(tensor)
    const key =
      bytes.length <= shareBelowBytes ? `${tensor.dtype}|${tensor.shape}|${latin1(bytes)}` : undefined
    const known = key === undefined ? undefined : this.#shared.get(key)
    if (known !== undefined) return known
    const name = this.#names.unique(asked ?? plainNumbers(tensor) ?? this.#under('constant'))
    this.graph.initializer.push(initializer(name, tensor))
    if (key !== undefined) this.#shared.set(key, name)
    return name
  }

  #under(name: string): string {
    return this.#current === null ? name : `${this.#current.name}/${name}`
  }
}

/** Constants of up to this many numbers are called by them. */
const mostNumbers = 6

const plainNumbers = ({ dtype, shape, data }: HostTensor): string | undefined =>
  data.length <= mostNumbers ? `${dtype}${showShape(shape)}=${Array.from<unknown>(data).join()}` : undefined

const latin1 = (bytes: Uint8Array): string => {
  let text = ''
  for (const b of bytes) text += String.fromCharCode(b)
  return text
}

/**
 * The nodes in the order in which they are listed, inputs before users. ORT does not run nodes as listed but depth
 * first from the graph's ends, taking the inputs of a node from the last listed to the first. Listing them by that same
 * walk turns it around: ORT then runs them about as they were traced. In a training step every kernel gradient then
 * follows at once on the cotangent that it needs; otherwise all of them come last, and all activations and cotangents
 * wait for them (a 384-wide step: 2.4 → 1.7 GiB with recomputed blocks).
 */
const listingOrder = (outputs: readonly Value[]): Node[] => {
  const order: Node[] = []
  const entered = new Set<Node>()
  const latestLast = (values: readonly Value[]): { node: Node; leave: boolean }[] =>
    [...new Set(values.flatMap((v) => v.node ?? []))]
      .filter((node) => !entered.has(node))
      .sort((a, b) => a.id - b.id)
      .map((node) => ({ node, leave: false }))
  const stack = latestLast(outputs)
  for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
    if (top.leave) order.push(top.node)
    else if (!entered.has(top.node)) {
      entered.add(top.node)
      stack.push({ node: top.node, leave: true }, ...latestLast(top.node.inputs))
    }
  }
  return order
}

/**
 * Names of the program's nodes: model path, op, and a number among those of the same path and op, in the order of
 * tracing. What is added elsewhere leaves them as they are.
 */
const nodeNames = (nodes: readonly Node[], names: Names): ReadonlyMap<Node, string> => {
  const traced = [...nodes].sort((a, b) => a.id - b.id)
  return new Map(
    traced.map((node) => [
      node,
      names.unique(node.scope === '' ? node.op.name : `${node.scope}/${node.op.name}`),
    ]),
  )
}

/** Calls a value of the graph by another name wherever it occurs. */
const rename = (graph: GraphProto, renamed: ReadonlyMap<string, string>): void => {
  const own = (name: string): string => renamed.get(name) ?? name
  for (const node of graph.node) {
    node.input = node.input.map(own)
    node.output = node.output.map(own)
  }
}

/** Declares the program's outputs, each made by a node under its own name, and returns their names in the model. */
const declareOutputs = (
  program: Program,
  emitter: GraphEmitter,
  made: ReadonlyMap<Value, string>,
  names: Names,
): Record<string, string> => {
  const { graph } = emitter
  const computed = new Set(graph.node.flatMap(({ output }) => output))
  const renamed = new Map<string, string>()
  const outputs: Record<string, string> = {}
  for (const [name, v] of Object.entries(program.outputs)) {
    const source = made.get(v)!
    outputs[name] = program.inputs[name] === undefined ? name : names.unique(`${name}/output`)
    // A second output of the same value, and an input or constant that is passed on, need a copy.
    const free = computed.has(source) && !renamed.has(source)
    renamed.set(free ? source : emitter.node('Identity', [source])[0], outputs[name])
    graph.output.push(valueInfo(outputs[name], v))
  }
  rename(graph, renamed)
  return outputs
}

/** A program as a graph, its weights inside. */
export interface EmittedGraph extends Pick<OnnxModel, 'outputs' | 'unused' | 'origin'> {
  readonly graph: GraphProto
}

/** Emits a program. */
export const emitGraph = (program: Program, emission: Emission = {}): EmittedGraph => {
  const names = new Names([...Object.keys(program.inputs), ...Object.keys(program.outputs)])
  const emitter = new GraphEmitter(program.name, emission, names)
  const made = new Map<Value, string>()
  const nodes = listingOrder(Object.values(program.outputs))
  const called = nodeNames(nodes, names)
  const read = new Set(nodes.flatMap((node) => node.inputs))
  for (const v of Object.values(program.outputs)) read.add(v)
  const unused = new Set<string>()
  for (const [name, v] of Object.entries(program.inputs)) {
    made.set(v, name)
    if (read.has(v)) emitter.graph.input.push(valueInfo(name, v))
    else unused.add(name)
  }
  for (const node of nodes) {
    const inputs = node.inputs.map((v) => made.get(v)!)
    const outputs = emitter.emit(node, called.get(node)!, inputs)
    for (const [i, v] of node.outputs.entries()) made.set(v, outputs[i])
  }
  const outputs = declareOutputs(program, emitter, made, names)
  return { graph: emitter.graph, outputs, unused, origin: emitter.origin }
}

/** The model of a graph. @throws when the weights inside the model exceed protobuf's 2 GiB */
export const modelOf = (
  { graph, ...emitted }: EmittedGraph,
  { halves, outside }: Pick<Emission, 'halves' | 'outside'>,
): OnnxModel => {
  if (halves !== undefined) halveWeights(graph, halves)
  const weights = outside === undefined ? null : moveOutside(graph, outside)
  return { ...emitted, bytes: modelBytes(graph), weights }
}

/**
 * Serialises a program. Inputs and outputs keep their names, nodes are called by their place in the model, constants by
 * the names that they were given; unused inputs are left out (see `unused`).
 * @throws when the weights inside the model exceed protobuf's 2 GiB
 */
export const serialize = (program: Program, emission: Emission = {}): OnnxModel =>
  modelOf(emitGraph(program, emission), emission)
