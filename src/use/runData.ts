/** @file The data of a run, and the notes that are made while it is opened. */
import type { Config } from '../config/schema.ts'
import type { DataSplit } from '../data/images/source.ts'
import { type DataOptions, openData } from '../data/open.ts'
import { summaryLines } from '../data/summary.ts'
import { atTenths, type Listener } from '../runs/events.ts'

/** `openData`, with a note at every tenth of the images that are decoded for the first time, and then of what was found. */
export const openWithNotes = async (options: DataOptions, listen: Listener): Promise<DataSplit> => {
  const onProgress = atTenths((percent, total) =>
    listen({ event: 'note', text: `data: decoding ${total} images once, ${percent}%` }),
  )
  const data = await openData({ ...options, onProgress })
  for (const text of summaryLines(data)) listen({ event: 'note', text })
  return data
}

/** Whom opening data tells, and what ends it. */
export interface Watched {
  readonly listen?: Listener
  readonly signal?: AbortSignal
}

/** The data of a configuration. */
export const openRunData = (
  { data }: Config,
  { listen = () => undefined, signal }: Watched = {},
): Promise<DataSplit> => {
  const { source, path, size, skinTones } = data
  return openWithNotes({ source, path, size, skinTones, signal }, listen)
}
