/** @file The data of a run, and the notes that are made while it is opened. */
import type { Config } from '../config/schema.ts'
import type { DataSplit } from '../data/images/source.ts'
import { type DataOptions, openData } from '../data/open.ts'
import { summaryLines } from '../data/summary.ts'
import { atTenths, type Listener } from '../runs/events.ts'
import { expectDataOf, type RunInfo } from '../runs/runDirectory.ts'
import { infoOf } from './dataInfo.ts'

/** `openData`, with a note at every tenth of the images that are decoded for the first time, and then of what was found. */
export const openWithNotes = async (options: DataOptions, listen: Listener): Promise<DataSplit> => {
  const onProgress = atTenths((percent, total) =>
    listen({
      event: 'note',
      text: `data: decoding ${total} ${(options.frames ?? 1) > 1 ? 'clips' : 'images'} once, ${percent}%`,
    }),
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

/**
 * The data that a run was trained on.
 * @throws ConfigError when it is not there any more as it was: labels and figures would mean something else.
 */
export const openTrainedData = async (
  dir: string,
  { config, info }: { readonly config: Config; readonly info: RunInfo },
  watched: Watched = {},
): Promise<DataSplit> => {
  const data = await openRunData(config, watched)
  expectDataOf(dir, info, infoOf(data), 'or train on it as it is now')
  return data
}

/** The data of a configuration. */
export const openRunData = (
  { data }: Config,
  { listen = () => undefined, signal }: Watched = {},
): Promise<DataSplit> => {
  const { source, path, size, frames, stride, skinTones } = data
  return openWithNotes({ source, path, size, frames, stride, skinTones, signal }, listen)
}
