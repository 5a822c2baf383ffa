/** @file What a graph costs: floating-point operations of its products and convolutions, and memory by liveness. */
import { bytesPerElement, sizeOf } from '../host/tensor.ts'
import { nodesOf, type Value } from './graph.ts'

/** FLOPs of all matrix products and convolutions that the values depend on (method.md section 6). */
export const forwardFlops = (values: readonly Value[]): number =>
  nodesOf(values).reduce((sum, node) => sum + (node.op.flops?.(node) ?? 0), 0)

/** Bytes of a value. */
export const bytesOf = (v: Value): number => sizeOf(v.shape) * bytesPerElement[v.dtype]

/** Ops whose outputs share their input's memory. */
const views: ReadonlySet<string> = new Set(['reshape', 'stopGradient'])

/**
 * Largest sum of live intermediate tensors when nodes run in trace order and every tensor is freed after its last
 * reader; inputs are not counted. An estimate: the runtime may order nodes differently and pads its buffers.
 * @param elsewhere outputs that are written to memory counted otherwise, such as next states over current ones
 */
export const peakIntermediateBytes = (
  outputs: readonly Value[],
  elsewhere: ReadonlySet<Value> = new Set(),
): number => {
  const nodes = nodesOf(outputs)
  const owner = new Map<Value, Value>()
  const ownerOf = (v: Value): Value => owner.get(v) ?? v
  const lastUse = new Map<Value, number>()
  for (const [i, node] of nodes.entries()) {
    if (views.has(node.op.name)) owner.set(node.outputs[0]!, ownerOf(node.inputs[0]!))
    for (const v of node.inputs) lastUse.set(ownerOf(v), i)
  }
  for (const v of outputs) lastUse.set(ownerOf(v), nodes.length)
  const freedAt = new Map<number, Value[]>()
  for (const [v, i] of lastUse) freedAt.set(i, [...(freedAt.get(i) ?? []), v])
  const counted = (v: Value): boolean => lastUse.has(v) && !elsewhere.has(v)
  let live = 0
  let peak = 0
  for (const [i, node] of nodes.entries()) {
    if (!views.has(node.op.name)) for (const v of node.outputs) live += counted(v) ? bytesOf(v) : 0
    peak = Math.max(peak, live)
    for (const v of freedAt.get(i) ?? []) if (v.node !== null && counted(v)) live -= bytesOf(v)
  }
  return peak
}
