/** @file Any folder of clips as a data set: videos, animations and folders of numbered images. */

import path from 'node:path'
import { inNumberedOrder } from '../clips/numbered.ts'
import {
  byBytes,
  countedKinds,
  type FolderListing,
  kindsText,
  type OtherFile,
  scanFolder,
} from '../images/scan.ts'
import type { DataSplit } from '../images/source.ts'
import { CLIP_ENDINGS, CLIP_FORMATS, openClipRecords } from './clipRecords.ts'
import { captionOf } from './folder.ts'
import { folderLayout, splitGroup } from './folderSplit.ts'
import { openLabelled, type ReaderOptions } from './records.ts'

/** Names of files that are one clip each. */
const CLIP_NAMES = new RegExp(`\\.(${[...CLIP_ENDINGS].join('|')})$`, 'i')

/** Names of images that may be frames. */
const STILL_NAMES = /\.(png|jpe?g|jpe|jfif|avif|tiff?)$/i

/** Clips of a folder, by their paths relative to it: files, and folders whose images are frames. */
interface ClipPaths {
  readonly clips: readonly string[]
  /** Paths of everything that is read. */
  readonly files: readonly string[]
  /** Images that are frames of nothing. */
  readonly loose: readonly OtherFile[]
}

/** Tells the clips among files. PNG files that are no frames are looked at as clips: they may be animated. */
const clipPaths = (files: readonly string[]): ClipPaths => {
  const images = new Map<string, string[]>()
  const single: string[] = []
  for (const file of files) {
    const folder = path.posix.dirname(file)
    const known = images.get(folder)
    if (!STILL_NAMES.test(file)) single.push(file)
    else if (known) known.push(file)
    else images.set(folder, [file])
  }
  const folders: string[] = []
  const loose: OtherFile[] = []
  for (const [folder, members] of images) {
    if (inNumberedOrder(members.map((file) => path.posix.basename(file))) !== null) folders.push(folder)
    else {
      for (const file of members) {
        const kind = path.posix.extname(file).toLowerCase()
        if (kind === '.png') single.push(file)
        else loose.push({ file, kind })
      }
    }
  }
  const isLoose = new Set(loose.map(({ file }) => file))
  return {
    clips: [...single, ...folders].sort(byBytes),
    files: files.filter((file) => !isLoose.has(file)),
    loose,
  }
}

const requireClips = ({
  root,
  skipped,
  others,
}: Pick<FolderListing, 'root' | 'skipped' | 'others'>): Error => {
  const found = others.length === 0 ? 'no files' : `no clip but ${kindsText(countedKinds(others))}`
  const unread = skipped.length > 0 ? ` and ${skipped.length} unreadable subfolders` : ''
  return new Error(
    `data folder "${root}" holds ${found}${unread}; expected ${CLIP_FORMATS} in it or its subfolders, so add some or pass another folder`,
  )
}

/** The clips of a folder. @throws in one sentence when it is missing or unreadable */
export const listClips = async (
  folder: string,
): Promise<ClipPaths & Pick<FolderListing, 'root' | 'skipped' | 'others'>> => {
  const { root, files, others, skipped } = await scanFolder(folder, {
    names: new RegExp(`${CLIP_NAMES.source}|${STILL_NAMES.source}`, 'i'),
    words: CLIP_FORMATS,
  })
  const found = clipPaths(files)
  return { ...found, root, skipped, others: [...others, ...found.loose] }
}

/**
 * Opens a folder of clips: classes from folders, the split from folders called train and validation, val or test, or else from a
 * hash of the paths, as of a folder of images. A folder whose images are told apart by numbers alone is one clip.
 * @throws in one sentence when the folder is missing, unreadable or without clips, ffmpeg is needed and missing, or none of the
 * clips can be decoded.
 */
export const openClips = async (options: ReaderOptions): Promise<DataSplit> => {
  const found = await listClips(options.path)
  const { root, skipped, others } = found
  if (found.clips.length === 0) throw requireClips(found)
  const { images, split } = folderLayout(found.clips)
  return openLabelled(
    {
      ...{ source: 'clips', thing: 'clip', name: path.basename(root), place: `data folder "${root}"` },
      expected: `intact ${CLIP_FORMATS}`,
      folder: root,
      files: found.files.map((file) => path.join(root, file)),
      names: null,
      labelledBy: 'folder',
      records: images.map((image) => ({
        ...image,
        // a folder of frames may be the data folder itself
        id: image.id === '.' ? path.basename(root) : image.id,
        caption: captionOf(image.id === '.' ? path.basename(root) : image.id),
        group: splitGroup(image.id),
        load: () => path.join(root, image.id),
      })),
      ...{ split, others, skipped },
    },
    options,
    openClipRecords,
  )
}
