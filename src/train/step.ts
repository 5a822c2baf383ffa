/**
 * @file A training step as one program, or as two: one that adds the gradient of a part of the batch to sums, and one
 * that updates by them. Knows nothing of what it trains; the objective comes as a function of parameters and inputs.
 */
import { gradient } from '../engine/autodiff/gradient.ts'
import { input, scope, type Value } from '../engine/ir/graph.ts'
import type { Program } from '../engine/ir/program.ts'
import { add, mul, where } from '../engine/ops/core.ts'
import { lookUpIn } from './frozen.ts'
import type { Objective, Traces } from './objective.ts'
import { packSlab, type Slab, unpackSlab } from './slabs.ts'
import {
  type Layout,
  layoutOf,
  namedParams,
  namedStates,
  namedSums,
  paramInputs,
  type Sums,
  stateInputs,
  sumInputs,
} from './state.ts'
import {
  asMade,
  globalNorm,
  lossScaleInput,
  type StepScalars,
  stepInputs,
  type UpdateRule,
  update,
} from './update.ts'

/** A program that replaces tensors of a state. */
export interface StateProgram {
  readonly program: Program
  /** State tensor → program output that replaces it. */
  readonly updates: Readonly<Record<string, string>>
}

/** A traced training step and how its state is laid out. */
export interface TrainProgram extends StateProgram {
  readonly layout: Layout
}

type Values = Readonly<Record<string, Value>>

/** A program that replaces state by the next values of the same names. */
const stateProgram = (
  name: string,
  { inputs, next, outputs }: Readonly<Record<'inputs' | 'next' | 'outputs', Values>>,
): StateProgram => {
  const renamed = Object.entries(next).map(([name, v]) => [name, `next:${name}`, v] as const)
  return {
    program: {
      name,
      inputs,
      outputs: { ...outputs, ...Object.fromEntries(renamed.map(([, output, v]) => [output, v])) },
    },
    updates: Object.fromEntries(renamed.map(([name, output]) => [name, output])),
  }
}

const inputsOf = ({ inputs }: Objective): Values =>
  Object.fromEntries(
    Object.entries(inputs).map(([name, { shape, dtype }]) => [name, input(name, shape, dtype)]),
  )

const named = ({ lr, own, emaDecay, lossScale }: StepScalars): Values => ({
  lr,
  ...own,
  emaDecay,
  [lossScaleInput]: lossScale,
})

/** An objective of traced inputs, and the gradient of its scaled loss by parameter. */
interface Differentiated extends Traces {
  readonly inputs: Values
  readonly gradients: ReadonlyMap<string, Value>
}

/** @param params slab by slab @param scale by which the loss is multiplied */
const differentiate = (
  objective: Objective,
  slabs: readonly Slab[],
  params: readonly Value[],
  scale: Value,
): Differentiated => {
  const inputs = inputsOf(objective)
  const byPath = new Map(slabs.flatMap((slab, i) => [...scope('unpack', () => unpackSlab(slab, params[i]))]))
  const { loss, report } = objective.trace(lookUpIn(byPath), inputs)
  const gradients = gradient(mul(loss, scale), [...byPath.values()])
  const named = new Map([...byPath.keys()].map((path, i) => [path, gradients[i]]))
  return { inputs, loss, report, gradients: named }
}

/** Traces one training step. Outputs: `loss`, `gradNorm` and the objective's report. */
export const traceTrainStep = (objective: Objective, rule: UpdateRule): TrainProgram => {
  const layout = layoutOf(objective.spec, rule.optimizer)
  const { slabs } = layout
  const states = stateInputs(layout)
  const scalars = stepInputs(rule.optimizer)
  const params = states.map((state) => state.param)
  const { inputs, loss, report, gradients } = differentiate(objective, slabs, params, scalars.lossScale)
  const { next, output } = scope('optimizer', () => {
    const { gradNorm, output } = globalNorm([...gradients.values()], scalars.lossScale)
    const packed = slabs.map((slab) => packSlab(slab, gradients))
    return { next: update(rule, { slabs, states, gradients: packed, gradNorm, loss, scalars }), output }
  })
  const traced = stateProgram(objective.name, {
    inputs: { ...namedStates(layout, states), ...inputs, ...named(scalars) },
    next: namedStates(layout, next),
    outputs: { loss, gradNorm: output, ...report },
  })
  return { ...traced, layout }
}

/** Whether a part is the first of its batch: then sums begin anew, whatever is left of a step that broke off. */
export const beginsInput = 'begins'

/**
 * Traces what one of several equal parts of a batch adds to the sums: its share of the gradient of the batch's mean
 * loss, scaled by `lossScale`, and of that loss. Outputs: the objective's report, and the part's own loss.
 * @param objective of a part
 */
export const traceAccumulation = (objective: Objective, layout: Layout, parts: number): StateProgram => {
  const { slabs } = layout
  const [params, sums, begins] = [paramInputs(layout), sumInputs(layout), input(beginsInput, [], 'bool')]
  const lossScale = input(lossScaleInput, [])
  const share = mul(lossScale, 1 / parts)
  const { inputs, loss, report, gradients } = differentiate(objective, slabs, params, share)
  // The share is read twice, so that the library fuses nothing that makes it with the sum, which is then made in place.
  const added = (sum: Value, share: Value): Value => where(begins, share, add(sum, share))
  const next: Sums = scope('accumulate', () => {
    // As reverse mode made the gradients: the runtime adds first what is traced first, and what is not added waits in memory.
    const order = slabs.map(({ entries }, i) => {
      const last = asMade(entries.map(({ path }) => gradients.get(path)!)).at(-1)!
      return { i, last }
    })
    const summed: Value[] = []
    for (const { i } of order.sort((a, b) => a.last.id - b.last.id))
      summed[i] = added(sums.gradients[i], packSlab(slabs[i], gradients))
    return { gradients: summed, loss: added(sums.loss, mul(loss, 1 / parts)) }
  })
  return stateProgram(objective.name, {
    inputs: {
      ...namedParams(params),
      ...namedSums(sums),
      ...inputs,
      [beginsInput]: begins,
      [lossScaleInput]: lossScale,
    },
    next: namedSums(next),
    outputs: { loss, ...report },
  })
}

/** Traces the update by the sums of all parts, which stay as they are. Outputs: `loss` of the batch and `gradNorm`. */
export const traceUpdate = (name: string, layout: Layout, rule: UpdateRule): StateProgram => {
  const { slabs } = layout
  const states = stateInputs(layout)
  const [sums, scalars] = [sumInputs(layout), stepInputs(rule.optimizer)]
  const { gradients, loss } = sums
  const { next, output } = scope('optimizer', () => {
    const { gradNorm, output } = globalNorm(gradients, scalars.lossScale)
    return { next: update(rule, { slabs, states, gradients, gradNorm, loss, scalars }), output }
  })
  return stateProgram(name, {
    inputs: { ...namedStates(layout, states), ...namedSums(sums), ...named(scalars) },
    next: namedStates(layout, next),
    outputs: { loss, gradNorm: output },
  })
}
