/** @file A network as a value: the parameters that it has, and the function that it is once they are there. */
import type { Value } from '../ir/graph.ts'
import { bindParams, type Params, type Spec } from './params.ts'

/** Finds a parameter's value by its path. */
export type LookUp = (path: string) => Value

/** A network that computes an `F`. The types of its parameters stay its own. */
export interface Network<F> {
  readonly spec: Spec
  /** The function with its parameters in place, which lie below a path. */
  bind(lookUp: LookUp, path: string): F
}

/** A network of one tree of parameters. */
export const networkOf = <S extends Spec, F>(spec: S, apply: (params: Params<S>) => F): Network<F> => ({
  spec,
  bind: (lookUp, path) => apply(bindParams(spec, lookUp, path)),
})

/** Networks by name; the name is the first part of their parameters' paths. */
export type Networks = Readonly<Record<string, Network<unknown>>>

/** The functions that networks are, by the same names. */
export type Bound<N extends Networks> = {
  readonly [K in keyof N]: N[K] extends Network<infer F> ? F : never
}

/** The parameters of networks as one tree. */
export const specOf = (networks: Networks): Spec =>
  Object.fromEntries(Object.entries(networks).map(([name, { spec }]) => [name, spec]))

/** All networks with their parameters in place. */
export const bindNetworks = <N extends Networks>(networks: N, lookUp: LookUp): Bound<N> =>
  Object.fromEntries(
    Object.entries(networks).map(([name, network]) => [name, network.bind(lookUp, name)]),
  ) as Bound<N>
