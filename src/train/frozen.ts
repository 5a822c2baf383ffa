/** @file Programs of frozen parameters: what is shown, sampled and measured. Always with the averaged weights. */
import type { HostTensor } from '../engine/host/tensor.ts'
import type { Value } from '../engine/ir/graph.ts'
import { type Program, trace } from '../engine/ir/program.ts'
import { type Bound, bindNetworks, type LookUp, type Networks } from '../engine/nn/network.ts'
import { constant } from '../engine/ops/core.ts'
import type { InputSpecs, Traced } from './objective.ts'

/** Parameters on the host, by path. */
export type Weights = Readonly<Record<string, HostTensor>>

/** Finds a parameter's value by its path. @throws when there is none */
export const lookUpIn =
  (params: ReadonlyMap<string, Value>): LookUp =>
  (path) => {
    const value = params.get(path)
    if (value === undefined)
      throw new Error(`parameters: there is no '${path}'; were they saved with another configuration?`)
    return value
  }

/** A program that knows the names of its inputs and outputs. */
export interface FrozenProgram<I extends string, O extends string> {
  readonly program: Program
  readonly inputs: readonly I[]
  readonly outputs: readonly O[]
}

/**
 * Traces a function of frozen networks. As constants of the program their parameters can be packed once for the products
 * and convolutions that use them.
 * @param given.networks those that the body takes, which may be fewer than there are weights of
 */
export const traceFrozen = <N extends Networks, I extends InputSpecs, O extends string>(
  name: string,
  given: { readonly weights: Weights; readonly networks: N; readonly inputs: I },
  body: (networks: Bound<N>, inputs: Traced<I>) => Readonly<Record<O, Value>>,
): FrozenProgram<keyof I & string, O> => {
  const constants = new Map(
    Object.entries(given.weights).map(([path, tensor]) => [path, constant(tensor, path)]),
  )
  const program = trace(name, given.inputs, (inputs) =>
    body(bindNetworks(given.networks, lookUpIn(constants)), inputs as Traced<I>),
  )
  return { program, inputs: Object.keys(given.inputs), outputs: Object.keys(program.outputs) as O[] }
}
