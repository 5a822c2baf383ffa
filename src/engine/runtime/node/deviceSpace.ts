/**
 * @file Memory of a device's own, allocated and copied by ONNX Runtime: on a card, or on the CPU, where the same code
 * runs. What crosses is copied by a session of one Identity, which knows both sides on every provider; `CopyTensors` of
 * the C API needs a provider that is registered with the environment, which one appended to a session's options is not.
 */
import type { ValueType } from '../../ir/graph.ts'
import { copyModel, copyNames } from '../../onnx/copyModel.ts'
import { explainDeviceError } from '../ort/errors.ts'
import { api, type Handle } from './capi.ts'
import type { NativeDevice } from './devices.ts'
import { hostTensor, memoryInfo, NativeTensor } from './nativeTensor.ts'
import { NativeSession } from './session.ts'

/** A copy needs as much device memory again as it moves at a time. */
const mostAtOnce = 64 << 20

/** What is there while the memory has users. */
interface Opened {
  readonly copier: NativeSession
  readonly info: Handle
  readonly allocator: Handle
}

const bytesType = (count: number) => ({ dtype: 'bool', shape: [count] }) as const

/** Memory of one device. */
export class DeviceSpace {
  readonly #device: NativeDevice
  #opened: Opened | null = null
  #users = 0

  constructor(device: NativeDevice) {
    this.#device = device
  }

  /** Counts a user: the session and its arena are there while there is any. @throws one sentence when they do not start */
  hold(): void {
    this.#opened ??= this.#open()
    this.#users++
  }

  drop(): void {
    if (--this.#users > 0 || this.#opened === null) return
    const { copier, info, allocator } = this.#opened
    this.#opened = null
    api().release('ReleaseAllocator', allocator)
    api().release('ReleaseMemoryInfo', info)
    copier.release()
  }

  /** @throws the library's message when there is no more */
  allocate(bytes: number): bigint {
    return api().make('AllocatorAlloc', this.#require().allocator, Math.max(bytes, 1))!
  }

  free(address: bigint): void {
    api().call('AllocatorFree', this.#require().allocator, address)
  }

  /** A tensor at an address, which it does not own. */
  tensor(address: bigint, type: ValueType): NativeTensor {
    return new NativeTensor(this.#require().info, address, type)
  }

  upload(bytes: Uint8Array, address: bigint): void {
    this.#copy(bytes, address, (host, device) => [host, device])
  }

  download(address: bigint, bytes: Uint8Array): void {
    this.#copy(bytes, address, (host, device) => [device, host])
  }

  /** @param direction what is read, and what is written */
  #copy(
    bytes: Uint8Array,
    address: bigint,
    direction: (host: NativeTensor, device: NativeTensor) => readonly [NativeTensor, NativeTensor],
  ): void {
    for (let first = 0; first < bytes.length; first += mostAtOnce) {
      const piece = bytes.subarray(first, first + mostAtOnce)
      const type = bytesType(piece.length)
      const host = hostTensor({ ...type, data: piece })
      const device = this.tensor(address + BigInt(first), type)
      const [from, to] = direction(host, device)
      try {
        this.#require().copier.run(new Map([[copyNames.input, from]]), new Map([[copyNames.output, to]]))
      } finally {
        host.release()
        device.release()
      }
    }
  }

  #open(): Opened {
    const { memory, number, provider } = this.#device
    const { make, release } = api()
    let copier: NativeSession | null = null
    let info: Handle = null
    try {
      copier = new NativeSession(copyModel(), { threads: 1, profilePrefix: null, cuda: provider })
      info = memoryInfo(memory, number)
      return { copier, info, allocator: make('CreateAllocator', copier.handle, info) }
    } catch (cause) {
      if (info !== null) release('ReleaseMemoryInfo', info)
      copier?.release()
      throw explainDeviceError(this.#device, cause)
    }
  }

  #require(): Opened {
    if (this.#opened === null)
      throw new Error(`device ${this.#device.device}: its memory was freed; keep the state`)
    return this.#opened
  }
}
