/** @file The one training loop: any objective, any batches, any runtime; what it reports goes through callbacks. */
import type { HostTensor } from '../engine/host/tensor.ts'
import { scalar } from '../engine/host/tensor.ts'
import type { DeviceState, Executable } from '../engine/runtime/runtime.ts'
import type { AdamWConfig } from './adamw.ts'
import { emaDecayAt, learningRate, type RateConfig } from './rates.ts'

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
  /** The objective's own outputs. */
  readonly outputs: Readonly<Record<string, HostTensor>>
}

/** A training run from `from` to `steps`. */
export interface LoopOptions {
  readonly executable: Executable
  readonly state: DeviceState
  /** Steps already done. */
  readonly from: number
  readonly steps: number
  readonly optimizer: AdamWConfig
  readonly rate: RateConfig
  readonly emaDecay: number
  /** The objective's inputs at a step (from 0): a pure function of it. */
  feeds(step: number): Promise<Readonly<Record<string, HostTensor>>>
  /** Called after every step; awaited, so that it may evaluate, sample and save. */
  onStep(report: StepReport): Promise<void>
  /** Whether to stop before the next step. */
  shouldStop(): boolean
}

/** Twenty updates in a row were skipped; the last checkpoint is intact. */
export class DivergedError extends Error {}

const stepScalars = (options: LoopOptions, step: number): Record<string, HostTensor> => {
  const { optimizer, rate, steps, emaDecay } = options
  return {
    lr: scalar(learningRate(rate, step, steps)),
    correction1: scalar(1 / (1 - optimizer.beta1 ** (step + 1))),
    correction2: scalar(1 / (1 - optimizer.beta2 ** (step + 1))),
    emaDecay: scalar(emaDecayAt(emaDecay, step)),
  }
}

const first = (tensor: HostTensor): number => Number(tensor.data[0])

/**
 * Runs the loop and returns the number of steps done, fewer than asked when stopped.
 * @throws DivergedError after 20 steps in a row whose loss or gradient was not finite.
 */
export const trainLoop = async (options: LoopOptions): Promise<number> => {
  const { executable, state, from, steps } = options
  let skipped = 0
  let skippedInARow = 0
  for (let step = from; step < steps; step++) {
    if (options.shouldStop()) return step
    const feeds = await options.feeds(step)
    const scalars = stepScalars(options, step)
    const { loss, gradNorm, ...outputs } = await executable.run({ ...feeds, ...scalars }, state)
    const report = { loss: first(loss!), gradNorm: first(gradNorm!) }
    // The program itself left the state alone when this is not finite (see adamW).
    const finite = Number.isFinite(report.gradNorm + report.loss)
    skippedInARow = finite ? 0 : skippedInARow + 1
    skipped += finite ? 0 : 1
    await options.onStep({ step: step + 1, ...report, lr: first(scalars.lr!), skipped, outputs })
    if (skippedInARow >= maxSkipped) {
      throw new DivergedError(
        `training: the last ${maxSkipped} steps up to ${step + 1} had no finite gradient (loss ${report.loss}); ` +
          `the last checkpoint is intact, lower train.lr (now ${options.rate.lr}) or train.clipNorm and run again`,
      )
    }
  }
  return steps
}
