/** @file The order of training progress: by stage, then by step. */

/** How far a run has come. */
export interface Progress {
  /** Name of the stage. Names sort, by code units, in the order of training: `stage1`, `stage2`. */
  readonly stage: string
  /** Number of optimiser steps done in the stage. */
  readonly step: number
}

/** Negative when `a` lies before `b`, positive when after, 0 when they are the same step. */
export const compareProgress = (a: Progress, b: Progress): number => {
  if (a.stage !== b.stage) return a.stage < b.stage ? -1 : 1
  return a.step - b.step
}
