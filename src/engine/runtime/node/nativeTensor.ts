/** @file A tensor as ONNX Runtime's C API knows it: a type, and the memory where its elements lie. */
import { bytesPerElement, type HostTensor, onnxElementType, sizeOf } from '../../host/tensor.ts'
import type { ValueType } from '../../ir/graph.ts'
import { api, type Handle } from './capi.ts'

const deviceAllocator = 0
const defaultMemory = 0

/** A kind of memory: `Cpu` or `Cuda`, and the number of the device. To be released. */
export const memoryInfo = (name: 'Cpu' | 'Cuda', device: number): Handle =>
  api().make('CreateMemoryInfo', name, deviceAllocator, device, defaultMemory)

let host: Handle = null

/** Bytes that a tensor of a type takes. */
export const byteLength = ({ shape, dtype }: ValueType): number => sizeOf(shape) * bytesPerElement[dtype]

let made = 0

/** A tensor that owns no memory: it keeps a host tensor's alive, and must not outlive a device's. */
export class NativeTensor {
  readonly handle: Handle
  /** Another for each tensor ever made, where addresses come again: what was captured for one holds for no other. */
  readonly id: number = ++made
  /** Keeps host memory from being collected. */
  readonly data: HostTensor['data'] | Handle

  /** @param memory of `memoryInfo` @param data typed array, or address there */
  constructor(memory: Handle, data: HostTensor['data'] | Handle, type: ValueType) {
    // Small typed arrays lie in the moving heap until their buffer is asked for.
    if (ArrayBuffer.isView(data)) void data.buffer
    this.data = data
    this.handle = api().make(
      'CreateTensorWithDataAsOrtValue',
      memory,
      data,
      byteLength(type),
      type.shape.map((d) => BigInt(d)),
      type.shape.length,
      onnxElementType[type.dtype],
    )
  }

  release(): void {
    api().release('ReleaseValue', this.handle)
  }
}

/** A tensor whose memory is a host tensor's. */
export const hostTensor = (tensor: HostTensor): NativeTensor => {
  host ??= memoryInfo('Cpu', 0)
  return new NativeTensor(host, tensor.data, tensor)
}
