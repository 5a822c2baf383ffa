/** @file Any folder of pictures as a data set, packed in memory where it fits and decoded on demand where not. */

import { constants } from 'node:buffer'
import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import path from 'node:path'
import { decodePicture, isUndecodable } from './decode.ts'
import { type FolderPicture, folderLayout, splitFolder } from './folderSplit.ts'
import { type OnProgress, openPack } from './packed.ts'
import { packedSource } from './packedSource.ts'
import { type FolderListing, PICTURE_FORMATS, scanFolder } from './scan.ts'
import type { DataSplit, ImageSource, SkippedFile } from './source.ts'
import { streamingSource } from './streaming.ts'

/** Decoded sets up to this many bytes are held in memory: 2 GiB. */
export const DEFAULT_PACK_BYTES: number = 2 ** 31

/** Which folder, and how to read it. */
export interface FolderOptions {
  readonly path: string
  /** Height and width in pixels. */
  readonly size: number
  /** Largest decoded set, in bytes, that is packed; larger ones stream. 0 always streams. */
  readonly packBytes?: number
  readonly cacheDir?: string
  readonly onProgress?: OnProgress
}

/** Sizes and times of the files; the time of change too, since a repaired permission leaves the other alone. */
const fingerprint = async (root: string, pictures: readonly FolderPicture[]): Promise<string> => {
  const hash = createHash('sha256').update(root)
  const block = 64 // files looked up at once
  for (let from = 0; from < pictures.length; from += block) {
    const infos = await Promise.all(
      pictures.slice(from, from + block).map(({ id }) => stat(path.join(root, id)).catch(() => null)),
    )
    for (const info of infos) hash.update(info ? `${info.size},${info.mtimeMs},${info.ctimeMs};` : 'gone;')
  }
  return hash.digest('hex')
}

/** File name without extension and with spaces for `_` and `-`: the best guess where nothing describes a picture. */
const captionOf = (id: string): string =>
  path.posix
    .basename(id)
    .replace(/\.[^.]*$/, '')
    .replace(/[_-]+/g, ' ')
    .trim()

const requirePictures = (listing: FolderListing, pictures: readonly FolderPicture[]): void => {
  if (pictures.length > 0) return
  const { root, others, skipped } = listing
  const found = others === 0 ? 'no files' : `${others} other file${others === 1 ? '' : 's'} but no pictures`
  const unread = skipped.length > 0 ? ` and ${skipped.length} unreadable subfolders` : ''
  throw new Error(
    `data folder "${root}" holds ${found}${unread}; expected ${PICTURE_FORMATS} files in it or its subfolders, so add some or pass another folder`,
  )
}

const allFailed = (root: string, total: number, first: SkippedFile | undefined): Error => {
  const example = first ? ` (first: ${first.file}: ${first.reason})` : ''
  const what = total === 1 ? 'its only picture' : `none of its ${total} pictures`
  return new Error(
    `data folder "${root}": ${total === 1 ? `${what} cannot` : `${what} can`} be decoded${example}; expected intact ${PICTURE_FORMATS} files, so replace them or pass another folder`,
  )
}

/** Names the half that is left without pictures. */
const requireHalves = (
  root: string,
  train: number,
  validation: number,
  validationFolder: string | null,
): void => {
  const empty = train === 0 ? 'train' : validation === 0 ? validationFolder : null
  if (empty === null) return
  throw new Error(
    `data folder "${root}": subfolder ${empty}/ holds no picture that can be decoded; add some, or remove the subfolder to have a tenth held out`,
  )
}

/**
 * Opens a folder of pictures: centre crops, classes from first-level subfolders, the split from `train/` and
 * `validation/`, `val/` or `test/` or else from a hash of the paths (see `folderLayout`, `splitFolder`). Files that
 * cannot be decoded are named in `skipped` and left out (packed) or stood in for (streaming).
 * @throws in one sentence when the folder is missing, not a folder, unreadable, without pictures or all corrupt.
 */
export const openFolder = async (options: FolderOptions): Promise<DataSplit> => {
  const { size, packBytes = DEFAULT_PACK_BYTES } = options
  const listing = await scanFolder(options.path)
  const layout = folderLayout(listing.pictures)
  requirePictures(listing, layout.pictures)
  const bytes = layout.pictures.length * size * size * 3
  const fits = bytes <= Math.min(packBytes, constants.MAX_LENGTH)
  return fits ? openPacked(options, listing, layout) : openStreaming(options, listing, layout)
}

type Layout = ReturnType<typeof folderLayout>

const openPacked = async (
  options: FolderOptions,
  listing: FolderListing,
  layout: Layout,
): Promise<DataSplit> => {
  const { size, cacheDir, onProgress } = options
  const { root } = listing
  const { pictures, classes, validationFolder } = layout
  const pack = await openPack({
    source: 'folder',
    fingerprint: await fingerprint(root, pictures),
    files: pictures.map(({ id }) => ({ id, path: path.join(root, id) })),
    size,
    fit: 'cover',
    cacheDir,
    onProgress,
  })
  if (pack.kept.length === 0) throw allFailed(root, pictures.length, pack.skipped[0])
  const kept = pack.kept.map((at) => pictures[at])
  const { train, validation } = splitFolder(kept, validationFolder)
  requireHalves(root, train.length, validation.length, validationFolder)
  const half = (side: string, rows: readonly number[]): ImageSource => {
    const members = rows.map((row) => ({ row, ...kept[row], caption: captionOf(kept[row].id) }))
    return packedSource({ name: `${path.basename(root)} (${side})`, pack, size, classes, members })
  }
  return {
    train: half('train', train),
    validation: half('validation', validation),
    skipped: [...listing.skipped, ...pack.skipped],
  }
}

const openStreaming = async (
  { size }: FolderOptions,
  listing: FolderListing,
  layout: Layout,
): Promise<DataSplit> => {
  const { root } = listing
  const { pictures, classes, validationFolder } = layout
  const skipped: SkippedFile[] = [...listing.skipped]
  const { train, validation } = splitFolder(pictures, validationFolder)
  requireHalves(root, train.length, validation.length, validationFolder)
  const half = (side: string, rows: readonly number[]): ImageSource => {
    const files = rows.map((row) => {
      const { id, label } = pictures[row]
      return { id, label, path: path.join(root, id), caption: captionOf(id) }
    })
    const name = `${path.basename(root)} (${side})`
    return streamingSource({ name, size, fit: 'cover', classes, files, skipped })
  }
  await requireOneDecodable(root, pictures, size)
  return { train: half('train', train), validation: half('validation', validation), skipped }
}

/** Stops at the first picture that decodes, so it costs one decoding unless the folder is all corrupt. */
const requireOneDecodable = async (
  root: string,
  pictures: readonly FolderPicture[],
  size: number,
): Promise<void> => {
  let first: SkippedFile | undefined
  for (const { id } of pictures) {
    const result = await decodePicture(path.join(root, id), { size, fit: 'cover' })
    if (!isUndecodable(result)) return
    first ??= { file: id, reason: result.reason }
  }
  throw allFailed(root, pictures.length, first)
}
