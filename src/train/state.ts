/** @file How the state of training is laid out: the copies that every parameter has, in slabs and in a checkpoint. */
import { float32, floats, type HostTensor, zeros } from '../engine/host/tensor.ts'
import { input, type Value } from '../engine/ir/graph.ts'
import { drawParam, flattenSpec, type Spec } from '../engine/nn/params.ts'
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

/** The slabs, and which copies of them are kept from step to step. */
export interface Layout {
  readonly slabs: readonly Slab[]
  /** The copies in the order of a checkpoint, each with the numbers of the slabs that have it. */
  readonly copies: ReadonlyMap<string, readonly number[]>
}

/** All copies of all slabs on the host, by their names on the device. */
export type SlabTensors = Readonly<Record<string, HostTensor>>

/** How the state of a parameter tree is laid out under an optimiser. */
export const layoutOf = (spec: Spec, { copies, standsAlone, keeps = () => true }: Optimizer): Layout => {
  const slabs = planSlabs(
    flattenSpec(spec).map(({ path, spec: { shape } }) => ({ path, shape })),
    standsAlone,
  )
  const all = [...slabs.keys()]
  const kept = copies.map((copy) => [copy, all.filter((i) => keeps(slabs[i], copy))] as const)
  return { slabs, copies: new Map([[param, all], ...kept, [average, all]]) }
}

/** Every copy of every slab that has it. */
const heldIn = ({ copies }: Layout): (readonly [copy: string, slab: number])[] =>
  [...copies].flatMap(([copy, slabs]) => slabs.map((i) => [copy, i] as const))

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
  const states = layout.slabs.map((): Record<string, Value> => ({}))
  for (const [copy, i] of heldIn(layout)) states[i][copy] = input(copyName(copy, i), [layout.slabs[i].size])
  return states as SlabState[]
}

/** Parameters by their names on the device. */
export const namedParams = (params: readonly Value[]): Record<string, Value> => named(param, params)

/** States by their names on the device. */
export const namedStates = (layout: Layout, states: readonly SlabState[]): Record<string, Value> =>
  Object.fromEntries(heldIn(layout).map(([copy, i]) => [copyName(copy, i), states[i][copy]]))

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

/** Parameters and averages equal to them, slab by slab, and zero for what the optimiser keeps. */
const beginning = (layout: Layout, params: (slab: Slab) => HostTensor): Record<string, HostTensor> => {
  const { slabs } = layout
  const first = slabs.map(params)
  const averages = first.map((tensor) => float32(tensor.shape, floats(tensor).slice()))
  const given: Readonly<Record<string, readonly HostTensor[]>> = { [param]: first, [average]: averages }
  return Object.fromEntries(
    heldIn(layout).map(([copy, i]) => [copyName(copy, i), given[copy]?.[i] ?? zeros([slabs[i].size])]),
  )
}

/** The state before the first step of parameters that are given. */
export const initialState = (layout: Layout, params: Weights): Record<string, HostTensor> =>
  beginning(layout, (slab) => packHost(slab, params))

/**
 * The state before the first step of parameters that start at random (`initialParams`). They are drawn where they lie: a set
 * of their own would take its memory, a gigabyte at the paper's sizes, until it happens to be collected.
 */
export const drawnState = (layout: Layout, spec: Spec, seed: number): Record<string, HostTensor> => {
  const specs = new Map(flattenSpec(spec).map((entry) => [entry.path, entry.spec]))
  return beginning(layout, (slab) => {
    const drawn = zeros([slab.size])
    for (const [path, tensor] of Object.entries(unpackHost(slab, drawn)))
      drawParam(floats(tensor), specs.get(path)!, path, seed)
    return drawn
  })
}

/** Packs a checkpoint's tensors into slabs. @throws naming the tensor and its copy when one is missing or misshapen. */
export const packState = (layout: Layout, tensors: Readonly<Record<string, HostTensor>>): SlabTensors =>
  Object.fromEntries(
    heldIn(layout).map(([copy, i]) => [
      copyName(copy, i),
      packHost(layout.slabs[i], tensors, copyName(copy, '')),
    ]),
  )

/** The tensors of some copies in a state, with copy and path. */
const readCopies = async (
  layout: Layout,
  state: DeviceState,
  wanted: (copy: string) => boolean,
): Promise<readonly (readonly [copy: string, path: string, tensor: HostTensor])[]> => {
  const held = heldIn(layout).filter(([copy]) => wanted(copy))
  const vectors = await state.read(held.map(([copy, i]) => copyName(copy, i)))
  return held.flatMap(([copy, i]) =>
    Object.entries(unpackHost(layout.slabs[i], vectors[copyName(copy, i)])).map(
      ([path, tensor]) => [copy, path, tensor] as const,
    ),
  )
}

/** A state's tensors by copy and path, `param/encoder.in.weight` and so on: what a checkpoint holds. */
export const readState = async (layout: Layout, state: DeviceState): Promise<Record<string, HostTensor>> => {
  const tensors = await readCopies(layout, state, () => true)
  return Object.fromEntries(tensors.map(([copy, path, tensor]) => [copyName(copy, path), tensor]))
}

/** The averaged weights in a state, by path. */
export const readAverages = async (layout: Layout, state: DeviceState): Promise<Weights> => {
  const tensors = await readCopies(layout, state, (copy) => copy === average)
  return Object.fromEntries(tensors.map(([, path, tensor]) => [path, tensor]))
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
