/** @file What the data gave to a run: run.json. */

/** What a run knows besides its configuration. */
export interface RunInfo {
  readonly version: 1
  /** Class names, by label. */
  readonly classes: readonly string[]
  readonly trainCount: number
  readonly validationCount: number
  /** Hash of names and labels of the training images in their order; older runs lack it. */
  readonly pictures?: string
  /** Files that could not be used, with the reason. */
  readonly skipped: readonly string[]
}
