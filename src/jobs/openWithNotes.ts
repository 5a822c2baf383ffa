/** @file Opens a data set and tells how far its decoding is. */
import { type DataOptions, openData } from '../data/open.ts'
import type { DataSplit } from '../data/source.ts'
import type { Listener } from './events.ts'

/** `openData`, with a note at every tenth of the pictures that are decoded for the first time. */
export const openWithNotes = (options: DataOptions, listen: Listener): Promise<DataSplit> => {
  let shown = -1
  const onProgress = (done: number, total: number): void => {
    const percent = Math.floor((10 * done) / total) * 10
    if (percent > shown) listen({ event: 'note', text: `data: decoding ${total} pictures once, ${percent}%` })
    shown = Math.max(shown, percent)
  }
  return openData({ ...options, onProgress })
}
