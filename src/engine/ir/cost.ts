/** @file What a graph costs: floating-point operations of its products and convolutions, and memory by liveness. */
import { bytesPerElement, showShape, sizeOf } from '../host/tensor.ts'
import { Arena, type Piece } from './arena.ts'
import { type Node, nodesOf, type Value } from './graph.ts'
import type { Program } from './program.ts'

/** FLOPs of all matrix products and convolutions that the values depend on (method.md section 6). */
export const forwardFlops = (values: readonly Value[]): number =>
  nodesOf(values).reduce((sum, node) => sum + (node.op.flops?.(node) ?? 0), 0)

/** Bytes of a value. */
export const bytesOf = (v: Value): number => sizeOf(v.shape) * bytesPerElement[v.dtype]

/** The largest tensor that a program reads or makes, the first of several; null for a program of none. */
export const largestValue = ({ inputs, outputs }: Program): Value | null => {
  const made = nodesOf(Object.values(outputs)).flatMap((node) => node.outputs)
  return [...Object.values(inputs), ...made].reduce<Value | null>(
    (largest, v) => (largest === null || bytesOf(v) > bytesOf(largest) ? v : largest),
    null,
  )
}

/** A piece of memory that values of one shape use in turn. */
interface Buffer {
  readonly bytes: number
  readonly from: number
  to: number
}

/**
 * The memory that a runtime of ONNX Runtime's kind plans for intermediate tensors when nodes run in trace order; inputs are not
 * counted. A tensor takes over the buffer of an earlier one of the same shape whose last reader has run, and a buffer is held
 * from its first tensor to its last, idle times included: what is planned exceeds what is alive, by up to twice.
 */
const plannedBuffers = (
  nodes: readonly Node[],
  outputs: readonly Value[],
  elsewhere: ReadonlySet<Value>,
): Buffer[] => {
  const owner = new Map<Value, Value>()
  const ownerOf = (v: Value): Value => owner.get(v) ?? v
  const lastUse = new Map<Value, number>()
  for (const [i, node] of nodes.entries()) {
    if (node.op.alias === 'always') owner.set(node.outputs[0], ownerOf(node.inputs[0]))
    for (const v of node.inputs) lastUse.set(ownerOf(v), i)
  }
  for (const v of outputs) lastUse.set(ownerOf(v), nodes.length)
  const buffers: Buffer[] = []
  const bufferOf = new Map<Value, Buffer>()
  const idle = new Map<string, Buffer[]>()
  const take = (key: string, bytes: number, from: number, to: number): Buffer => {
    const known = idle.get(key)?.pop()
    const buffer = known ?? { bytes, from, to }
    if (known === undefined) buffers.push(buffer)
    buffer.to = to
    return buffer
  }
  const giveBack = (key: string, buffer: Buffer): void => {
    idle.set(key, [...(idle.get(key) ?? []), buffer])
  }
  for (const [i, node] of nodes.entries()) {
    if (node.op.alias === 'always') continue
    for (const v of node.outputs) {
      if (!lastUse.has(v) || elsewhere.has(v)) continue
      bufferOf.set(v, take(showShape(v.shape), bytesOf(v), i, lastUse.get(v)!))
    }
    const scratch = node.op.scratch?.(node) ?? 0
    if (scratch > 0) giveBack(`scratch ${scratch}`, take(`scratch ${scratch}`, scratch, i, i))
    for (const v of new Set(node.inputs.map(ownerOf))) {
      const buffer = bufferOf.get(v)
      if (lastUse.get(v) === i && buffer !== undefined) giveBack(showShape(v.shape), buffer)
    }
  }
  return buffers
}

/**
 * Memory that intermediate tensors take: what an arena holds after it has served the planned buffers of two runs.
 * @param elsewhere outputs that are written to memory counted otherwise, such as next states over current ones
 */
export const peakIntermediateBytes = (
  outputs: readonly Value[],
  elsewhere: ReadonlySet<Value> = new Set(),
): number => {
  const nodes = nodesOf(outputs)
  const buffers = plannedBuffers(nodes, outputs, elsewhere)
  const ended = [...buffers].sort((a, b) => a.to - b.to)
  const arena = new Arena()
  const pieces = new Map<Buffer, Piece>()
  for (let run = 0; run < 2; run++) {
    let [taken, given] = [0, 0]
    for (let i = 0; i <= nodes.length; i++) {
      for (; buffers[taken]?.from === i; taken++) pieces.set(buffers[taken], arena.take(buffers[taken].bytes))
      for (; ended[given]?.to === i; given++) arena.giveBack(pieces.get(ended[given])!)
    }
  }
  return arena.residentBytes
}
