/** @file Images for a run: read from files, or chosen evenly from a data set. */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { readImages, toNchw } from '../data/batches.ts'
import { decodeImage, isUndecodable } from '../data/images/decode.ts'
import { IMAGE_FORMATS, scanFolder } from '../data/images/scan.ts'
import type { ImageSource, SkippedFile } from '../data/images/source.ts'
import type { HostTensor } from '../engine/host/tensor.ts'
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

/** Images read from disk for a run. */
export interface LoadedImages {
  readonly files: readonly string[]
  /** [N, 3, H, W] in [−1, 1] */
  readonly images: HostTensor
  readonly skipped: readonly SkippedFile[]
}

const expandPath = async (given: string): Promise<string[]> => {
  const info = await stat(given).catch(() => null)
  if (info === null) throw new Error(`${given}: there is no such file or folder; check the spelling`)
  if (!info.isDirectory()) return [given]
  const { files } = await scanFolder(given)
  return files.map((name) => join(given, name))
}

/**
 * Reads files and folders as the run's images (centre crop, area average).
 * @throws when nothing at all could be read.
 */
export const loadImages = async (paths: readonly string[], size: number): Promise<LoadedImages> => {
  const files: string[] = []
  const pixels: Uint8Array[] = []
  const skipped: SkippedFile[] = []
  for (const file of (await Promise.all(paths.map(expandPath))).flat()) {
    const decoded = await decodeImage(file, { size, fit: 'cover' })
    if (isUndecodable(decoded)) skipped.push({ file, reason: decoded.reason })
    else {
      files.push(file)
      pixels.push(decoded)
    }
  }
  if (files.length === 0) {
    const reason = skipped[0] === undefined ? 'no image files' : `${skipped[0].file}: ${skipped[0].reason}`
    throw new Error(`${paths.join(', ')}: nothing could be read (${reason}); give ${IMAGE_FORMATS} files`)
  }
  return { files, images: toNchw(Buffer.concat(pixels), size), skipped }
}
