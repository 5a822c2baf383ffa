/** @file What tests of training steps share: a traced step compiled, with its state in place. */
import { alone, type Collective } from '../../src/distributed/collective.ts'
import type { HostTensor } from '../../src/engine/host/tensor.ts'
import type { DeviceState, Runtime } from '../../src/engine/runtime/runtime.ts'
import type { Weights } from '../../src/train/frozen.ts'
import { initialState, packState, readState } from '../../src/train/state.ts'
import { compileStep, placeState, type TracedStep, type TrainStep } from '../../src/train/trainStep.ts'

/** A training step that can be taken. */
export interface Prepared {
  readonly traced: TracedStep
  readonly trainStep: TrainStep
  readonly state: DeviceState
}

/** Compiles a step and places its state: that of a checkpoint, or the initial one of parameters. @param together the processes that share it */
export const prepareStep = async (
  runtime: Runtime,
  traced: TracedStep,
  params: Weights,
  checkpoint?: Readonly<Record<string, HostTensor>>,
  together: Collective = alone,
): Promise<Prepared> => {
  const { layout } = traced
  const tensors = checkpoint === undefined ? initialState(layout, params) : packState(layout, checkpoint)
  return {
    traced,
    trainStep: await compileStep(runtime, traced, { together }),
    state: await placeState(runtime, traced, tensors),
  }
}

/** What a checkpoint of a step would hold. */
export const held = ({ traced, state }: Prepared): Promise<Readonly<Record<string, HostTensor>>> =>
  readState(traced.layout, state)

/** Frees both. */
export const dispose = async ({ trainStep, state }: Prepared): Promise<void> => {
  await trainStep.dispose()
  await state.dispose()
}
