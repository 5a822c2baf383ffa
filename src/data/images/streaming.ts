/** @file An image source that decodes its images whenever they are read, for sets too large to hold in memory. */

import { decodeImage, type Fit, isUndecodable } from './decode.ts'
import type { ImageItem } from './packed.ts'
import { type ImageSource, type SkippedFile, sourceFingerprint } from './source.ts'

/** An image of a streaming source. */
export interface StreamedImage extends ImageItem {
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
  readonly images: readonly StreamedImage[]
  /** Images that cannot be decoded are added here, once each. */
  readonly skipped: SkippedFile[]
}

/**
 * A source that decodes on `read`. For an image that cannot be decoded the next one of the same class stands in (so
 * that the label stays true), in list order and around its end: which one depends on the images alone.
 * Its `read` rejects when an index is not one of the source's, a container is damaged or nothing of a class can be
 * decoded.
 */
export const streamingSource = (options: StreamingOptions): ImageSource => {
  const { name, fingerprint, size, fit, classes, images, skipped } = options
  const bad = new Set<number>()

  const decodeOne = async (index: number): Promise<Uint8Array> => {
    if (!images[index]) throw new Error(`${name}: no image ${index}; pass 0 to ${images.length - 1}`)
    const { label } = images[index]
    for (let k = 0; k < images.length; k++) {
      const at = (index + k) % images.length
      if (images[at].label !== label || bad.has(at)) continue
      const pixels = await decodeImage(await images[at].load(), { size, fit })
      if (!isUndecodable(pixels)) return pixels
      // another read may have met the same one meanwhile
      if (!bad.has(at)) skipped.push({ file: images[at].id, reason: pixels.reason })
      bad.add(at)
    }
    const what = label < 0 ? 'image' : `image of class "${classes[label]}"`
    throw new Error(`${name}: no ${what} can be decoded any more; see the skipped files and replace them`)
  }

  return {
    name,
    count: images.length,
    size,
    fingerprint: sourceFingerprint(name, fingerprint, size, images),
    classes,
    label: (index) => images[index].label,
    caption: (index) => images[index].caption,
    id: (index) => images[index].id,
    read: async (indices) => {
      const decoded = await Promise.all(indices.map(decodeOne))
      const out = new Uint8Array(indices.length * size * size * 3)
      for (const [i, pixels] of decoded.entries()) out.set(pixels, i * size * size * 3)
      return out
    },
  }
}
