/** @file State that stays on a device, and feeds and outputs that cross to and from buffers there. */
import { type HostTensor, zeros } from '../../host/tensor.ts'
import type { ValueType } from '../../ir/graph.ts'
import { rawBytes } from '../../onnx/proto.ts'
import type { Traffic } from '../runtime.ts'
import { DeviceSpace } from './deviceSpace.ts'
import type { NativeDevice } from './devices.ts'
import type { Exchange, Held, Memory } from './memory.ts'
import { byteLength, type NativeTensor } from './nativeTensor.ts'
import { Packed } from './packed.ts'

/** Room for a tensor of a state, in an allocation of its own. */
const room = (space: DeviceSpace, { shape, dtype }: ValueType): Held => {
  const type = { shape, dtype }
  const address = space.allocate(byteLength(type))
  const native = space.tensor(address, type)
  const read = (): HostTensor => {
    const copy = zeros(shape, dtype)
    space.download(address, rawBytes(copy))
    return copy
  }
  const write = (tensor: HostTensor): void => space.upload(rawBytes(tensor), address)
  return {
    type,
    native,
    read,
    write,
    borrow: read,
    giveBack: write,
    another: () => room(space, type),
    release: () => {
      native.release()
      space.free(address)
    },
  }
}

/** Types alone, so that no feed is kept with them. */
const typesOf = (tensors: Readonly<Record<string, HostTensor>>): Record<string, ValueType> =>
  Object.fromEntries(Object.entries(tensors).map(([name, { shape, dtype }]) => [name, { shape, dtype }]))

const bytesIn = (tensors: Readonly<Record<string, HostTensor>>): number =>
  Object.values(tensors).reduce((sum, { data }) => sum + data.byteLength, 0)

/** Feeds and outputs keep their addresses for as long as the same inputs are fed. */
class DeviceExchange implements Exchange {
  readonly #space: DeviceSpace
  readonly #returned: Readonly<Record<string, ValueType>>
  #fed: Packed | null = null
  #results: Packed | null = null
  #traffic: Traffic = { toDevice: 0, toHost: 0 }

  constructor(space: DeviceSpace, returned: Readonly<Record<string, ValueType>>) {
    this.#space = space
    this.#returned = returned
  }

  get traffic(): Traffic {
    return this.#traffic
  }

  send(feeds: Readonly<Record<string, HostTensor>>): ReadonlyMap<string, NativeTensor> {
    const names = Object.keys(feeds)
    if (names.length === 0) return new Map()
    if (this.#fed === null || names.join() !== [...this.#fed.tensors.keys()].join()) {
      this.#fed?.release()
      this.#fed = null
      this.#fed = new Packed(this.#space, typesOf(feeds))
    }
    this.#fed.write(feeds)
    this.#traffic = { ...this.#traffic, toDevice: this.#traffic.toDevice + bytesIn(feeds) }
    return this.#fed.tensors
  }

  outputs(): ReadonlyMap<string, NativeTensor> {
    if (Object.keys(this.#returned).length === 0) return new Map()
    this.#results ??= new Packed(this.#space, this.#returned)
    return this.#results.tensors
  }

  receive(): Record<string, HostTensor> {
    const values = this.#results?.read() ?? {}
    this.#traffic = { ...this.#traffic, toHost: this.#traffic.toHost + bytesIn(values) }
    return values
  }

  endRun(): void {}

  release(): void {
    this.#fed?.release()
    this.#results?.release()
  }
}

/** Memory of one device, for the states and executables of one runtime. */
export const deviceMemory = (device: NativeDevice): Memory => {
  const space = new DeviceSpace(device)
  return {
    hold: () => space.hold(),
    drop: () => space.drop(),
    place: (tensor) => {
      const held = room(space, tensor)
      held.write(tensor)
      return held
    },
    exchange: (returned) => new DeviceExchange(space, returned),
  }
}
