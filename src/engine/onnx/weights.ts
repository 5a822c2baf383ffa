/**
 * @file How a model keeps its weights: beside it instead of inside it, as protobuf ends at 2 GiB and a file of its own does not,
 * and in half precision.
 */
import { clearField, create } from '@bufbuild/protobuf'
import {
  type GraphProto,
  type NodeProto,
  StringStringEntryProtoSchema,
  TensorProto_DataLocation,
  TensorProtoSchema,
} from 'onnx-buf'
import { type HostTensor, onnxElementType } from '../host/tensor.ts'
import { initializer, nodeProto } from './proto.ts'

/** Where weights go that shall not lie inside the model. */
export interface Outside {
  /** Name of the file, which must lie in the model's folder: a path within it, with forward slashes. */
  readonly file: string
  /** Tensors of more bytes than this go there. */
  readonly above: number
}

/** The contents of a file of weights. */
export interface WeightsFile {
  readonly file: string
  readonly bytes: number
  /** The file from its start, in pieces that are views of the weights themselves: nothing is held twice. */
  chunks(): Iterable<Uint8Array>
}

/** Where a tensor starts: a multiple of a page, so that it can be mapped to memory (ONNX's external data format). */
const page = 4096

/**
 * Offsets of tensors of the given bytes in one file, in order. Exact beyond 2 GiB, as far as a double counts (8 PiB).
 */
export const offsetsOf = (lengths: readonly number[]): readonly number[] => {
  let end = 0
  return lengths.map((length) => {
    const offset = Math.ceil(end / page) * page
    end = offset + length
    return offset
  })
}

/** Moves the larger initializers of a graph out of it. The graph then says where each lies. */
export const moveOutside = (graph: GraphProto, { file, above }: Outside): WeightsFile => {
  const moved = graph.initializer.filter(({ rawData }) => rawData.length > above)
  const parts = moved.map(({ rawData }) => rawData)
  const offsets = offsetsOf(parts.map(({ length }) => length))
  for (const [i, tensor] of moved.entries()) {
    const entries = { location: file, offset: String(offsets[i]), length: String(parts[i].length) }
    tensor.externalData = Object.entries(entries).map(([key, value]) =>
      create(StringStringEntryProtoSchema, { key, value }),
    )
    tensor.dataLocation = TensorProto_DataLocation.EXTERNAL
    clearField(tensor, TensorProtoSchema.field.rawData)
  }
  return {
    file,
    bytes: parts.length === 0 ? 0 : offsets.at(-1)! + parts.at(-1)!.length,
    *chunks() {
      let end = 0
      for (const [i, part] of parts.entries()) {
        if (offsets[i] > end) yield new Uint8Array(offsets[i] - end)
        yield part
        end = offsets[i] + part.length
      }
    },
  }
}

/**
 * Keeps weights in half precision: a Cast, which runtimes fold when they open a model, makes them float32 again.
 * @param halves float16, by the names of their initializers; names of which the graph has none are passed over
 */
export const halveWeights = (graph: GraphProto, halves: Readonly<Record<string, HostTensor>>): void => {
  const widened: NodeProto[] = []
  graph.initializer = graph.initializer.map((whole) => {
    const half = Object.hasOwn(halves, whole.name) ? halves[whole.name] : undefined
    if (half === undefined) return whole
    const name = `${whole.name}/float16`
    const attrs = { to: { i: onnxElementType.float32 } }
    widened.push(
      nodeProto({
        name: `${whole.name}/widened`,
        opType: 'Cast',
        inputs: [name],
        outputs: [whole.name],
        attrs,
      }),
    )
    return initializer(name, half)
  })
  graph.node.unshift(...widened)
}
