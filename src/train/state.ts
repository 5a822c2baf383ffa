/** @file How the state of training is laid out: the copies that every parameter has, in slabs and in a checkpoint. */
import { type HostTensor, zeros } from '../engine/host/tensor.ts'
import { input, type Value } from '../engine/ir/graph.ts'
import { flattenSpec, type Spec } from '../engine/nn/params.ts'
import type { DeviceState } from '../engine/runtime/runtime.ts'
import type { Weights } from './frozen.ts'
import type { Optimizer, OptimizerState } from './optimizer.ts'
import { packHost, planSlabs, type Slab, unpackHost } from './slabs.ts'

/** The parameters, and their average over the steps. */
const [param, average] = ['param', 'ema']
/** What the parts of a batch add up to; of one step alone, so that no checkpoint holds it. */
const sum = 'sum'

/** All copies of one slab, float32 [size] each. */
export type SlabState = OptimizerState & { readonly ema: Value }

/** The slabs, and the copies of them that are kept from step to step in the order of a checkpoint. */
export interface Layout {
  readonly copies: readonly string[]
  readonly slabs: readonly Slab[]
}

/** How the state of a parameter tree is laid out under an optimiser. */
export const layoutOf = (spec: Spec, { copies, standsAlone }: Optimizer): Layout => ({
  copies: [param, ...copies, average],
  slabs: planSlabs(
    flattenSpec(spec).map(({ path, spec: { shape } }) => ({ path, shape })),
    standsAlone,
  ),
})

/** The name of a copy: of a slab by its number on the device, of a tensor by its path in a checkpoint. */
const copyName = (copy: string, of: number | string): string => `${copy}/${of}`

const inputsOf = (copy: string, { slabs }: Layout): Value[] =>
  slabs.map(({ size }, i) => input(copyName(copy, i), [size]))

const named = (copy: string, values: readonly Value[]): Record<string, Value> =>
  Object.fromEntries(values.map((v, i) => [copyName(copy, i), v]))

/** The parameters as program inputs, slab by slab. */
export const paramInputs = (layout: Layout): Value[] => inputsOf(param, layout)

/** The whole state as program inputs, slab by slab. */
export const stateInputs = (layout: Layout): SlabState[] => {
  const values = layout.copies.map((copy) => [copy, inputsOf(copy, layout)] as const)
  const ofSlab = (i: number) => Object.fromEntries(values.map(([copy, slabs]) => [copy, slabs[i]]))
  return layout.slabs.map((_, i) => ofSlab(i) as SlabState)
}

/** Parameters by their names on the device. */
export const namedParams = (params: readonly Value[]): Record<string, Value> => named(param, params)

/** States by their names on the device. */
export const namedStates = ({ copies }: Layout, states: readonly SlabState[]): Record<string, Value> =>
  Object.assign(
    {},
    ...copies.map((copy) =>
      named(
        copy,
        states.map((state) => state[copy]),
      ),
    ),
  )

/** What the parts of a batch add up to: gradients [size] slab by slab, and the loss, a scalar. */
export interface Sums {
  readonly gradients: readonly Value[]
  readonly loss: Value
}

/** Sums as program inputs. */
export const sumInputs = (layout: Layout): Sums => ({
  gradients: inputsOf(sum, layout),
  loss: input(copyName(sum, 'loss'), []),
})

/** Sums by their names on the device. */
export const namedSums = ({ gradients, loss }: Sums): Record<string, Value> => ({
  ...named(sum, gradients),
  [copyName(sum, 'loss')]: loss,
})

/** The state before the first step: initial parameters, averages equal to them, and zero for what the optimiser keeps. */
export const initialState = ({ copies, slabs }: Layout, params: Weights): Record<string, HostTensor> =>
  Object.fromEntries(
    copies.flatMap((copy) =>
      slabs.map((slab, i) => [
        copyName(copy, i),
        copy === param || copy === average ? packHost(slab, params) : zeros([slab.size]),
      ]),
    ),
  )

/** Packs a checkpoint's tensors into slabs. @throws naming the tensor and its copy when one is missing or misshapen. */
export const packState = (
  { copies, slabs }: Layout,
  tensors: Readonly<Record<string, HostTensor>>,
): Record<string, HostTensor> =>
  Object.fromEntries(
    copies.flatMap((copy) =>
      slabs.map((slab, i) => [copyName(copy, i), packHost(slab, tensors, copyName(copy, ''))]),
    ),
  )

const readCopies = async (
  { slabs }: Layout,
  state: DeviceState,
  copies: readonly string[],
): Promise<readonly (readonly [copy: string, tensors: Weights])[]> => {
  const held = await state.read(copies.flatMap((copy) => slabs.map((_, i) => copyName(copy, i))))
  return copies.map((copy) => {
    const tensors = slabs.map((slab, i) => unpackHost(slab, held[copyName(copy, i)]))
    return [copy, Object.assign({}, ...tensors)]
  })
}

/** A state's tensors by copy and path, `param/encoder.in.weight` and so on: what a checkpoint holds. */
export const readState = async (layout: Layout, state: DeviceState): Promise<Record<string, HostTensor>> => {
  const copies = await readCopies(layout, state, layout.copies)
  return Object.fromEntries(
    copies.flatMap(([copy, tensors]) =>
      Object.entries(tensors).map(([path, tensor]) => [copyName(copy, path), tensor]),
    ),
  )
}

/** The averaged weights in a state, by path. */
export const readAverages = async (layout: Layout, state: DeviceState): Promise<Weights> => {
  const [[, averages]] = await readCopies(layout, state, [average])
  return averages
}

/** Whether a tensor of a checkpoint is an averaged weight of a network, the first part of its path. */
export const isAverageOf = (name: string, network: string): boolean =>
  name.startsWith(copyName(average, `${network}.`))

/** The averaged weights in a checkpoint, by path. */
export const averagesIn = (tensors: Readonly<Record<string, HostTensor>>): Weights =>
  Object.fromEntries(
    Object.entries(tensors)
      .filter(([name]) => name.startsWith(copyName(average, '')))
      .map(([name, tensor]) => [name.slice(copyName(average, '').length), tensor]),
  )
