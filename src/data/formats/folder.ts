/** @file Any folder of images as a data set. */

import path from 'node:path'
import { type FolderListing, IMAGE_FORMATS, scanFolder } from '../images/scan.ts'
import type { DataSplit } from '../images/source.ts'
import { folderLayout, splitGroup } from './folderSplit.ts'
import { filesFingerprint, openRecords, type ReaderOptions } from './records.ts'

/** File name without extension and with spaces for `_` and `-`: the best guess where nothing describes an image. */
const captionOf = (id: string): string =>
  path.posix
    .basename(id)
    .replace(/\.[^.]*$/, '')
    .replace(/[_-]+/g, ' ')
    .trim()

const requireImages = ({ root, others, skipped }: FolderListing, count: number): void => {
  if (count > 0) return
  const found = others === 0 ? 'no files' : `${others} other file${others === 1 ? '' : 's'} but no images`
  const unread = skipped.length > 0 ? ` and ${skipped.length} unreadable subfolders` : ''
  throw new Error(
    `data folder "${root}" holds ${found}${unread}; expected ${IMAGE_FORMATS} files in it or its subfolders, so add some or pass another folder`,
  )
}

/**
 * Opens a folder of images: centre crops, classes from first-level subfolders, the split from `train/` and
 * `validation/`, `val/` or `test/` or else from a hash of the paths (see `folderLayout`, `splitGroup`).
 * @throws in one sentence when the folder is missing, not a folder, unreadable, without images or all corrupt.
 */
export const openFolder = async (options: ReaderOptions): Promise<DataSplit> => {
  const listing = await scanFolder(options.path)
  const { root, files, skipped } = listing
  const { images, classes, validationFolder } = folderLayout(files)
  requireImages(listing, images.length)
  const paths = images.map(({ id }) => path.join(root, id))
  return openRecords(
    {
      source: 'folder',
      name: path.basename(root),
      place: `data folder "${root}"`,
      expected: `intact ${IMAGE_FORMATS} files`,
      halves: { train: 'subfolder train/', validation: `subfolder ${validationFolder}/` },
      fingerprint: await filesFingerprint(root, paths),
      classes,
      records: images.map((image, i) => ({
        ...image,
        caption: captionOf(image.id),
        group: splitGroup(image.id),
        load: () => paths[i],
      })),
      skipped,
    },
    options,
  )
}
