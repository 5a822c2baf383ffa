/** @file When a stage saves its state, and how: in one process or several, of which the leader writes. */
import { expectSame, leaderOnly } from '../distributed/collective.ts'
import { isFiniteTensor } from '../engine/host/tensor.ts'
import type { DeviceState } from '../engine/runtime/runtime.ts'
import type { Json } from '../runs/checkpointFormat.ts'
import { stageHash } from '../runs/configHash.ts'
import { bytesOf } from '../stored/safetensorsHeader.ts'
import { sha256 } from '../stored/sha256.ts'
import { DivergedError, type StepReport } from '../train/loop.ts'
import { type Layout, readState, type SlabTensors } from '../train/state.ts'
import type { StageContext } from './stage.ts'

/**
 * When to save: at intervals, when more is wanted, and at the end; never while updates are skipped, as what is then saved may be what they fail
 * on, and would take the place of an older state that is sound. What was due meanwhile is made up for by the next update.
 * @param from the step that is saved
 */
const checkpointsDue = (from: number, every: number, wantsSave: () => boolean) => {
  let [saved, isDue, isSkipping] = [from, false, false]
  return {
    /** Whether to save after a step. */
    after: ({ step, skippedInARow }: StepReport, last: boolean): boolean => {
      isSkipping = skippedInARow > 0
      isDue ||= step % every === 0 || last || wantsSave()
      return isDue && !isSkipping
    },
    isSkipping: () => isSkipping,
    /** The last step that was saved. */
    saved: () => saved,
    done: (step: number): void => {
      saved = step
      isDue = false
    },
  }
}

/** @throws DivergedError naming the first tensor of a state that is not finite */
const expectFinite = (tensors: SlabTensors, step: number): void => {
  const broken = Object.keys(tensors).find((name) => !isFiniteTensor(tensors[name]))
  if (broken !== undefined)
    throw new DivergedError(`after step ${step} '${broken}' holds numbers that are not finite`)
}

/** Hash of what a state holds, name by name. */
const hashOf = (tensors: SlabTensors): string =>
  sha256(...Object.entries(tensors).flatMap(([name, tensor]) => [name, bytesOf(tensor)]))

/** The state that is saved. */
export interface Saved {
  readonly stage: string
  readonly batch: number
  readonly layout: Layout
  readonly state: DeviceState
  /** Steps done at the start. */
  readonly from: number
  /** See OpenStage. */
  readonly trainedOn: string | undefined
  /** What else is kept, as it is then. */
  extra(): Readonly<Record<string, Json>>
  /** Called before a checkpoint is written. */
  beforeSaving(): Promise<void>
}

/** The checkpoints of a stage. */
export interface Checkpoints {
  /** Saves after a step where that is due. @param last whether it is the stage's last one */
  after(report: StepReport, last: boolean): Promise<void>
  /** Saves the state after the last step that was taken, if it is not saved. */
  save(step: number): Promise<void>
  /** Whether the last updates were skipped, so that nothing is saved. */
  isSkipping(): boolean
  /** The last step that was saved. */
  saved(): number
}

/** Opens a stage's checkpoints. @throws at a save when the processes hold different states, or a state is not finite */
export const openCheckpoints = (context: StageContext, of: Saved): Checkpoints => {
  const { config, store, together } = context
  const { stage, layout, state, trainedOn } = of
  const { checkpointEvery, keepCheckpoints } = config.train
  const due = checkpointsDue(of.from, checkpointEvery, store.wantsSave)
  const save = async (step: number): Promise<void> => {
    const tensors = await readState(layout, state)
    expectFinite(tensors, step)
    if (together.size > 1)
      await expectSame(together, `${stage}: the state after step ${step}`, hashOf(tensors))
    const meta = {
      images: step * of.batch,
      configHash: stageHash(config, stage),
      ...(trainedOn === undefined ? {} : { trainedOn }),
      ...of.extra(),
    }
    await leaderOnly(together, async () => {
      await of.beforeSaving()
      await store.save({ stage, step, tensors, meta }, keepCheckpoints)
    })
    due.done(step)
  }
  return {
    after: async (report, last) => {
      if (due.after(report, last)) await save(report.step)
    },
    save: async (step) => {
      if (step > due.saved()) await save(step)
    },
    isSkipping: due.isSkipping,
    saved: due.saved,
  }
}
