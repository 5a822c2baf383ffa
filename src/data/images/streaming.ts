/** @file A source that decodes its images or clips whenever they are read, for sets too large to hold in memory. */

import { isUndecodable, type Undecodable } from './decode.ts'
import type { ImageItem } from './packed.ts'
import { type ImageSource, type SkippedFile, sourceFingerprint } from './source.ts'

/** An image or clip of a streaming source. */
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
  /** Frames of a clip; absent for images. */
  readonly frames?: number
  /** Decodes one: [size, size, 3], of a clip the frames that a window says, [frames, size, size, 3]. */
  readonly decode: (image: StreamedImage, window: number) => Promise<Uint8Array | Undecodable>
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
  const { name, fingerprint, size, frames, decode, classes, images, skipped } = options
  const what = frames === undefined ? 'image' : 'clip'
  const bad = new Set<number>()

  const decodeOne = async (index: number, window: number): Promise<Uint8Array> => {
    if (!images[index]) throw new Error(`${name}: no ${what} ${index}; pass 0 to ${images.length - 1}`)
    const { label } = images[index]
    for (let k = 0; k < images.length; k++) {
      const at = (index + k) % images.length
      if (images[at].label !== label || bad.has(at)) continue
      const pixels = await decode(images[at], window)
      if (!isUndecodable(pixels)) return pixels
      // another read may have met the same one meanwhile
      if (!bad.has(at)) skipped.push({ file: images[at].id, reason: pixels.reason })
      bad.add(at)
    }
    const sought = label < 0 ? what : `${what} of class "${classes[label]}"`
    throw new Error(`${name}: no ${sought} can be decoded any more; see the skipped files and replace them`)
  }

  return {
    name,
    count: images.length,
    size,
    ...(frames === undefined ? {} : { frames }),
    fingerprint: sourceFingerprint(name, fingerprint, size, images),
    classes,
    label: (index) => images[index].label,
    caption: (index) => images[index].caption,
    id: (index) => images[index].id,
    read: async (indices, windows = []) => {
      const decoded = await Promise.all(indices.map((index, i) => decodeOne(index, windows[i] ?? 0)))
      const each = (frames ?? 1) * size * size * 3
      const out = new Uint8Array(indices.length * each)
      for (const [i, pixels] of decoded.entries()) out.set(pixels, i * each)
      return out
    },
  }
}
