/** @file A program as the bytes of an ONNX model. */
import { create } from '@bufbuild/protobuf'
import { type GraphProto, GraphProtoSchema } from 'onnx-buf'
import { type HostTensor, onnxElementType } from '../host/tensor.ts'
import type { Compute, EmissionTarget, Emitter, Node, Value } from '../ir/graph.ts'
import type { Program } from '../ir/program.ts'
import { initializer, modelBytes, nodeProto, rawBytes, valueInfo } from './proto.ts'

/** Larger initializers are not worth comparing for equality. */
const shareBelowBytes = 4096

/** The serialised model, and how its names lead back to the program. */
export interface OnnxModel {
  readonly bytes: Uint8Array
  /** Program output name → name in the model. */
  readonly outputs: Readonly<Record<string, string>>
  /** Program inputs that no node reads; the model does not declare them. */
  readonly unused: ReadonlySet<string>
  /** ONNX node name → the node of the program that it was emitted for. */
  readonly origin: ReadonlyMap<string, Node>
}

/** For whom a program is emitted, and how it multiplies. */
export interface Emission {
  readonly target?: EmissionTarget
  readonly compute?: Compute
}

class GraphEmitter implements Emitter {
  readonly target: EmissionTarget
  readonly compute: Compute
  readonly graph: GraphProto
  readonly origin = new Map<string, Node>()
  current: Node | null = null
  readonly #shared = new Map<string, string>()
  readonly #halves = new Map<string, string>()
  #count = 0

  constructor(name: string, { target = 'any', compute = 'float32' }: Emission) {
    this.target = target
    this.compute = compute
    this.graph = create(GraphProtoSchema, { name })
  }

  node(opType: string, inputs: readonly string[], options: Parameters<Emitter['node']>[2] = {}): string[] {
    const serial = this.#count++
    const name = `${this.current?.scope ?? ''}/${this.current?.op.name ?? opType}#${serial}`
    const outputs = Array.from({ length: options.outputs ?? 1 }, (_, i) => `v${serial}.${i}`)
    const { attrs, domain } = options
    this.graph.node.push(nodeProto({ name, opType, inputs, outputs, attrs, domain }))
    if (this.current !== null) this.origin.set(name, this.current)
    return outputs
  }

  product(...[opType, operands, options]: Parameters<Emitter['product']>): string {
    if (this.compute === 'float32') return this.node(opType, operands, options)[0]!
    const halves = operands.map((name) => this.#half(name))
    return this.#cast(this.node(opType, halves, options)[0]!, onnxElementType.float32)
  }

  /** A tensor as float16, cast once however many products read it. */
  #half(name: string): string {
    const known = this.#halves.get(name) ?? this.#cast(name, onnxElementType.float16)
    this.#halves.set(name, known)
    return known
  }

  #cast(name: string, elementType: number): string {
    return this.node('Cast', [name], { attrs: { to: { i: elementType } } })[0]!
  }

  constant(tensor: HostTensor): string {
    const bytes = rawBytes(tensor)
    const key =
      bytes.length <= shareBelowBytes ? `${tensor.dtype}|${tensor.shape}|${latin1(bytes)}` : undefined
    const known = key === undefined ? undefined : this.#shared.get(key)
    if (known !== undefined) return known
    const name = `c${this.graph.initializer.length}`
    this.graph.initializer.push(initializer(name, tensor))
    if (key !== undefined) this.#shared.set(key, name)
    return name
  }
}

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

/** Serialises a program. Inputs keep their names; unused inputs are left out (see `unused`). */
export const serialize = (program: Program, emission: Emission = {}): OnnxModel => {
  const emitter = new GraphEmitter(program.name, emission)
  const names = new Map<Value, string>()
  const nodes = listingOrder(Object.values(program.outputs))
  const read = new Set(nodes.flatMap((node) => node.inputs))
  for (const v of Object.values(program.outputs)) read.add(v)
  const unused = new Set<string>()
  for (const [name, v] of Object.entries(program.inputs)) {
    names.set(v, name)
    if (read.has(v)) emitter.graph.input.push(valueInfo(name, v))
    else unused.add(name)
  }
  for (const node of nodes) {
    emitter.current = node
    const outputs = node.op.emit(
      emitter,
      node.inputs.map((v) => names.get(v)!),
      node,
    )
    for (const [i, v] of node.outputs.entries()) names.set(v, outputs[i]!)
  }
  emitter.current = null
  const outputs: Record<string, string> = {}
  const taken = new Set(Object.keys(program.inputs))
  for (const t of emitter.graph.initializer) taken.add(t.name)
  for (const [name, v] of Object.entries(program.outputs)) {
    // ONNX wants each graph output made by a node of its own name; a passed-through input or constant needs a copy.
    const made = names.get(v)!
    const own = taken.has(made) ? emitter.node('Identity', [made])[0]! : made
    taken.add(own)
    outputs[name] = own
    emitter.graph.output.push(valueInfo(own, v))
  }
  return { bytes: modelBytes(emitter.graph), outputs, unused, origin: emitter.origin }
}
