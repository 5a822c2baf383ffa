/** @file Any folder of images as a data set. */

import path from 'node:path'
import { countedKinds, type FolderListing, IMAGE_FORMATS, kindsText, scanFolder } from '../images/scan.ts'
import type { DataSplit } from '../images/source.ts'
import { folderLayout, splitGroup } from './folderSplit.ts'
import { openLabelled, type ReaderOptions } from './records.ts'

/** File name without extension and with spaces for `_` and `-`: the best guess where nothing describes an image. */
export const captionOf = (id: string): string =>
  path.posix
    .basename(id)
    .replace(/\.[^.]*$/, '')
    .replace(/[_-]+/g, ' ')
    .trim()

const requireImages = ({ root, files, others, skipped }: FolderListing): void => {
  if (files.length > 0) return
  const kinds = kindsText(countedKinds(others))
  const found = others.length === 0 ? 'no files' : `only files of other kinds (${kinds})`
  const unread = skipped.length > 0 ? ` and ${skipped.length} unreadable subfolders` : ''
  throw new Error(
    `data folder "${root}" holds ${found}${unread}; expected ${IMAGE_FORMATS} files in it or its subfolders, so add some or pass another folder`,
  )
}

/**
 * Opens a folder of images: centre crops, classes from folders, the split from folders called train and validation, val or
 * test, or else from a hash of the paths (see `folderLayout`, `splitGroup`).
 * @throws in one sentence when the folder is missing, not a folder, unreadable, without images or all corrupt.
 */
export const openFolder = async (options: ReaderOptions): Promise<DataSplit> => {
  const listing = await scanFolder(options.path)
  const { root, skipped, others } = listing
  requireImages(listing)
  const { images, split } = folderLayout(listing.files)
  const paths = images.map(({ id }) => path.join(root, id))
  return openLabelled(
    {
      source: 'folder',
      name: path.basename(root),
      place: `data folder "${root}"`,
      expected: `intact ${IMAGE_FORMATS} files`,
      folder: root,
      files: paths,
      names: null,
      labelledBy: 'folder',
      records: images.map((image, i) => ({
        ...image,
        caption: captionOf(image.id),
        group: splitGroup(image.id),
        load: () => paths[i],
      })),
      ...{ split, others, skipped },
    },
    options,
  )
}
