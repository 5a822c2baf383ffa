/** @file Images for a run: read from files, or chosen evenly from a data set. */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { readImages, toNchw } from '../data/batches.ts'
import { decodeImage, isUndecodable } from '../data/images/decode.ts'
import { countedKinds, IMAGE_FORMATS, type OtherFile, scanFolder, someOf } from '../data/images/scan.ts'
import type { ImageSource, SkippedFile } from '../data/images/source.ts'
import type { ImageSet } from '../method/programs.ts'

/** Up to `count` indices spread evenly over `of`. */
export const evenly = (count: number, of: number): number[] =>
  Array.from({ length: Math.min(count, of) }, (_, i) => Math.floor((i * of) / Math.min(count, of)))

/** Up to `count` images of a source, spread evenly. */
export const evenImages = (source: ImageSource, count: number): ImageSet => {
  const indices = evenly(count, source.count)
  return {
    count: indices.length,
    read: (first, n) => readImages(source, indices.slice(first, first + n)),
  }
}

/** Images of files for a run, in memory only where there are few; else they are decoded when they are read. */
export interface FileImages extends ImageSet {
  /** Of the images, in their order. */
  readonly files: readonly string[]
  readonly skipped: readonly SkippedFile[]
  /** Files of folders that are no images, by kind. */
  readonly ignored: Readonly<Record<string, number>>
}

const expandPath = async (
  given: string,
): Promise<{ readonly files: readonly string[]; readonly others: readonly OtherFile[] }> => {
  const info = await stat(given).catch(() => null)
  if (info === null) throw new Error(`${given}: there is no such file or folder; check the spelling`)
  if (!info.isDirectory()) return { files: [given], others: [] }
  const { files, others } = await scanFolder(given)
  return { files: files.map((name) => join(given, name)), others }
}

/** Bytes of decoded images that are kept: what is more is decoded again when its turn comes. */
const keptBytes = 2 ** 26
/** Images decoded at once. */
const decodedAtOnce = 8

/** An image that was decoded before. @throws when its file has changed since */
const decodedAgain = async (file: string, size: number): Promise<Uint8Array> => {
  const decoded = await decodeImage(file, { size, fit: 'cover' })
  if (!isUndecodable(decoded)) return decoded
  throw new Error(
    `${file}: it could be read before and cannot any more (${decoded.reason}); leave the files alone until this is done`,
  )
}

/**
 * Opens files and folders as the run's images (centre crop, area average): every file is decoded once to see whether it can
 * be.
 * @param signal ends that once it is aborted
 * @throws when nothing at all could be read.
 */
export const openImages = async (
  paths: readonly string[],
  size: number,
  signal?: AbortSignal,
): Promise<FileImages> => {
  const [files, skipped]: [string[], SkippedFile[]] = [[], []]
  const kept: Uint8Array[] = []
  const expanded = await Promise.all(paths.map(expandPath))
  const all = expanded.flatMap((given) => given.files)
  for (let from = 0; from < all.length; from += decodedAtOnce) {
    signal?.throwIfAborted()
    const here = all.slice(from, from + decodedAtOnce)
    const decoded = await Promise.all(here.map((file) => decodeImage(file, { size, fit: 'cover' })))
    for (const [i, image] of decoded.entries()) {
      if (isUndecodable(image)) skipped.push({ file: here[i], reason: image.reason })
      else if (files.push(here[i]) * image.length <= keptBytes) kept.push(image)
    }
  }
  if (files.length === 0) {
    const reason = skipped[0] === undefined ? 'no image files' : `${skipped[0].file}: ${skipped[0].reason}`
    throw new Error(`${someOf(paths)}: nothing could be read (${reason}); give ${IMAGE_FORMATS} files`)
  }
  const pixels = (i: number): Promise<Uint8Array> | Uint8Array => kept[i] ?? decodedAgain(files[i], size)
  return {
    files,
    skipped,
    ignored: countedKinds(expanded.flatMap((given) => given.others)),
    count: files.length,
    read: async (first, n) => {
      const own = await Promise.all(Array.from({ length: n }, (_, i) => pixels(first + i)))
      return toNchw(Buffer.concat(own), { size })
    },
  }
}
