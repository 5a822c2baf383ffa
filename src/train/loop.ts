/** @file The one training loop: any objective, any batches, any runtime; what it reports goes through callbacks. */
import { type Part, partsOf } from '../engine/host/part.ts'
import type { HostTensor } from '../engine/host/tensor.ts'
import type { DeviceState } from '../engine/runtime/runtime.ts'
import type { TrainStep } from './trainStep.ts'
import { type StepSchedule, stepFeeds } from './update.ts'

/** Steps in a row without a finite gradient after which training stops. */
const maxSkipped = 20

/** What one step gave. */
export interface StepReport {
  /** Steps done, this one included. */
  readonly step: number
  readonly loss: number
  readonly gradNorm: number
  readonly lr: number
  /** Updates skipped so far because loss or gradient was not finite. */
  readonly skipped: number
  /** How many of them are the last ones; 0 after an update that was made. */
  readonly skippedInARow: number
  /** The objective's own outputs. */
  readonly outputs: Readonly<Record<string, HostTensor>>
}

/** A training run from `from` to `steps`. */
export interface LoopOptions extends StepSchedule {
  readonly trainStep: TrainStep
  readonly state: DeviceState
  /** Examples of a step in all processes, which `trainStep` takes in as many parts as it was traced for. */
  readonly batch: number
  /** Steps already done. */
  readonly from: number
  /** The objective's inputs for a part of a step's batch (steps from 0): a pure function of both. */
  feeds(step: number, part: Part): Promise<Readonly<Record<string, HostTensor>>>
  /** Called after every step; awaited, so that it may evaluate, sample and save. */
  onStep(report: StepReport): Promise<void>
  /** Whether to stop before the next step; the same in every process. */
  shouldStop(): boolean | Promise<boolean>
}

/** Updates are skipped, twenty in a row or at the end; says what was found, not what to do. */
export class DivergedError extends Error {}

const first = (tensor: HostTensor): number => Number(tensor.data[0])

/**
 * Runs the loop and returns the number of steps done, fewer than asked when stopped.
 * @throws DivergedError after 20 steps in a row whose loss or gradient was not finite, and when the last one was such.
 */
export const trainLoop = async (options: LoopOptions): Promise<number> => {
  const { trainStep, state, from, steps } = options
  const parts = partsOf(options.batch, trainStep.parts)
  let skipped = 0
  let skippedInARow = 0
  for (let step = from; step < steps; step++) {
    if (await options.shouldStop()) return step
    const scalars = stepFeeds(trainStep.optimizer, options, step)
    const { loss, gradNorm, ...outputs } = await trainStep.run(
      (part) => options.feeds(step, parts[part]),
      scalars,
      state,
    )
    const report = { loss: first(loss), gradNorm: first(gradNorm) }
    // The program itself left the state alone when this is not finite (see update).
    const finite = Number.isFinite(report.gradNorm + report.loss)
    skippedInARow = finite ? 0 : skippedInARow + 1
    skipped += finite ? 0 : 1
    const { lr } = scalars
    await options.onStep({ step: step + 1, ...report, lr: first(lr), skipped, skippedInARow, outputs })
    if (skippedInARow >= maxSkipped || (skippedInARow > 0 && step + 1 === steps)) {
      const updates = skippedInARow === 1 ? 'the last update' : `the last ${skippedInARow} updates`
      throw new DivergedError(
        `${updates}, up to step ${step + 1}, had no finite gradient (loss ${report.loss}) and changed nothing`,
      )
    }
  }
  return steps
}
