/** @file A model that copies bytes: what moves tensors of any type between a host and a device. */
import { create } from '@bufbuild/protobuf'
import { GraphProtoSchema } from 'onnx-buf'
import { modelBytes, nodeProto, valueInfo } from './proto.ts'

/** The input and the output of `copyModel`. */
export const copyNames = { input: 'from', output: 'to' } as const

/** One Identity of any number of bytes, declared as `bool`, whose elements are single bytes. */
export const copyModel = (): Uint8Array => {
  const bytes = { dtype: 'bool', shape: ['bytes'] } as const
  const { input, output } = copyNames
  return modelBytes(
    create(GraphProtoSchema, {
      name: 'copy',
      node: [nodeProto({ name: 'copy', opType: 'Identity', inputs: [input], outputs: [output] })],
      input: [valueInfo(input, bytes)],
      output: [valueInfo(output, bytes)],
    }),
  )
}
