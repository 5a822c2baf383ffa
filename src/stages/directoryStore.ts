/** @file A run's directory on the disk as where its stages keep what they leave: checkpoints, both logs, drawings. */
import { join } from 'node:path'
import { writeFileAtomic } from '../files/atomic.ts'
import type { Lock } from '../files/lock.ts'
import { pairGrid } from '../report/grid.ts'
import { loadNewest, saveCheckpoint } from '../runs/checkpoint.ts'
import { runFiles, runFolders } from '../runs/files.ts'
import { openMetrics } from '../runs/metrics.ts'
import type { Progress } from '../runs/progress.ts'
import { dropDamagedEvents, openEvents } from '../runs/tensorboard.ts'
import type { RunStore, StepLog } from './store.ts'

/** Writes the metrics of a stage's steps to the run's log and to TensorBoard's. */
const openLog = (dir: string, resumedAt: Progress, warn: (text: string) => void): StepLog => {
  const { stage, step: from } = resumedAt
  const metrics = openMetrics(join(dir, runFiles.metrics), resumedAt, warn)
  // A directory for each stage: a resume of one makes TensorBoard forget steps of everything in its directory.
  const directory = join(dir, runFolders.tensorboard, stage)
  dropDamagedEvents(directory, warn)
  const events = openEvents(directory, { firstStep: from + 1 })
  return {
    record: async (step, values) => {
      metrics.append({ stage, step, ...values })
      for (const [name, value] of Object.entries(values)) events.scalar(`${stage}/${name}`, value, step)
    },
    sync: async () => {
      metrics.sync()
      events.sync()
    },
    close: async () => {
      metrics.close()
      events.close()
    },
  }
}

/**
 * The store of a run's directory.
 * @param writer what makes this process the one that writes there
 * @param warn told of damage that is passed over
 */
export const directoryStore = (
  dir: string,
  writer: Pick<Lock, 'expectHeld'>,
  warn: (text: string) => void,
): RunStore => ({
  newest: async (stage, take) => loadNewest(dir, stage, { take }),
  save: async (checkpoint, keepLast) => {
    writer.expectHeld() // a removed directory is not made again with half of what it held
    saveCheckpoint(dir, checkpoint, keepLast)
  },
  wantsSave: () => false,
  openLog: async (resumedAt) => openLog(dir, resumedAt, warn),
  draw: async (name, originals, reconstructions) =>
    writeFileAtomic(
      join(dir, runFolders.samples, `${name}.png`),
      await pairGrid(originals, reconstructions, 8, { scale: 2 }),
    ),
})
