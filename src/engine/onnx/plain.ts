/** @file ONNX models that no program stands behind: networks converted from other formats. */
import { create } from '@bufbuild/protobuf'
import { type GraphProto, GraphProtoSchema } from 'onnx-buf'
import type { DType, HostTensor } from '../host/tensor.ts'
import { initializer, modelBytes, nodeProto, type OnnxNode, valueInfo } from './proto.ts'

/** What a graph takes or gives; a size may be a name, which stands for any number. */
export interface OnnxValue {
  readonly name: string
  readonly dtype: DType
  readonly shape: readonly (number | string)[]
}

/** A graph in ONNX's own terms. */
export interface PlainGraph {
  readonly name: string
  readonly inputs: readonly OnnxValue[]
  readonly outputs: readonly OnnxValue[]
  /** In the order of their execution. */
  readonly nodes: readonly OnnxNode[]
  /** Weights by name. */
  readonly constants: Readonly<Record<string, HostTensor>>
}

const graphProto = ({ name, inputs, outputs, nodes, constants }: PlainGraph): GraphProto =>
  create(GraphProtoSchema, {
    name,
    input: inputs.map((v) => valueInfo(v.name, v)),
    output: outputs.map((v) => valueInfo(v.name, v)),
    node: nodes.map(nodeProto),
    initializer: Object.entries(constants).map(([key, tensor]) => initializer(key, tensor)),
  })

/** The bytes of an ONNX model with this graph. @throws when its weights exceed 2 GiB. */
export const plainModel = (graph: PlainGraph): Uint8Array => modelBytes(graphProto(graph))
