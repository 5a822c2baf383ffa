/** @file Reverse mode: the gradient of a scalar as more graph. */
import { showShape, zeros } from '../host/tensor.ts'
import { type Node, nodesOf, scope, type Value } from '../ir/graph.ts'
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
  for (const node of activeNodes(loss, wrt).reverse()) {
    const incoming = node.outputs.map((v) => cotangents.get(v) ?? null)
    if (incoming.every((d) => d === null)) continue
    const { vjp } = node.op
    if (vjp === undefined) {
      throw new Error(
        `gradient: op ${node.op.name} at ${node.scope || 'top level'} has none; wrap its input in stopGradient`,
      )
    }
    const outgoing = scope(`d ${node.scope}`, () => node.op.vjp!(incoming, node))
    for (const [i, d] of outgoing.entries()) {
      if (d === null) continue
      const v = node.inputs[i]!
      const sum = cotangents.get(v)
      cotangents.set(v, sum === undefined ? d : add(sum, d))
    }
  }
  return wrt.map((v) => cotangents.get(v) ?? constant(zeros(v.shape)))
}
