/** @file Images of a data set, chosen evenly. */
import { readImages } from '../data/batches.ts'
import type { ImageSource } from '../data/images/source.ts'
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
