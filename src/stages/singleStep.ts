/** @file One training step of a configuration on made-up data, for measuring: profiles, benchmarks, memory. */
import { type Config, modelConfig } from '../config/schema.ts'
import { partsOf } from '../engine/host/part.ts'
import type { HostTensor } from '../engine/host/tensor.ts'
import type { Executable, Runtime } from '../engine/runtime/runtime.ts'
import { drawnState } from '../train/state.ts'
import { compileStep, placeState } from '../train/trainStep.ts'
import { stepFeeds } from '../train/update.ts'
import type { Stage } from './stage.ts'
import { stageStep } from './stageStep.ts'

/** A compiled training step with its state in place. */
export interface SingleStep {
  /** 10⁹ floating-point operations of one step (method.md section 6). */
  readonly gflops: number
  readonly batch: number
  /** What it runs. */
  readonly executables: readonly Executable[]
  /** Takes step `i` and returns the step's outputs. */
  run(i: number): Promise<Readonly<Record<string, HostTensor>>>
  dispose(): Promise<void>
}

/** Any schedule does: what it says changes no time. */
const schedule = { rate: { lr: 1e-4, warmupSteps: 0, finalFraction: 1 }, emaDecay: 0.99, steps: 1 }

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
  const { step, spec } = stageStep(config, model, stage)
  const trainStep = await compileStep(runtime, step, options)
  const state = await placeState(runtime, step, drawnState(step.layout, spec, config.seed))
  const madeUp = stage.madeUpFeeds(model, batch, config.seed)
  const parts = partsOf(batch, step.parts)
  return {
    gflops: step.flops / 1e9,
    batch,
    executables: trainStep.executables,
    run: (i) =>
      trainStep.run(async (part) => madeUp(i, parts[part]), stepFeeds(step.optimizer, schedule, i), state),
    dispose: async () => {
      await trainStep.dispose()
      await state.dispose()
    },
  }
}
