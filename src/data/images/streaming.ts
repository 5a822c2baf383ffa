/** @file An image source that decodes its pictures whenever they are read, for sets too large to hold in memory. */

import { decodePicture, type Fit, isUndecodable } from './decode.ts'
import type { PictureItem } from './packed.ts'
import { type ImageSource, type SkippedFile, sourceFingerprint } from './source.ts'

/** A picture of a streaming source. */
export interface StreamedPicture extends PictureItem {
  readonly caption: string
  /** Class index, −1 without classes. */
  readonly label: number
}

/** What to stream. */
export interface StreamingOptions {
  readonly name: string
  /** Changes whenever the files change. */
  readonly fingerprint: string
  /** Height and width in pixels. */
  readonly size: number
  readonly fit: Fit
  readonly classes: readonly string[]
  readonly pictures: readonly StreamedPicture[]
  /** Pictures that cannot be decoded are added here, once each. */
  readonly skipped: SkippedFile[]
}

/**
 * A source that decodes on `read`. For a picture that cannot be decoded the next one of the same class stands in (so
 * that the label stays true), in list order and around its end: which one depends on the pictures alone.
 * Its `read` rejects when an index is not one of the source's, a container is damaged or nothing of a class can be
 * decoded.
 */
export const streamingSource = (options: StreamingOptions): ImageSource => {
  const { name, fingerprint, size, fit, classes, pictures, skipped } = options
  const bad = new Set<number>()

  const decodeOne = async (index: number): Promise<Uint8Array> => {
    if (!pictures[index]) throw new Error(`${name}: no picture ${index}; pass 0 to ${pictures.length - 1}`)
    const { label } = pictures[index]
    for (let k = 0; k < pictures.length; k++) {
      const at = (index + k) % pictures.length
      if (pictures[at].label !== label || bad.has(at)) continue
      const pixels = await decodePicture(await pictures[at].load(), { size, fit })
      if (!isUndecodable(pixels)) return pixels
      // another read may have met the same one meanwhile
      if (!bad.has(at)) skipped.push({ file: pictures[at].id, reason: pixels.reason })
      bad.add(at)
    }
    const what = label < 0 ? 'picture' : `picture of class "${classes[label]}"`
    throw new Error(`${name}: no ${what} can be decoded any more; see the skipped files and replace them`)
  }

  return {
    name,
    count: pictures.length,
    size,
    fingerprint: sourceFingerprint(name, fingerprint, size, pictures),
    classes,
    label: (index) => pictures[index].label,
    caption: (index) => pictures[index].caption,
    id: (index) => pictures[index].id,
    read: async (indices) => {
      const decoded = await Promise.all(indices.map(decodeOne))
      const out = new Uint8Array(indices.length * size * size * 3)
      for (const [i, pixels] of decoded.entries()) out.set(pixels, i * size * size * 3)
      return out
    },
  }
}
