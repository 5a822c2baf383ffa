/** @file What an optimiser is: what it keeps of every parameter, and the step that it takes, as one value. */
import type { Value } from '../engine/ir/graph.ts'
import type { Slab, SlabEntry } from './slabs.ts'

/** A slab's parameters with what an optimiser keeps of that slab, by copy; float32 [size] each. */
export type OptimizerState<Copy extends string = string> = { readonly param: Value } & Readonly<
  Record<Copy, Value>
>

/** What a step is given, as traced scalars. */
export interface StepValues<Name extends string = string> {
  /** Whether loss and gradient are finite (bool). Where they are not, the next state is the current one. */
  readonly ok: Value
  /** Learning rate. */
  readonly lr: Value
  /** The optimiser's own, see `Optimizer.scalars`. */
  readonly own: Readonly<Record<Name, Value>>
}

/** A step that has begun: what all slabs share is traced. */
export interface OptimizerStep<Copy extends string = string> {
  /**
   * Traces the next state of one slab.
   * @param slab which tensors lie in the vectors, in which order
   * @param gradient clipped [size]; zero in a step that is not ok
   */
  next(slab: Slab, current: OptimizerState<Copy>, gradient: Value): OptimizerState<Copy>
}

/**
 * An optimiser. The loss's scale, clipping, the guard against steps that are not finite and the average of the weights
 * are not its concern (update.ts).
 */
export interface Optimizer<Copy extends string = string, Name extends string = string> {
  /** What it keeps of every parameter besides the parameter itself and its average; zero before the first step. */
  readonly copies: readonly Copy[]
  /** Its scalars, as functions of the step (from 0). */
  readonly scalars: Readonly<Record<Name, (step: number) => number>>
  /** Whether a tensor has a slab to itself, for an optimiser that sees matrices whole; size alone decides when absent. */
  standsAlone?(tensor: SlabEntry): boolean
  /** Whether it keeps a copy of a slab; every copy of every slab when absent. */
  keeps?(slab: Slab, copy: Copy): boolean
  begin(step: StepValues<Name>): OptimizerStep<Copy>
}
