/** @file Opens the data set that a configuration names. */

import { openCifar } from './formats/cifar.ts'
import { openEmoji } from './formats/emoji.ts'
import { openFolder } from './formats/folder.ts'
import { openIdxImages } from './formats/idx.ts'
import { openManifest } from './formats/manifest.ts'
import { openNpyImages } from './formats/npy.ts'
import { openParquetImages } from './formats/parquet.ts'
import type { ReaderOptions } from './formats/records.ts'
import { openWebDataset } from './formats/webdataset.ts'
import type { OnProgress } from './images/packed.ts'
import type { DataSplit } from './images/source.ts'

/** A kind of data. */
interface DataKind {
  /** Reads what is stored at a path; absent for a set that is bundled. */
  readonly open?: (options: ReaderOptions) => Promise<DataSplit>
  /** Classes that data of this kind has in the best-known set, for costs that are told before data is read. */
  readonly usualClasses: number
}

/** All kinds of data, one line each: the bundled emoji and the formats that are read. */
const kinds: Readonly<Record<string, DataKind>> = {
  emoji: { usualClasses: 9 },
  folder: { open: openFolder, usualClasses: 1000 },
  manifest: { open: openManifest, usualClasses: 1000 },
  webdataset: { open: openWebDataset, usualClasses: 1000 },
  parquet: { open: openParquetImages, usualClasses: 1000 },
  cifar: { open: openCifar, usualClasses: 10 },
  idx: { open: openIdxImages, usualClasses: 10 },
  npy: { open: openNpyImages, usualClasses: 1000 },
}

/** Names of all kinds of data. */
export const dataSources: readonly string[] = Object.keys(kinds)

/** Classes that data is taken to have before it is read. */
export const usualClasses = (source: string): number => kinds[source]?.usualClasses ?? 0

/** @throws in one sentence when there is no such kind of data. */
export const expectSource = (source: string): void => {
  if (Object.hasOwn(kinds, source)) return
  const known = dataSources.map((name) => `"${name}"`).join(', ')
  throw new Error(`data source "${source}" is unknown; pass one of ${known}`)
}

/** Which images to train on and at which size. */
export interface DataOptions {
  /** `emoji`: the bundled 3-D emoji; else the format of images of one's own. */
  readonly source: string
  /** The file or folder; refused with `emoji`, required with all others. */
  readonly path?: string | null | undefined
  /** Height and width in pixels, 4 to 2048. */
  readonly size: number
  /** Emoji only: whether to include skin-tone variants. Default true. */
  readonly skinTones?: boolean
  /** Where decoded images are kept; default: UL_CACHE, else `.cache/unified-latents` in the working directory. */
  readonly cacheDir?: string
  /** Not for emoji: largest decoded set in bytes held in memory; default 2 GiB. */
  readonly packBytes?: number
  /** Called while images are decoded for the first time. */
  readonly onProgress?: OnProgress
  /** Once it is aborted, its reason is thrown at once, whatever is being read. */
  readonly signal?: AbortSignal
}

/** Does not wait for work that goes on by itself, such as an image that is being decoded, once a signal is aborted. */
const untilAborted = async <T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> => {
  if (signal === undefined) return work()
  signal.throwIfAborted()
  let leave: () => void = () => undefined
  const aborted = new Promise<never>((_, reject) => {
    leave = () => reject(signal.reason)
    signal.addEventListener('abort', leave, { once: true })
  })
  try {
    return await Promise.race([work(), aborted])
  } finally {
    signal.removeEventListener('abort', leave)
  }
}

/**
 * Opens a data set as training and validation sources.
 * @throws in one sentence when an option does not fit, the data is missing or damaged or the cache cannot be written.
 */
export const openData = async (options: DataOptions): Promise<DataSplit> => {
  const { source, path, size, skinTones, cacheDir, packBytes, onProgress, signal } = options
  if (!Number.isInteger(size) || size < 4 || size > 2048) {
    throw new Error(`data size is ${size}; pass a whole number of pixels from 4 to 2048`)
  }
  if (source === 'emoji') {
    if (path === undefined || path === null)
      return untilAborted(signal, () => openEmoji({ size, skinTones, cacheDir, onProgress, signal }))
    throw new Error(`data source "emoji" takes no path but got "${path}"; pass source "folder" with it`)
  }
  expectSource(source)
  if (!path) {
    const what = source === 'folder' ? 'a folder of images' : 'a file or folder of that format'
    throw new Error(`data source "${source}" has no path; pass the path of ${what}`)
  }
  const { open } = kinds[source]
  return untilAborted(signal, () => open!({ path, size, packBytes, cacheDir, onProgress, signal }))
}
