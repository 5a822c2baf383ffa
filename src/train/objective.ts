/** @file What is trained, as the step sees it: parameters, inputs and a traced loss. */
import type { Value } from '../engine/ir/graph.ts'
import type { InputSpec } from '../engine/ir/program.ts'
import { type Bound, bindNetworks, type Networks, specOf } from '../engine/nn/network.ts'
import type { Spec } from '../engine/nn/params.ts'

/** Types of a program's inputs by name. */
export type InputSpecs = Readonly<Record<string, InputSpec>>

/** The traced inputs of those types, by the same names. */
export type Traced<I extends InputSpecs> = { readonly [K in keyof I]: Value }

/** What a traced objective gives: the loss (float32 scalar) and what else is reported of a step. */
export interface Traces {
  readonly loss: Value
  readonly report: Readonly<Record<string, Value>>
}

/** What is trained: parameters, inputs, and the scalar loss with whatever else should be reported. */
export interface Objective {
  readonly name: string
  readonly spec: Spec
  readonly inputs: InputSpecs
  /** Traces the loss (float32 scalar) and the outputs to report. */
  trace(lookUp: (path: string) => Value, inputs: Readonly<Record<string, Value>>): Traces
}

/** An objective of networks, whose body receives them as functions and its inputs by name. */
export const objectiveOf = <N extends Networks, I extends InputSpecs>(given: {
  readonly name: string
  readonly networks: N
  readonly inputs: I
  readonly trace: (networks: Bound<N>, inputs: Traced<I>) => Traces
}): Objective => ({
  name: given.name,
  spec: specOf(given.networks),
  inputs: given.inputs,
  trace: (lookUp, inputs) => given.trace(bindNetworks(given.networks, lookUp), inputs as Traced<I>),
})
