/** @file From a gradient to the next state: clipping, the guard against steps that are not finite, optimiser, average. */
import { type HostTensor, scalar } from '../engine/host/tensor.ts'
import { input, type Value } from '../engine/ir/graph.ts'
import { abs, add, div, finite, minimum, mul, reduceSumSquare, sqrt, sub, where } from '../engine/ops/core.ts'
import { usualScale } from './lossScale.ts'
import type { Optimizer } from './optimizer.ts'
import { emaDecayAt, learningRate, type RateConfig } from './rates.ts'
import type { Slab } from './slabs.ts'
import type { SlabState } from './state.ts'

/** How a gradient moves the weights. */
export interface UpdateRule {
  readonly optimizer: Optimizer
  /** Largest global gradient norm. */
  readonly clipNorm: number
}

/** What changes from step to step; all traced scalars. */
export interface StepScalars {
  /** Learning rate. */
  readonly lr: Value
  /** The optimiser's own, by name. */
  readonly own: Readonly<Record<string, Value>>
  /** Decay of the averaged weights at this step. */
  readonly emaDecay: Value
  /** By what the loss is multiplied before reverse mode (lossScale.ts). */
  readonly lossScale: Value
}

/** The scale is read where gradients are made, too, which may be another program. */
export const lossScaleInput = 'lossScale'

/** The program inputs that `stepFeeds` fills. */
export const stepInputs = ({ scalars }: Optimizer): StepScalars => ({
  lr: input('lr', []),
  own: Object.fromEntries(Object.keys(scalars).map((name) => [name, input(name, [])])),
  emaDecay: input('emaDecay', []),
  lossScale: input(lossScaleInput, []),
})

/** How rates change over training. */
export interface StepSchedule {
  readonly rate: RateConfig
  /** Decay of the averaged weights, which early steps stay below (emaDecayAt). */
  readonly emaDecay: number
  /** Steps of the whole training. */
  readonly steps: number
}

/** All scalars of step `step` (from 0), by the names of the program's inputs. */
export const stepFeeds = (
  { scalars }: Optimizer,
  { rate, emaDecay, steps }: StepSchedule,
  step: number,
  lossScale: number = usualScale,
): Readonly<Record<string, HostTensor>> & Readonly<Record<'lr' | 'lossScale', HostTensor>> => ({
  ...Object.fromEntries(Object.entries(scalars).map(([name, at]) => [name, scalar(at(step))])),
  lr: scalar(learningRate(rate, step, steps)),
  emaDecay: scalar(emaDecayAt(emaDecay, step)),
  [lossScaleInput]: scalar(lossScale),
})

/** Values in the order in which reverse mode made them. */
export const asMade = (gradients: readonly Value[]): Value[] => [...gradients].sort((a, b) => a.id - b.id)

/**
 * √Σ‖g‖² of the scaled gradients, without the scale: a scalar for the update to read, and the same as an output that nothing reads.
 * Summed in the order in which reverse mode made the gradients: each is then reduced while it is still in the cache, and is not
 * kept waiting for those of earlier layers (see the listing order in engine/onnx/serialize.ts). The runtime starts from what
 * nothing reads; starting from an update it may come to the norm by way of the last gradient, and all others then wait for it.
 */
export const globalNorm = (
  gradients: readonly Value[],
  lossScale: Value,
): Readonly<Record<'gradNorm' | 'output', Value>> => {
  const [first, ...rest] = asMade(gradients)
  const sum = rest.reduce((sum, g) => add(sum, reduceSumSquare(g)), reduceSumSquare(first))
  const gradNorm = mul(sqrt(sum), div(1, lossScale))
  return { gradNorm, output: abs(gradNorm) } // it is not negative
}

const lerp = (from: Value, to: Value, share: Value): Value => add(from, mul(share, sub(to, from)))

/** What an update starts from; slab by slab in one order. */
export interface UpdateInputs {
  readonly slabs: readonly Slab[]
  readonly states: readonly SlabState[]
  /** Scaled by `lossScale`, [size] each. */
  readonly gradients: readonly Value[]
  /** Global norm of the gradient before clipping, and the loss; scalars. */
  readonly gradNorm: Value
  readonly loss: Value
  readonly scalars: StepScalars
}

/**
 * The optimiser's step on clipped gradients, and the average of the weights that follows it: next states, slab by slab.
 *
 * A loss or global norm that is not finite leaves everything as it was. Because the clipping factor depends on every
 * gradient, next states may be written over current ones (see updatedInPlace).
 */
export const update = (
  { optimizer, clipNorm }: UpdateRule,
  { slabs, states, gradients, gradNorm, loss, scalars }: UpdateInputs,
): readonly SlabState[] => {
  const { lr, own, emaDecay, lossScale } = scalars
  const ok = finite(add(gradNorm, loss))
  const clip = mul(where(ok, minimum(1, div(clipNorm, add(gradNorm, 1e-12))), 0), div(1, lossScale))
  const emaShare = where(ok, sub(1, emaDecay), 0)
  const step = optimizer.begin({ ok, lr, own })
  return slabs.map((slab, i) => {
    const gradient = mul(where(ok, gradients[i], 0), clip)
    const moved = step.next(slab, states[i], gradient)
    return { ...moved, ema: lerp(states[i].ema, moved.param, emaShare) }
  })
}
