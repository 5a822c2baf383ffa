/** @file Tensors side by side in one piece of device memory, so that all of them cross in one copy. */
import { type HostTensor, zeros } from '../../host/tensor.ts'
import type { ValueType } from '../../ir/graph.ts'
import { rawBytes } from '../../onnx/proto.ts'
import type { DeviceSpace } from './deviceSpace.ts'
import { byteLength, type NativeTensor } from './nativeTensor.ts'

/** Where CUDA's own allocations begin, too; kernels read several elements at once from there. */
const alignment = 256

/** Tensors whose addresses stay the same until they are released. */
export class Packed {
  readonly tensors: ReadonlyMap<string, NativeTensor>
  readonly #space: DeviceSpace
  readonly #address: bigint
  readonly #types: Readonly<Record<string, ValueType>>
  readonly #offsets = new Map<string, number>()
  /** The same bytes on the host. */
  readonly #staged: Uint8Array

  /** @throws the library's message when there is no memory */
  constructor(space: DeviceSpace, types: Readonly<Record<string, ValueType>>) {
    let bytes = 0
    for (const [name, type] of Object.entries(types)) {
      this.#offsets.set(name, bytes)
      bytes += Math.ceil(byteLength(type) / alignment) * alignment
    }
    this.#space = space
    this.#types = types
    this.#staged = new Uint8Array(bytes)
    this.#address = space.allocate(bytes)
    this.tensors = new Map(
      Object.entries(types).map(([name, type]) => [
        name,
        space.tensor(this.#address + BigInt(this.#offsets.get(name)!), type),
      ]),
    )
  }

  /** @param values one for each tensor */
  write(values: Readonly<Record<string, HostTensor>>): void {
    for (const [name, offset] of this.#offsets) this.#staged.set(rawBytes(values[name]), offset)
    this.#space.upload(this.#staged, this.#address)
  }

  read(): Record<string, HostTensor> {
    this.#space.download(this.#address, this.#staged)
    return Object.fromEntries(
      Object.entries(this.#types).map(([name, { shape, dtype }]) => {
        const tensor = zeros(shape, dtype)
        const bytes = rawBytes(tensor)
        const offset = this.#offsets.get(name)!
        bytes.set(this.#staged.subarray(offset, offset + bytes.length))
        return [name, tensor]
      }),
    )
  }

  release(): void {
    for (const tensor of this.tensors.values()) tensor.release()
    this.#space.free(this.#address)
  }
}
