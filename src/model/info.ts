/** @file What the data gave to a run: run.json. */
import { z } from 'zod'

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

/** run.json */
export const infoSchema: z.ZodType<RunInfo> = z.looseObject({
  version: z.literal(1),
  classes: z.array(z.string()),
  trainCount: z.number(),
  validationCount: z.number(),
  pictures: z.string().exactOptional(),
  skipped: z.array(z.string()),
})

/** run.json as text. */
export const showRunInfo = (info: RunInfo): string => `${JSON.stringify(info, null, 2)}\n`
