/** @file Opens the data set that a configuration names. */

import { openEmoji } from './emoji.ts'
import { openFolder } from './folder.ts'
import type { OnProgress } from './packed.ts'
import type { DataSplit } from './source.ts'

/** Which pictures to train on and at which size. */
export interface DataOptions {
  /** `emoji`: the bundled 3-D emoji; `folder`: pictures of one's own. */
  readonly source: 'emoji' | 'folder'
  /** The folder; required with `folder`, refused with `emoji`. */
  readonly path?: string
  /** Height and width in pixels, 4 to 2048. */
  readonly size: number
  /** Emoji only: whether to include skin-tone variants. Default true. */
  readonly skinTones?: boolean
  /** Where decoded pictures are kept; default: UL_CACHE, else `.cache/unified-latents` in the working directory. */
  readonly cacheDir?: string
  /** Folder only: largest decoded set in bytes held in memory; default 2 GiB. */
  readonly packBytes?: number
  /** Called while pictures are decoded for the first time. */
  readonly onProgress?: OnProgress
}

/**
 * Opens a data set as training and validation sources.
 * @throws in one sentence when an option does not fit, the data is missing or the cache cannot be written.
 */
export const openData = async (options: DataOptions): Promise<DataSplit> => {
  const { source, size, skinTones, cacheDir, packBytes, onProgress } = options
  if (!Number.isInteger(size) || size < 4 || size > 2048) {
    throw new Error(`data size is ${size}; pass a whole number of pixels from 4 to 2048`)
  }
  switch (source) {
    case 'emoji':
      if (options.path !== undefined) {
        throw new Error(
          `data source "emoji" takes no path but got "${options.path}"; pass source "folder" with it`,
        )
      }
      return openEmoji({ size, skinTones, cacheDir, onProgress })
    case 'folder':
      if (!options.path) {
        throw new Error('data source "folder" has no path; pass the path of a folder of pictures')
      }
      return openFolder({ path: options.path, size, packBytes, cacheDir, onProgress })
    default:
      throw new Error(`data source "${String(source)}" is unknown; pass "emoji" or "folder"`)
  }
}
