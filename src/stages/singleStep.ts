/** @file One training step of a configuration on made-up data, for measuring: profiles, benchmarks, memory. */
import { type Config, modelConfig } from '../config/schema.ts'
import { type HostTensor, scalar } from '../engine/host/tensor.ts'
import { forwardFlops } from '../engine/ir/cost.ts'
import { initialParams } from '../engine/nn/params.ts'
import type { Executable, Runtime } from '../engine/runtime/runtime.ts'

import { initialState, traceTrainStep } from '../train/step.ts'
import { optimizerOf } from './runStage.ts'
import type { Stage } from './stage.ts'

/** A compiled training step with its state in place. */
export interface SingleStep {
  /** 10⁹ floating-point operations of one step (method.md section 6). */
  readonly gflops: number
  readonly batch: number
  readonly executable: Executable
  /** Inputs of step `i` besides the state: a pure function of it. */
  feeds(i: number): Readonly<Record<string, HostTensor>>
  /** Takes step `i` and returns the step's outputs. */
  run(i: number): Promise<Record<string, HostTensor>>
  dispose(): Promise<void>
}

/** Builds the training step of a stage with initial parameters. @param classes number of classes of the data */
export const singleStep = async (
  runtime: Runtime,
  config: Config,
  stage: Stage,
  classes: number,
  options: { readonly profile?: boolean } = {},
): Promise<SingleStep> => {
  const model = modelConfig(config, classes)
  const { batch } = stage.settings(config)
  const objective = stage.objective(model, batch)
  const { program, updates, slabs } = traceTrainStep(objective, optimizerOf(config))
  const executable = await runtime.compile(program, { updates, ...options })
  const state = await runtime.place(initialState(slabs, initialParams(objective.spec, config.seed)))
  const madeUp = stage.madeUpFeeds(model, batch, config.seed)
  const scalars = {
    lr: scalar(1e-4),
    correction1: scalar(1),
    correction2: scalar(1),
    emaDecay: scalar(0.99),
  }
  const feeds = (i: number): Readonly<Record<string, HostTensor>> => ({ ...madeUp(i), ...scalars })
  return {
    gflops: (3 * forwardFlops([program.outputs.loss!])) / 1e9,
    batch,
    executable,
    feeds,
    run: (i) => executable.run(feeds(i), state),
    dispose: async () => {
      await executable.dispose()
      await state.dispose()
    },
  }
}
