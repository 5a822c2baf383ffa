/**
 * @file A training step that can be taken: its whole batch at once, or part after part, in one process or several, with one
 * update at the end.
 */
import { alone, type Collective, gathered } from '../distributed/collective.ts'
import { float32, floats, type HostTensor, type Shape, sizeOf, stacked } from '../engine/host/tensor.ts'
import { forwardFlops } from '../engine/ir/cost.ts'
import type { CompileOptions, DeviceState, Executable, Runtime } from '../engine/runtime/runtime.ts'
import type { Objective } from './objective.ts'
import type { Optimizer } from './optimizer.ts'
import { type Layout, layoutOf } from './state.ts'
import { beginsInput, type StateProgram, traceAccumulation, traceTrainStep, traceUpdate } from './step.ts'
import type { UpdateRule } from './update.ts'

/** A traced training step. */
export interface TracedStep {
  readonly layout: Layout
  readonly optimizer: Optimizer
  /** In how many parts its batch comes, of all processes together. */
  readonly parts: number
  /** Floating-point operations of the whole batch: three times those of forward (method.md section 6). */
  readonly flops: number
  /** Run for each part; null when the batch is one part, which `update` then goes through itself. */
  readonly accumulation: StateProgram | null
  readonly update: StateProgram
}

/** A step's programs in the order in which they run. */
export const programsOf = ({ accumulation, update }: TracedStep): readonly StateProgram[] =>
  accumulation === null ? [update] : [accumulation, update]

/** Traces a training step. @param objective of one part of the batch */
export const traceStep = (objective: Objective, rule: UpdateRule, parts: number): TracedStep => {
  const { optimizer } = rule
  const flopsOf = ({ program }: StateProgram): number => 3 * parts * forwardFlops([program.outputs.loss])
  if (parts === 1) {
    const { layout, ...update } = traceTrainStep(objective, rule)
    return { layout, optimizer, parts, flops: flopsOf(update), accumulation: null, update }
  }
  const layout = layoutOf(objective.spec, optimizer)
  const accumulation = traceAccumulation(objective, layout, parts)
  const update = traceUpdate(`${objective.name} update`, layout, rule)
  return { layout, optimizer, parts, flops: flopsOf(accumulation), accumulation, update }
}

/** Zeros of several shapes in one piece of memory, so that what is done with all of them takes one call. */
const adjacentZeros = (shapes: readonly Shape[]): HostTensor[] => {
  const all = new Float32Array(shapes.reduce((sum, shape) => sum + sizeOf(shape), 0))
  let end = 0
  return shapes.map((shape) => {
    const from = end
    end += sizeOf(shape)
    return float32(shape, all.subarray(from, end))
  })
}

/** Moves a state to the device, with room for the sums where the batch comes in parts. @param tensors by slab */
export const placeState = (
  runtime: Runtime,
  { accumulation }: TracedStep,
  tensors: Readonly<Record<string, HostTensor>>,
): Promise<DeviceState> => {
  if (accumulation === null) return runtime.place(tensors)
  const { program, updates } = accumulation
  const names = Object.keys(updates)
  const sums = adjacentZeros(names.map((name) => program.inputs[name].shape))
  return runtime.place({ ...tensors, ...Object.fromEntries(names.map((name, i) => [name, sums[i]])) })
}

type Tensors = Readonly<Record<string, HostTensor>>

/** A compiled training step. */
export interface TrainStep {
  readonly optimizer: Optimizer
  /** In how many parts the batch comes, of all processes together. */
  readonly parts: number
  /** What it runs, for profiles and traffic. */
  readonly executables: readonly Executable[]
  /**
   * Takes a step. One that breaks off, or that is not finite in any part, leaves the weights as they were.
   * @param feeds the objective's inputs for part number `part` of the whole batch, from 0
   * @param scalars see stepFeeds
   * @param state see placeState
   * @returns in every process `loss` and `gradNorm` of the whole batch, scalars, and the objective's report: per example, of
   * all parts one after the other; a scalar of the report is one for each part where there are several
   */
  run(feeds: (part: number) => Promise<Tensors>, scalars: Tensors, state: DeviceState): Promise<Tensors>
  dispose(): Promise<void>
}

const begins = (isFirst: boolean): HostTensor => ({
  dtype: 'bool',
  shape: [],
  data: Uint8Array.of(isFirst ? 1 : 0),
})

/** Outputs of all parts, each joined along its first axis. */
const joinedOutputs = (parts: readonly Tensors[]): Tensors =>
  Object.fromEntries(Object.keys(parts[0]).map((name) => [name, stacked(parts.map((part) => part[name]))]))

/** The outputs of all processes' parts, each joined along its first axis; one exchange for all. */
const outputsOfAll = async (together: Collective, own: Tensors): Promise<Tensors> => {
  if (together.size === 1) return own
  const entries = Object.entries(own)
  const all = await gathered(
    together,
    entries.flatMap(([, tensor]) => [...floats(tensor)]),
  )
  let end = 0
  return Object.fromEntries(
    entries.map(
      ([
        name,
        {
          shape: [n, ...rest],
        },
      ]) => {
        const from = end
        end += sizeOf([n, ...rest])
        const data = Float32Array.from(all.flatMap((theirs) => [...theirs.subarray(from, end)]))
        return [name, float32([n * together.size, ...rest], data)]
      },
    ),
  )
}

/** Tensors as vectors, those that lie one behind the other in memory as one. */
const adjacent = (tensors: readonly HostTensor[]): Float32Array[] => {
  const joined: Float32Array[] = []
  for (const own of tensors.map(floats)) {
    const last = joined.at(-1)
    const follows = last?.buffer === own.buffer && last.byteOffset + last.byteLength === own.byteOffset
    if (follows)
      joined[joined.length - 1] = new Float32Array(own.buffer, last.byteOffset, last.length + own.length)
    else joined.push(own)
  }
  return joined
}

/** How a step is compiled. */
export interface StepOptions extends Pick<CompileOptions, 'profile'> {
  /** The processes that share the batch, the parts of each one after those of the one before; one by default. */
  readonly together?: Collective
}

/**
 * Compiles a training step.
 * @throws one sentence when the device refuses one of its programs, or the processes do not share its parts evenly.
 */
export const compileStep = async (
  runtime: Runtime,
  step: TracedStep,
  { together = alone, ...options }: StepOptions = {},
): Promise<TrainStep> => {
  const { optimizer } = step
  const own = step.parts / together.size
  if (!Number.isInteger(own)) {
    throw new Error(
      `training step: ${together.size} processes do not share its ${step.parts} parts evenly; trace it in a multiple of that many`,
    )
  }
  const compile = ({ program, updates }: StateProgram): Promise<Executable> =>
    runtime.compile(program, { updates, ...options })
  const accumulation = step.accumulation === null ? null : await compile(step.accumulation)
  const update = await compile(step.update).catch(async (cause: Error) => {
    await accumulation?.dispose()
    throw cause
  })
  const executables = accumulation === null ? [update] : [accumulation, update]
  const sums = Object.keys(step.accumulation?.updates ?? {})
  const addSums = async (tensors: readonly HostTensor[]): Promise<void> => {
    for (const vector of adjacent(tensors)) await together.sum(vector)
  }
  return {
    optimizer,
    parts: step.parts,
    executables,
    run: async (feeds, scalars, state) => {
      if (accumulation === null) return update.run({ ...(await feeds(0)), ...scalars }, state)
      const outputs: Tensors[] = []
      for (let i = 0; i < own; i++) {
        const fed = { ...(await feeds(together.rank * own + i)), [beginsInput]: begins(i === 0) }
        outputs.push(await accumulation.run(fed, state))
      }
      if (together.size > 1) await state.change(sums, addSums)
      const all = await outputsOfAll(together, joinedOutputs(outputs))
      return { ...all, ...(await update.run(scalars, state)) }
    },
    dispose: async () => {
      for (const executable of executables) await executable.dispose()
    },
  }
}
