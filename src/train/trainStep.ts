/** @file A training step that can be taken: its whole batch at once, or part after part with one update at the end. */
import { type HostTensor, stacked, zeros } from '../engine/host/tensor.ts'
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
  /** In how many parts its batch comes. */
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

/** Moves a state to the device, with room for the sums where the batch comes in parts. @param tensors by slab */
export const placeState = (
  runtime: Runtime,
  { accumulation }: TracedStep,
  tensors: Readonly<Record<string, HostTensor>>,
): Promise<DeviceState> => {
  if (accumulation === null) return runtime.place(tensors)
  const { program, updates } = accumulation
  const sums = Object.keys(updates).map((name) => [name, zeros(program.inputs[name].shape)] as const)
  return runtime.place({ ...tensors, ...Object.fromEntries(sums) })
}

type Tensors = Readonly<Record<string, HostTensor>>

/** A compiled training step. */
export interface TrainStep {
  readonly optimizer: Optimizer
  readonly parts: number
  /** What it runs, for profiles and traffic. */
  readonly executables: readonly Executable[]
  /**
   * Takes a step. One that breaks off, or that is not finite in any part, leaves the weights as they were.
   * @param feeds the objective's inputs for part number `part`, from 0
   * @param scalars see stepFeeds
   * @param state see placeState
   * @returns `loss` and `gradNorm` of the batch, scalars, and the objective's report: per example, of all parts one
   * after the other; a scalar of the report is one for each part where there are several
   */
  run(feeds: (part: number) => Promise<Tensors>, scalars: Tensors, state: DeviceState): Promise<Tensors>
  dispose(): Promise<void>
}

const begins = (part: number): HostTensor => ({
  dtype: 'bool',
  shape: [],
  data: Uint8Array.of(part === 0 ? 1 : 0),
})

/** Outputs of all parts, each joined along its first axis. */
const joinedOutputs = (parts: readonly Tensors[]): Tensors =>
  Object.fromEntries(Object.keys(parts[0]).map((name) => [name, stacked(parts.map((part) => part[name]))]))

/** Compiles a training step. @throws one sentence when the device refuses one of its programs. */
export const compileStep = async (
  runtime: Runtime,
  step: TracedStep,
  options: Pick<CompileOptions, 'profile'> = {},
): Promise<TrainStep> => {
  const { optimizer, parts } = step
  const compile = ({ program, updates }: StateProgram): Promise<Executable> =>
    runtime.compile(program, { updates, ...options })
  const accumulation = step.accumulation === null ? null : await compile(step.accumulation)
  const update = await compile(step.update).catch(async (cause: Error) => {
    await accumulation?.dispose()
    throw cause
  })
  const executables = accumulation === null ? [update] : [accumulation, update]
  return {
    optimizer,
    parts,
    executables,
    run: async (feeds, scalars, state) => {
      if (accumulation === null) return update.run({ ...(await feeds(0)), ...scalars }, state)
      const outputs: Tensors[] = []
      for (let part = 0; part < parts; part++) {
        outputs.push(await accumulation.run({ ...(await feeds(part)), [beginsInput]: begins(part) }, state))
      }
      return { ...joinedOutputs(outputs), ...(await update.run(scalars, state)) }
    },
    dispose: async () => {
      for (const executable of executables) await executable.dispose()
    },
  }
}
