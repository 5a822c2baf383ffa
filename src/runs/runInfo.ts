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

/** run.json; what a newer version keeps besides stays. */
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

/** Names in a message at most. */
const namesSaid = 5

const said = (names: readonly string[]): string =>
  names.length > namesSaid
    ? `${names.slice(0, namesSaid).join(', ')} and ${names.length - namesSaid} more`
    : names.join(', ')

/** What differs between the data of a run and other data, in words and by name; null when nothing does. */
export const dataDifference = (then: RunInfo, now: RunInfo): string | null => {
  const without = (names: readonly string[], others: readonly string[]): string => {
    const known = new Set(others)
    return said(names.filter((name) => !known.has(name)))
  }
  const [added, gone] = [without(now.classes, then.classes), without(then.classes, now.classes)]
  if (added !== '' || gone !== '') {
    const parts = [added === '' ? '' : `${added} new`, gone === '' ? '' : `${gone} gone`]
    return `of its classes ${parts.filter((part) => part !== '').join(', ')}`
  }
  if (JSON.stringify(then.classes) !== JSON.stringify(now.classes)) return 'its classes in another order'
  if (then.trainCount !== now.trainCount)
    return `training images ${then.trainCount} then, ${now.trainCount} now`
  const [a, b] = [then.pictures, now.pictures]
  return a !== undefined && b !== undefined && a !== b ? 'other names or labels of its training images' : null
}
