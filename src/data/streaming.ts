/** @file An image source that decodes its files whenever they are read, for sets too large to hold in memory. */

import { decodePicture, type Fit, isUndecodable } from './decode.ts'
import type { PictureFile } from './packed.ts'
import type { ImageSource, SkippedFile } from './source.ts'

/** A file of a streaming source. */
export interface StreamedFile extends PictureFile {
  readonly caption: string
  /** Class index, −1 without classes. */
  readonly label: number
}

/** What to stream. */
export interface StreamingOptions {
  readonly name: string
  /** Height and width in pixels. */
  readonly size: number
  readonly fit: Fit
  readonly classes: readonly string[]
  readonly files: readonly StreamedFile[]
  /** Files that cannot be decoded are added here, once each. */
  readonly skipped: SkippedFile[]
}

/**
 * A source that decodes on `read`. For a file that cannot be decoded the next one of the same class stands in (so
 * that the label stays true), in list order and around its end: which one depends on the files alone.
 * Its `read` rejects when an index is not one of the source's or nothing of a class can be decoded.
 */
export const streamingSource = (options: StreamingOptions): ImageSource => {
  const { name, size, fit, classes, files, skipped } = options
  const bad = new Set<number>()

  const decodeOne = async (index: number): Promise<Uint8Array> => {
    if (!files[index]) throw new Error(`${name}: no picture ${index}; pass 0 to ${files.length - 1}`)
    const { label } = files[index]
    for (let k = 0; k < files.length; k++) {
      const at = (index + k) % files.length
      if (files[at].label !== label || bad.has(at)) continue
      const pixels = await decodePicture(files[at].path, { size, fit })
      if (!isUndecodable(pixels)) return pixels
      // another read may have met the same file meanwhile
      if (!bad.has(at)) skipped.push({ file: files[at].id, reason: pixels.reason })
      bad.add(at)
    }
    const what = label < 0 ? 'picture' : `picture of class "${classes[label]}"`
    throw new Error(`${name}: no ${what} can be decoded any more; see the skipped files and replace them`)
  }

  return {
    name,
    count: files.length,
    size,
    classes,
    label: (index) => files[index].label,
    caption: (index) => files[index].caption,
    id: (index) => files[index].id,
    read: async (indices) => {
      const pictures = await Promise.all(indices.map(decodeOne))
      const out = new Uint8Array(indices.length * size * size * 3)
      for (const [i, pixels] of pictures.entries()) out.set(pixels, i * size * size * 3)
      return out
    },
  }
}
