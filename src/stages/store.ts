/** @file Where a run keeps what its stages leave: a directory on the disk (directoryStore.ts), or a browser's own files (tab/). */
import type { HostTensor } from '../engine/host/tensor.ts'
import type { Checkpoint, LoadedCheckpoint } from '../runs/checkpointFormat.ts'
import type { Progress } from '../runs/progress.ts'

/** Where metrics of a stage's steps are written. */
export interface StepLog {
  record(step: number, values: Readonly<Record<string, number>>): Promise<void>
  /** Resolves when what was recorded is as safe as checkpoints are. */
  sync(): Promise<void>
  close(): Promise<void>
}

/** A log that keeps nothing: of a process that does not lead. */
export const noLog: StepLog = {
  record: async () => undefined,
  sync: async () => undefined,
  close: async () => undefined,
}

/** What a run keeps. One job writes there at a time. */
export interface RunStore {
  /**
   * The newest checkpoint of a stage that is whole, values included; null where there is none.
   * @param take what is made of its tensors; one that it throws on is passed over
   * @throws when there are checkpoints but none loads, with the reason for each.
   */
  newest<T>(
    stage: string,
    take: (tensors: Record<string, HostTensor>) => T,
  ): Promise<LoadedCheckpoint<T> | null>
  /** Saves a checkpoint, whole or not at all, and then removes older ones of its stage so that `keepLast` remain. */
  save(checkpoint: Checkpoint, keepLast: number): Promise<void>
  /** Whether a checkpoint is wanted besides those at intervals of steps; the same in every process. */
  wantsSave(): boolean
  /** Opens the log of a stage that goes on after a step; lines of later steps are dropped, as they are written again. */
  openLog(resumedAt: Progress): Promise<StepLog>
  /** Draws images [N, 3, H, W], or clips, in −1..1 above what became of them. @param name of the drawing, without ending */
  draw(name: string, originals: HostTensor, reconstructions: HostTensor): Promise<void>
}
