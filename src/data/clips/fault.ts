/** @file Where a clip lies, why it cannot be used, and which of its frames are wanted. */

import type { FilePart } from '../images/packed.ts'

/** A file or a folder of frames, or a part of a file. */
export interface ClipPlace {
  readonly file: string
  readonly within?: FilePart | undefined
}

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
