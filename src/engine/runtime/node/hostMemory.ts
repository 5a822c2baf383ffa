/** @file The CPU's memory: tensors are the host's own arrays, and nothing crosses. */
import { type HostTensor, zeros } from '../../host/tensor.ts'
import type { ValueType } from '../../ir/graph.ts'
import type { Exchange, Held, Memory } from './memory.ts'
import { hostTensor, type NativeTensor } from './nativeTensor.ts'

const copyOf = (t: HostTensor): HostTensor => ({ ...t, data: t.data.slice() })

/** Takes over the array without copying it. */
const held = (host: HostTensor): Held => {
  const native = hostTensor(host)
  return {
    type: host,
    native,
    read: () => copyOf(host),
    write: ({ data }) => (host.data as Float32Array).set(data as Float32Array),
    borrow: () => host,
    giveBack: () => {},
    another: () => held(copyOf(host)),
    release: () => native.release(),
  }
}

class HostExchange implements Exchange {
  readonly traffic = { toDevice: 0, toHost: 0 }
  readonly #types: Readonly<Record<string, ValueType>>
  readonly #made: NativeTensor[] = []
  #returned: Record<string, HostTensor> = {}

  constructor(returned: Readonly<Record<string, ValueType>>) {
    this.#types = returned
  }

  send(feeds: Readonly<Record<string, HostTensor>>): ReadonlyMap<string, NativeTensor> {
    return new Map(Object.entries(feeds).map(([name, tensor]) => [name, this.#wrap(tensor)]))
  }

  outputs(): ReadonlyMap<string, NativeTensor> {
    const fresh = Object.entries(this.#types).map(
      ([name, { shape, dtype }]) => [name, zeros(shape, dtype)] as const,
    )
    this.#returned = Object.fromEntries(fresh)
    return new Map(fresh.map(([name, tensor]) => [name, this.#wrap(tensor)]))
  }

  receive(): Record<string, HostTensor> {
    return this.#returned
  }

  endRun(): void {
    for (const tensor of this.#made.splice(0)) tensor.release()
    this.#returned = {}
  }

  release(): void {}

  #wrap(tensor: HostTensor): NativeTensor {
    this.#made.push(hostTensor(tensor))
    return this.#made.at(-1)!
  }
}

/** Host memory, which is always there. */
export const hostMemory: Memory = {
  hold: () => {},
  drop: () => {},
  place: held,
  exchange: (returned) => new HostExchange(returned),
}
