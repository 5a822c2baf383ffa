/**
 * @file Models for any number of examples. Programs are traced for a fixed batch; the same program traced for two batches differs
 * in nothing but where the batch stands, and what differs there is made free of it.
 */
import { equals } from '@bufbuild/protobuf'
import { AttributeProtoSchema, type GraphProto, type NodeProto, type TensorProto } from 'onnx-buf'
import { onnxElementType } from '../host/tensor.ts'
import type { Program } from '../ir/program.ts'
import { initializer } from './proto.ts'
import { type Emission, type EmittedGraph, emitGraph, modelOf, type OnnxModel } from './serialize.ts'

/** What a free batch is called in the types of inputs and outputs. */
export const batchName = 'batch'

/** The batches that are compared: coprime, and neither is 1, which broadcasts. */
const compared = [2, 3] as const

const constantsOf = ({ initializer }: GraphProto): ReadonlyMap<string, TensorProto> =>
  new Map(initializer.map((tensor) => [tensor.name, tensor]))

const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => {
  if (a.length !== b.length) return false
  // Weights are views of the same memory in both.
  if (a.buffer === b.buffer && a.byteOffset === b.byteOffset) return true
  return a.every((byte, i) => byte === b[i])
}

const sameTensor = (a: TensorProto, b: TensorProto): boolean =>
  a.dataType === b.dataType && sameBytes(a.rawData, b.rawData) && a.dims.join() === b.dims.join()

const numbersOf = ({ dataType, rawData }: TensorProto): number[] | null =>
  dataType === onnxElementType.int64
    ? Array.from(new BigInt64Array(rawData.slice().buffer), (n) => Number(n))
    : null

/**
 * A shape that does not name the batch, as an operator takes it; null where it takes none. Reshape finds one size by itself
 * (−1), Expand keeps the sizes that a tensor has where it is asked for 1.
 * @param varying axes of the shape that grow with the batch
 * @param read shape of the tensor that is reshaped, or expanded
 */
const freeShape = (
  opType: string,
  shape: readonly number[],
  varying: readonly number[],
  read: readonly number[] | undefined,
): number[] | null => {
  const put = (size: number): number[] => shape.map((d, axis) => (varying.includes(axis) ? size : d))
  if (opType === 'Reshape') return varying.length === 1 ? put(-1) : null
  if (opType !== 'Expand' || read === undefined) return null
  const lead = shape.length - read.length
  return varying.every((axis) => read[axis - lead] === shape[axis]) ? put(1) : null
}

/** The shape `found` of a node without the batch. @throws naming the node where the batch cannot be left out */
const freed = (
  {
    node,
    opType,
    read,
  }: { readonly node: string; readonly opType: string; readonly read?: readonly number[] },
  found: TensorProto,
  other: TensorProto,
): number[] => {
  const [a, b] = [numbersOf(found), numbersOf(other)]
  if (a !== null && b !== null && a.length === b.length) {
    const varying = a.flatMap((d, axis) => (d === b[axis] ? [] : [axis]))
    const grows = varying.every((axis) => a[axis] * compared[1] === b[axis] * compared[0])
    const shape = grows ? freeShape(opType, a, varying, read) : null
    if (shape !== null) return shape
  }
  throw new Error(
    `${node}: the batch is part of a constant of ${opType}, so that no model of any batch can be made`,
  )
}

/** Lists of nodes side by side. @throws when they are of different programs */
const paired = (a: readonly NodeProto[], b: readonly NodeProto[]): (readonly [NodeProto, NodeProto])[] => {
  const pairs = a.map((node, i) => [node, b[i]] as const)
  const differs = ([own, other]: readonly [NodeProto, NodeProto | undefined]): boolean =>
    other === undefined ||
    own.opType !== other.opType ||
    own.input.length !== other.input.length ||
    own.attribute.length !== other.attribute.length ||
    own.attribute.some((attribute, i) => !equals(AttributeProtoSchema, attribute, other.attribute[i]))
  const first = pairs.find(differs)
  if (first === undefined && a.length === b.length) return pairs
  throw new Error(
    `${first?.[0].name ?? 'graph'}: it is another node for another batch, so that no model of any batch can be made`,
  )
}

/** Calls the sizes that are the batch by their name. @throws when a size is not what the batch makes of it */
const nameBatch = (values: GraphProto['input'], others: GraphProto['input']): void => {
  for (const [i, { name, type }] of values.entries()) {
    const sizes = (of: typeof type) =>
      of?.value.case === 'tensorType' ? (of.value.value.shape?.dim ?? []) : []
    const other = sizes(others[i].type)
    for (const [axis, dim] of sizes(type).entries()) {
      const [own, theirs] = [dim.value.value, other[axis].value.value]
      if (own === theirs) continue
      if (Number(own) !== compared[0] || Number(theirs) !== compared[1])
        throw new Error(
          `${name}: axis ${axis} is ${own} and ${theirs} for batches of ${compared.join(' and ')}`,
        )
      dim.value = { case: 'dimParam', value: batchName }
    }
  }
}

/** Frees a graph of the batch that it was emitted for. @param larger the same program for the larger batch; it is only read */
const freeBatch = ({ graph, origin }: EmittedGraph, larger: GraphProto): void => {
  const [constants, others] = [constantsOf(graph), constantsOf(larger)]
  const shapes = new Map<string, TensorProto>()
  for (const [node, other] of paired(graph.node, larger.node)) {
    const read = origin.get(node.name)?.inputs[0]?.shape
    node.input = node.input.map((name, i) => {
      const [own, theirs] = [constants.get(name), others.get(other.input[i])]
      if (own === undefined || theirs === undefined || sameTensor(own, theirs)) return name
      const shape = freed({ node: node.name, opType: node.opType, read }, own, theirs)
      const free = `shape[${shape}]`
      const data = BigInt64Array.from(shape, (d) => BigInt(d))
      if (!shapes.has(free))
        shapes.set(free, initializer(free, { dtype: 'int64', shape: [shape.length], data }))
      return free
    })
  }
  const used = new Set(graph.node.flatMap(({ input }) => input))
  graph.initializer = [...graph.initializer, ...shapes.values()].filter(({ name }) => used.has(name))
  nameBatch(graph.input, larger.input)
  nameBatch(graph.output, larger.output)
}

/**
 * Serialises a program so that it takes any number of examples: every size that is the batch is called `batch`.
 * @param traced the program for B examples
 * @throws naming the node where the batch cannot be left out, and when the weights inside the model exceed protobuf's 2 GiB
 */
export const serializeAnyBatch = (traced: (B: number) => Program, emission: Emission = {}): OnnxModel => {
  const [own, larger] = compared.map((B) => emitGraph(traced(B), emission)) as [EmittedGraph, EmittedGraph]
  freeBatch(own, larger.graph)
  return modelOf(own, emission)
}
