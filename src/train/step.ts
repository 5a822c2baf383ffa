/**
 * @file A training step as one program: objective, its gradient, clipped AdamW and weight averages over slabs. Knows
 * nothing of what it trains; the objective comes as a function of parameters and inputs.
 */
import { gradient } from '../engine/autodiff/gradient.ts'
import { type HostTensor, zeros } from '../engine/host/tensor.ts'
import { input, scope, type Value } from '../engine/ir/graph.ts'
import { type InputSpec, type Program, trace } from '../engine/ir/program.ts'
import { flattenSpec, type Spec } from '../engine/nn/params.ts'
import { constant, mul } from '../engine/ops/core.ts'
import type { DeviceState } from '../engine/runtime/runtime.ts'
import { type AdamWConfig, adamW, globalNorm, lossScale } from './adamw.ts'
import { packHost, packSlab, planSlabs, type Slab, unpackHost, unpackSlab } from './slabs.ts'

/** What is trained: parameters, inputs, and the scalar loss with whatever else should be reported. */
export interface Objective {
  readonly name: string
  readonly spec: Spec
  readonly inputs: Readonly<Record<string, InputSpec>>
  /** Traces the loss (float32 scalar) and the outputs to report. */
  trace(
    lookUp: (path: string) => Value,
    inputs: Readonly<Record<string, Value>>,
  ): { readonly loss: Value; readonly report: Readonly<Record<string, Value>> }
}

/** The four copies that a slab has during training. */
const copies = ['param', 'moment1', 'moment2', 'ema'] as const

/** A traced training step and how its state is laid out. */
export interface TrainProgram {
  readonly program: Program
  /** State tensor → program output that replaces it. */
  readonly updates: Readonly<Record<string, string>>
  readonly slabs: readonly Slab[]
}

const stateName = (copy: string, slab: number): string => `${copy}/${slab}`

/** The slabs of a parameter tree. */
export const slabsOf = (spec: Spec): Slab[] =>
  planSlabs(flattenSpec(spec).map(({ path, spec: { shape } }) => ({ path, shape })))

/** The parameters in the given slab values, by path. */
const unpackAll = (slabs: readonly Slab[], values: readonly Value[]): ReadonlyMap<string, Value> =>
  new Map(slabs.flatMap((slab, i) => [...scope('unpack', () => unpackSlab(slab, values[i]!))]))

const lookUpIn =
  (params: ReadonlyMap<string, Value>) =>
  (path: string): Value => {
    const value = params.get(path)
    if (value === undefined)
      throw new Error(`parameters: there is no '${path}'; were they saved with another configuration?`)
    return value
  }

/** Traces one training step. Outputs: `loss`, `gradNorm` and the objective's report. */
export const traceTrainStep = (objective: Objective, config: AdamWConfig): TrainProgram => {
  const slabs = slabsOf(objective.spec)
  const states = slabs.map(({ size }, i) => ({
    param: input(stateName('param', i), [size]),
    moment1: input(stateName('moment1', i), [size]),
    moment2: input(stateName('moment2', i), [size]),
    ema: input(stateName('ema', i), [size]),
  }))
  const inputs = Object.fromEntries(
    Object.entries(objective.inputs).map(([name, { shape, dtype }]) => [name, input(name, shape, dtype)]),
  )
  const scalars = {
    lr: input('lr', []),
    correction1: input('correction1', []),
    correction2: input('correction2', []),
    emaDecay: input('emaDecay', []),
  }
  const params = unpackAll(
    slabs,
    states.map((s) => s.param),
  )
  const { loss, report } = objective.trace(lookUpIn(params), inputs)
  const gradients = gradient(mul(loss, lossScale), [...params.values()])
  const { next, gradNorm } = scope('optimizer', () => {
    const gradNorm = globalNorm(gradients)
    const byPath = new Map([...params.keys()].map((path, i) => [path, gradients[i]!]))
    const packed = slabs.map((slab) => packSlab(slab, byPath))
    return { next: adamW(states, packed, gradNorm, loss, scalars, config), gradNorm }
  })
  const stateInputs: Record<string, Value> = {}
  const stateOutputs: Record<string, Value> = {}
  const updates: Record<string, string> = {}
  for (const copy of copies) {
    for (const i of slabs.keys()) {
      const name = stateName(copy, i)
      stateInputs[name] = states[i]![copy]
      stateOutputs[`next:${name}`] = next[i]![copy]
      updates[name] = `next:${name}`
    }
  }
  return {
    program: {
      name: objective.name,
      inputs: { ...stateInputs, ...inputs, ...scalars },
      outputs: { loss, gradNorm, ...report, ...stateOutputs },
    },
    updates,
    slabs,
  }
}

/** Parameters on the host, by path. */
export type Weights = Readonly<Record<string, HostTensor>>

/**
 * Traces a function of frozen parameters (the averages, for everything that is shown or measured). As constants of the
 * program they can be packed once for the products and convolutions that use them.
 */
export const traceFrozen = (
  name: string,
  weights: Weights,
  specs: Readonly<Record<string, InputSpec>>,
  body: (
    lookUp: (path: string) => Value,
    inputs: Readonly<Record<string, Value>>,
  ) => Readonly<Record<string, Value>>,
): Program => {
  const constants = new Map(Object.entries(weights).map(([path, tensor]) => [path, constant(tensor, path)]))
  return trace(name, specs, (inputs) => body(lookUpIn(constants), inputs))
}

/** The averaged weights in a training state. */
export const averagesIn = async (slabs: readonly Slab[], state: DeviceState): Promise<Weights> => {
  const held = await state.read(slabs.map((_, i) => stateName('ema', i)))
  return Object.assign({}, ...slabs.map((slab, i) => unpackHost(slab, held[stateName('ema', i)]!)))
}

/** The state before the first step: initial parameters, zero moments, averages equal to the parameters. */
export const initialState = (
  slabs: readonly Slab[],
  params: Readonly<Record<string, HostTensor>>,
): Record<string, HostTensor> => {
  const state: Record<string, HostTensor> = {}
  for (const [i, slab] of slabs.entries()) {
    state[stateName('param', i)] = packHost(slab, params)
    state[stateName('moment1', i)] = zeros([slab.size])
    state[stateName('moment2', i)] = zeros([slab.size])
    state[stateName('ema', i)] = packHost(slab, params)
  }
  return state
}

/** State tensors under the parameters' own paths, `param/encoder.in.weight` and so on: what a checkpoint holds. */
export const unpackState = (
  slabs: readonly Slab[],
  state: Readonly<Record<string, HostTensor>>,
): Record<string, HostTensor> => {
  const named: Record<string, HostTensor> = {}
  for (const copy of copies) {
    for (const [i, slab] of slabs.entries()) {
      for (const [path, tensor] of Object.entries(unpackHost(slab, state[stateName(copy, i)]!))) {
        named[`${copy}/${path}`] = tensor
      }
    }
  }
  return named
}

/** Whether a tensor of a checkpoint belongs to a copy of the parameters. */
export const isOfCopy = (name: string, copy: (typeof copies)[number]): boolean => name.startsWith(`${copy}/`)

/** The tensors of one copy in a checkpoint, by path. */
export const copyIn = (named: Readonly<Record<string, HostTensor>>, copy: (typeof copies)[number]): Weights =>
  Object.fromEntries(
    Object.entries(named)
      .filter(([name]) => isOfCopy(name, copy))
      .map(([name, t]) => [name.slice(copy.length + 1), t]),
  )

/** Packs a checkpoint's tensors back into slabs. @throws when one is missing or misshapen. */
export const packState = (
  slabs: readonly Slab[],
  named: Readonly<Record<string, HostTensor>>,
): Record<string, HostTensor> =>
  Object.fromEntries(
    copies.flatMap((copy) => {
      const own = copyIn(named, copy)
      return slabs.map((slab, i) => [stateName(copy, i), packHost(slab, own)])
    }),
  )
