/** @file What state and feeds lie in while a session reads them: host memory as it is, or memory of a device's own. */
import type { HostTensor } from '../../host/tensor.ts'
import type { ValueType } from '../../ir/graph.ts'
import type { Traffic } from '../runtime.ts'
import type { NativeTensor } from './nativeTensor.ts'

/** One tensor of a state. */
export interface Held {
  readonly type: ValueType
  readonly native: NativeTensor
  /** A copy on the host. */
  read(): HostTensor
  /** Replaces the values. @param tensor of the same type */
  write(tensor: HostTensor): void
  /** The values in host memory to be changed there: where they lie, or a copy. Given back afterwards. */
  borrow(): HostTensor
  giveBack(tensor: HostTensor): void
  /** Room for another tensor of the same type. */
  another(): Held
  release(): void
}

/** What passes between the host and one executable. */
export interface Exchange {
  /** The tensors of what is fed, which hold its values. */
  send(feeds: Readonly<Record<string, HostTensor>>): ReadonlyMap<string, NativeTensor>
  /** The tensors that a run writes what it returns to. */
  outputs(): ReadonlyMap<string, NativeTensor>
  /** What the run has written to them. */
  receive(): Record<string, HostTensor>
  /** Lets go of what served a single run, whether it failed or not. */
  endRun(): void
  readonly traffic: Traffic
  release(): void
}

/** Where sessions find their inputs and leave their outputs. */
export interface Memory {
  /** Counts a user: what the memory needs is there while it has any. @throws one sentence when there is none to be had */
  hold(): void
  drop(): void
  /** A tensor with these values, whose array may be taken over. @throws the library's message */
  place(tensor: HostTensor): Held
  /** @param returned types of what the executable's runs return */
  exchange(returned: Readonly<Record<string, ValueType>>): Exchange
}
