/** @file The pieces of ONNX's protobuf messages that this project writes. */
import { create, toBinary } from '@bufbuild/protobuf'
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  type GraphProto,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  type TensorProto,
  TensorProtoSchema,
  TypeProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from 'onnx-buf'
import { type DType, type HostTensor, onnxElementType } from '../host/tensor.ts'
import type { OnnxAttribute } from '../ir/graph.ts'

/** IR 10 and opset 21 are accepted by onnxruntime-node and onnxruntime-web 1.30 alike. */
const irVersion = 10n
const opset = 21n

/** One operator of a graph. */
export interface OnnxNode {
  readonly name: string
  readonly opType: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly attrs?: Readonly<Record<string, OnnxAttribute>>
  readonly domain?: string
}

const attribute = (name: string, value: OnnxAttribute) => {
  if ('i' in value) {
    return create(AttributeProtoSchema, { name, type: AttributeProto_AttributeType.INT, i: BigInt(value.i) })
  }
  if ('f' in value)
    return create(AttributeProtoSchema, { name, type: AttributeProto_AttributeType.FLOAT, f: value.f })
  if ('s' in value) {
    const s = new TextEncoder().encode(value.s)
    return create(AttributeProtoSchema, { name, type: AttributeProto_AttributeType.STRING, s })
  }
  return create(AttributeProtoSchema, {
    name,
    type: AttributeProto_AttributeType.INTS,
    ints: value.is.map((n) => BigInt(n)),
  })
}

/** An operator. */
export const nodeProto = ({ name, opType, inputs, outputs, attrs = {}, domain = '' }: OnnxNode): NodeProto =>
  create(NodeProtoSchema, {
    name,
    opType,
    domain,
    input: [...inputs],
    output: [...outputs],
    attribute: Object.entries(attrs).map(([key, value]) => attribute(key, value)),
  })

/** What a graph takes or gives; a size may be a name instead, which stands for any number. */
export const valueInfo = (
  name: string,
  { dtype, shape }: { readonly dtype: DType; readonly shape: readonly (number | string)[] },
): ValueInfoProto => {
  const dim = shape.map((d) =>
    typeof d === 'number'
      ? { value: { case: 'dimValue' as const, value: BigInt(d) } }
      : { value: { case: 'dimParam' as const, value: d } },
  )
  const type = create(TypeProtoSchema, {
    value: { case: 'tensorType', value: { elemType: onnxElementType[dtype], shape: { dim } } },
  })
  return create(ValueInfoProtoSchema, { name, type })
}

/** A tensor's memory as bytes. */
export const rawBytes = ({ data }: HostTensor): Uint8Array<ArrayBuffer> =>
  new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength)

/** A constant of a graph. */
export const initializer = (name: string, tensor: HostTensor): TensorProto =>
  create(TensorProtoSchema, {
    name,
    dataType: onnxElementType[tensor.dtype],
    dims: tensor.shape.map((d) => BigInt(d)),
    rawData: rawBytes(tensor),
  })

/** Protobuf's sizes are signed 32-bit numbers. */
const mostBytes = 2 ** 31 - 1

/** Version of every operator set besides ONNX's own; the runtime's library has one of each. */
const extensionVersion = 1n

/** The bytes of a model around a graph. @throws when its weights are more than protobuf can hold. */
export const modelBytes = (graph: GraphProto): Uint8Array => {
  const weights = graph.initializer.reduce((sum, { rawData }) => sum + rawData.length, 0)
  if (weights > mostBytes) {
    throw new Error(
      `model ${graph.name}: ${weights} bytes of weights inside the model, expected at most ${mostBytes} as protobuf ` +
        'holds no more; put them outside',
    )
  }
  const domains = [...new Set(graph.node.map(({ domain }) => domain))]
    .filter((domain) => domain !== '')
    .sort()
  const opsets = [
    { domain: '', version: opset },
    ...domains.map((domain) => ({ domain, version: extensionVersion })),
  ]
  return toBinary(
    ModelProtoSchema,
    create(ModelProtoSchema, {
      irVersion,
      producerName: 'unified-latents',
      opsetImport: opsets.map((set) => create(OperatorSetIdProtoSchema, set)),
      graph,
    }),
  )
}
