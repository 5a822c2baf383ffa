/** @file What the trainer knows of a data set: a numbered list of square 8-bit images or clips with labels and captions. */

import { sha256 } from '../../stored/sha256.ts'

/** An image that could not be used, with the reason in words. */
export interface SkippedFile {
  readonly file: string
  readonly reason: string
}

/** A finite, numbered set of square RGB images, or of clips of equally many frames. `read` is safe to call several times at once. */
export interface ImageSource {
  /** Name for logs and reports, for example `emoji (train)`. */
  readonly name: string
  /** Number of images. */
  readonly count: number
  /** Height and width in pixels. */
  readonly size: number
  /** Frames of a clip; absent for images. */
  readonly frames?: number
  /** Changes whenever pixels, order or labels may have changed: what is derived from the images is stored under it. */
  readonly fingerprint: string
  /** Class names; empty when the data has none. */
  readonly classes: readonly string[]
  /** Class index of image `index`, or −1 when the data has no classes. */
  label(index: number): number
  /** One-line description of image `index`; the empty string when unknown. */
  caption(index: number): string
  /** Stable name of image `index`: path below the root, code points, or container and key or number in it. */
  id(index: number): string
  /**
   * Pixels of the given images, [n, size, size, 3] row-major, 0..255; of clips [n, frames, size, size, 3].
   * @param windows numbers from 0 to below 1, one for each clip: where in its length the frames begin that are read; at its
   * beginning when left out. Images have none.
   */
  read(indices: readonly number[], windows?: readonly number[]): Promise<Uint8Array>
}

/** What was found on the disk, and how classes and split were decided. */
export interface DataSummary {
  /** Files that were read, or that their records lie in. */
  readonly files: number
  /** Files that were not read, by kind, as `.txt` or `pipe`. */
  readonly ignored: Readonly<Record<string, number>>
  /** How the classes were decided, in words. */
  readonly classes: string
  /** How the split was decided, in words. */
  readonly split: string
}

/** A data set split so that no near-duplicate of a validation image is trained on. */
export interface DataSplit {
  readonly train: ImageSource
  readonly validation: ImageSource
  /** Images that could not be decoded or used; grows while a streaming source meets them. */
  readonly skipped: readonly SkippedFile[]
  readonly summary: DataSummary
}

/** Names and labels, each behind a zero. */
const listed = (images: readonly { readonly id: string; readonly label: number }[]): string =>
  images.map(({ id, label }) => `\0${id}\0${label}`).join('')

/** Hash of names and labels of all images in their order: the same wherever the files lie, unlike the fingerprint. */
export const imagesHash = (source: Pick<ImageSource, 'count' | 'id' | 'label'>): string => {
  const images = Array.from({ length: source.count }, (_, i) => ({
    id: source.id(i),
    label: source.label(i),
  }))
  return sha256(listed(images)).slice(0, 16)
}

/** `ImageSource.fingerprint` from the files' own fingerprint and what a source takes of them. */
export const sourceFingerprint = (
  name: string,
  files: string,
  size: number,
  images: readonly { readonly id: string; readonly label: number }[],
): string => sha256(JSON.stringify([name, files, size]), listed(images))
