/** @file Opens a data set and tells how far its decoding is. */
import { type DataOptions, openData } from '../data/open.ts'
import type { DataSplit } from '../data/source.ts'
import { atTenths, type Listener } from './events.ts'

/** `openData`, with a note at every tenth of the pictures that are decoded for the first time. */
export const openWithNotes = (options: DataOptions, listen: Listener): Promise<DataSplit> => {
  const onProgress = atTenths((percent, total) =>
    listen({ event: 'note', text: `data: decoding ${total} pictures once, ${percent}%` }),
  )
  return openData({ ...options, onProgress })
}
