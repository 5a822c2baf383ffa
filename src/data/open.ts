/** @file Opens the data set that a configuration names. */

import { openCifar } from './formats/cifar.ts'
import { openEmoji } from './formats/emoji.ts'
import { openFolder } from './formats/folder.ts'
import { openIdxImages } from './formats/idx.ts'
import { openNpyImages } from './formats/npy.ts'
import { openParquetImages } from './formats/parquet.ts'
import type { ReaderOptions } from './formats/records.ts'
import { openWebDataset } from './formats/webdataset.ts'
import type { OnProgress } from './images/packed.ts'
import type { DataSplit } from './images/source.ts'

/** How one's own images may be stored. */
type StoredSource = 'folder' | 'webdataset' | 'parquet' | 'cifar' | 'idx' | 'npy'

/** The kinds of data: the bundled emoji and the formats that are read. */
export type DataSource = 'emoji' | StoredSource

/** Who reads which format. */
const readers: Readonly<Record<StoredSource, (options: ReaderOptions) => Promise<DataSplit>>> = {
  folder: openFolder,
  webdataset: openWebDataset,
  parquet: openParquetImages,
  cifar: openCifar,
  idx: openIdxImages,
  npy: openNpyImages,
}

/** Which images to train on and at which size. */
export interface DataOptions {
  /** `emoji`: the bundled 3-D emoji; else the format of images of one's own. */
  readonly source: DataSource
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
}

/**
 * Opens a data set as training and validation sources.
 * @throws in one sentence when an option does not fit, the data is missing or damaged or the cache cannot be written.
 */
export const openData = async (options: DataOptions): Promise<DataSplit> => {
  const { source, path, size, skinTones, cacheDir, packBytes, onProgress } = options
  if (!Number.isInteger(size) || size < 4 || size > 2048) {
    throw new Error(`data size is ${size}; pass a whole number of pixels from 4 to 2048`)
  }
  if (source === 'emoji') {
    if (path === undefined || path === null) return openEmoji({ size, skinTones, cacheDir, onProgress })
    throw new Error(`data source "emoji" takes no path but got "${path}"; pass source "folder" with it`)
  }
  if (!Object.hasOwn(readers, source)) {
    const known = ['emoji', ...Object.keys(readers)].map((name) => `"${name}"`).join(', ')
    throw new Error(`data source "${String(source)}" is unknown; pass one of ${known}`)
  }
  if (!path) {
    const what = source === 'folder' ? 'a folder of images' : 'a file or folder of that format'
    throw new Error(`data source "${source}" has no path; pass the path of ${what}`)
  }
  return readers[source]({ path, size, packBytes, cacheDir, onProgress })
}
