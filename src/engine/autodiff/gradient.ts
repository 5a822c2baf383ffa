/** @file Reverse mode: the gradient of a scalar as more graph. */
import { showShape, zeros } from '../host/tensor.ts'
import { applyAll, type Node, nodesOf, type Segment, scope, type Value } from '../ir/graph.ts'
import { after } from '../ops/after.ts'
import { add, constant } from '../ops/core.ts'
import { filled } from '../ops/emit.ts'

/** The nodes between `wrt` and `loss`: only these carry a cotangent. */
const activeNodes = (loss: Value, wrt: readonly Value[]): Node[] => {
  const active = new Set<Value>(wrt)
  return nodesOf([loss]).filter((node) => {
    if (!node.inputs.some((v) => active.has(v))) return false
    for (const v of node.outputs) active.add(v)
    return true
  })
}

const nodesBySegment = (loss: Value): Map<Segment, Node[]> => {
  const segments = new Map<Segment, Node[]>()
  for (const node of nodesOf([loss])) {
    if (node.segment === null) continue
    const known = segments.get(node.segment)
    if (known === undefined) segments.set(node.segment, [node])
    else known.push(node)
  }
  return segments
}

/** Traces the nodes of a segment again, from inputs that are not ready before the cotangent `d` is. */
const replay = (segment: Segment, nodes: readonly Node[], d: Value): Map<Node, Node> => {
  const values = new Map<Value, Value>(segment.inputs.map((v) => [v, after(v, d)]))
  const copies = new Map<Node, Node>()
  for (const node of nodes) {
    const inputs = node.inputs.map((v) => values.get(v) ?? v)
    const outputs = scope(`d ${node.scope}`, () => applyAll(node.op, inputs, node.attrs))
    for (const [i, v] of node.outputs.entries()) values.set(v, outputs[i])
    copies.set(node, outputs[0].node!)
  }
  return copies
}

/**
 * d loss / d value for each of `wrt`, with the shapes of `wrt`; zeros where the loss does not depend on a value.
 * @throws when the loss is not a float32 scalar, or an op on the way has no gradient.
 */
export const gradient = (loss: Value, wrt: readonly Value[]): Value[] => {
  if (loss.dtype !== 'float32' || loss.shape.length !== 0) {
    throw new Error(
      `gradient: the loss is ${loss.dtype}${showShape(loss.shape)}; reduce it to a float32 scalar first`,
    )
  }
  const cotangents = new Map<Value, Value>([[loss, constant(filled([], 1))]])
  const segments = nodesBySegment(loss)
  const replayed = new Map<Segment, Map<Node, Node>>()
  /** The node to differentiate: itself, or its copy when its segment is computed again. */
  const played = (node: Node, d: Value): Node => {
    if (node.segment === null) return node
    const copies = replayed.get(node.segment) ?? replay(node.segment, segments.get(node.segment)!, d)
    replayed.set(node.segment, copies)
    return copies.get(node)!
  }
  for (const node of activeNodes(loss, wrt).reverse()) {
    const incoming = node.outputs.map((v) => cotangents.get(v) ?? null)
    const known = incoming.find((d) => d !== null)
    if (known === undefined || known === null) continue
    const { vjp } = node.op
    if (vjp === undefined) {
      throw new Error(
        `gradient: op ${node.op.name} at ${node.scope || 'top level'} has none; wrap its input in stopGradient`,
      )
    }
    const outgoing = scope(`d ${node.scope}`, () => node.op.vjp!(incoming, played(node, known)))
    for (const [i, d] of outgoing.entries()) {
      if (d === null) continue
      const v = node.inputs[i]
      const sum = cotangents.get(v)
      cotangents.set(v, sum === undefined ? d : add(sum, d))
    }
  }
  return wrt.map((v) => cotangents.get(v) ?? constant(zeros(v.shape)))
}
