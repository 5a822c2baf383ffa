/** @file Why a clip cannot be used, and which of its frames are wanted. */

/** A fault of a clip, in words that follow its name: it is skipped, and others are read. */
export class ClipFault extends Error {}

/** Frames of a clip, counted from 0: `first`, `first + stride` … */
export interface FrameRange {
  readonly first: number
  /** Frames from one to the next; 1 takes all. */
  readonly stride: number
  /** How many at most. */
  readonly count: number
}
