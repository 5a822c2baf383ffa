/** @file State of the C API's sessions: one copy, updated where it lies. */
import type { HostTensor } from '../../host/tensor.ts'
import { explainMemoryError } from '../ort/errors.ts'
import { expectTensor, unknownName } from '../ort/inputs.ts'
import type { Enqueue } from '../ort/queue.ts'
import type { DeviceState } from '../runtime.ts'
import type { Held, Memory } from './memory.ts'

/** Named tensors in some memory. Those that cannot be updated in place get a second buffer on first use. */
export class NativeState implements DeviceState {
  readonly #memory: Memory
  readonly #enqueue: Enqueue
  readonly #current = new Map<string, Held>()
  readonly #spare = new Map<string, Held>()
  #disposed = false

  /** @throws one sentence when the device does not start, or has no room */
  constructor(memory: Memory, tensors: Readonly<Record<string, HostTensor>>, enqueue: Enqueue) {
    this.#memory = memory
    this.#enqueue = enqueue
    memory.hold()
    try {
      for (const [name, tensor] of Object.entries(tensors)) this.#current.set(name, memory.place(tensor))
    } catch (cause) {
      this.#release()
      throw explainMemoryError('state', cause as Error) ?? cause
    }
  }

  get names(): readonly string[] {
    return [...this.#current.keys()]
  }

  /** The current tensor; undefined when the state does not hold that name. */
  tensor(name: string): Held | undefined {
    return this.#current.get(name)
  }

  /** Where the next value goes: over the current one, or to the spare buffer. */
  target(name: string, inPlace: boolean): Held {
    const current = this.#require(name)
    if (inPlace) return current
    const spare = this.#spare.get(name) ?? current.another()
    this.#spare.set(name, spare)
    return spare
  }

  /** Makes the spare buffer current after a successful run. */
  swap(name: string): void {
    const [current, spare] = [this.#current.get(name)!, this.#spare.get(name)!]
    this.#current.set(name, spare)
    this.#spare.set(name, current)
  }

  read(names?: readonly string[]): Promise<Record<string, HostTensor>> {
    return this.#enqueue(async () =>
      Object.fromEntries((names ?? this.names).map((name) => [name, this.#require(name).read()])),
    )
  }

  write(tensors: Readonly<Record<string, HostTensor>>): Promise<void> {
    return this.#enqueue(async () => {
      const replaced = Object.entries(tensors).map(([name, tensor]) => {
        const held = this.#require(name)
        expectTensor(tensor, held.type, name, 'state')
        return [held, tensor] as const
      })
      for (const [held, tensor] of replaced) held.write(tensor)
    })
  }

  change(names: readonly string[], work: (tensors: readonly HostTensor[]) => Promise<void>): Promise<void> {
    return this.#enqueue(async () => {
      const held = names.map((name) => this.#require(name))
      const tensors = held.map((one) => one.borrow())
      await work(tensors)
      for (const [i, one] of held.entries()) one.giveBack(tensors[i])
    })
  }

  dispose(): Promise<void> {
    return this.#enqueue(async () => this.#release())
  }

  #release(): void {
    if (this.#disposed) return
    this.#disposed = true
    for (const tensor of [...this.#current.values(), ...this.#spare.values()]) tensor.release()
    this.#current.clear()
    this.#spare.clear()
    this.#memory.drop()
  }

  #require(name: string): Held {
    const tensor = this.#current.get(name)
    if (tensor === undefined) throw unknownName(name, this.names)
    return tensor
  }
}
