/** @file Opens the data set that a configuration names. */

import { openCifar } from './formats/cifar.ts'
import { openClips } from './formats/clips.ts'
import { openEmoji } from './formats/emoji.ts'
import { openFolder } from './formats/folder.ts'
import { openIdxImages } from './formats/idx.ts'
import { openKinetics } from './formats/kinetics.ts'
import { openManifest } from './formats/manifest.ts'
import { openMoving } from './formats/moving.ts'
import { openNpyImages } from './formats/npy.ts'
import { openParquetImages } from './formats/parquet.ts'
import type { ReaderOptions } from './formats/records.ts'
import { openWebDataset } from './formats/webdataset.ts'
import type { OnProgress } from './images/packed.ts'
import type { DataSplit } from './images/source.ts'

export { isMovingSource, type MovingSource } from './formats/moving.ts'
export {
  type MovingScene,
  type MovingSprite,
  type Place,
  placesAt,
  renderFrame,
} from './formats/movingScene.ts'
export type { Sprite } from './formats/sprites.ts'

/** What a kind of data is opened with. */
type KindOptions = ReaderOptions & Pick<DataOptions, 'skinTones'> & { readonly frames: number }

/** A kind of data. */
interface DataKind {
  readonly open: (options: KindOptions) => Promise<DataSplit>
  /** What its path names, in words; absent for a set that is bundled. */
  readonly path?: string
  /** Whether it holds clips only, or clips too, where frames are not 1; else still images. */
  readonly clips?: 'only' | 'too'
  /** Classes that data of this kind has in the best-known set, for costs that are told before data is read. */
  readonly usualClasses: number
}

/** Frames of a clip at most. */
const MOST_FRAMES = 4096

const inThatFormat = 'a file or folder of that format'

/** All kinds of data, one line each: the bundled sets and the formats that are read. */
const kinds: Readonly<Record<string, DataKind>> = {
  emoji: { open: openEmoji, usualClasses: 9 },
  folder: { open: openFolder, path: 'a folder of images', usualClasses: 1000 },
  manifest: { open: openManifest, path: inThatFormat, usualClasses: 1000 },
  webdataset: { open: openWebDataset, path: inThatFormat, clips: 'too', usualClasses: 1000 },
  parquet: { open: openParquetImages, path: inThatFormat, usualClasses: 1000 },
  cifar: { open: openCifar, path: inThatFormat, usualClasses: 10 },
  idx: { open: openIdxImages, path: inThatFormat, usualClasses: 10 },
  npy: { open: openNpyImages, path: inThatFormat, usualClasses: 1000 },
  moving: { open: openMoving, clips: 'only', usualClasses: 9 },
  clips: { open: openClips, path: 'a folder of clips', clips: 'only', usualClasses: 400 },
  kinetics: { open: openKinetics, path: 'a folder of lists and videos', clips: 'only', usualClasses: 600 },
}

/** Names of all kinds of data. */
export const dataSources: readonly string[] = Object.keys(kinds)

/** Classes that data is taken to have before it is read. */
export const usualClasses = (source: string): number => kinds[source]?.usualClasses ?? 0

/** What the path of a kind of data names, in words; undefined for a set that is bundled and takes none. */
export const pathWords = (source: string): string | undefined => kinds[source]?.path

/** Whether a kind of data holds nothing but clips. */
export const hasClips = (source: string): boolean => kinds[source]?.clips === 'only'

/** @throws in one sentence when there is no such kind of data. */
export const expectSource = (source: string): void => {
  if (Object.hasOwn(kinds, source)) return
  const known = dataSources.map((name) => `"${name}"`).join(', ')
  throw new Error(`data source "${source}" is unknown; pass one of ${known}`)
}

/** @throws in one sentence when a kind of data does not take a stride. */
export const expectStride = (source: string, stride: number): void => {
  if (!Number.isInteger(stride) || stride < 1 || stride > MOST_FRAMES)
    throw new Error(`data stride is ${stride}; pass a whole number of frames from 1 to ${MOST_FRAMES}`)
  const { clips, path } = kinds[source]
  if (stride === 1 || (clips !== undefined && path !== undefined)) return
  throw new Error(`data source "${source}" takes no stride, but stride is ${stride}; leave it out`)
}

/** @throws in one sentence when a kind of data has clips and frames are one, or it has images and they are not. */
export const expectFrames = (source: string, frames: number): void => {
  const { clips } = kinds[source]
  if (frames === 1 && clips !== 'only') return
  if (clips !== undefined) {
    if (Number.isInteger(frames) && frames >= 2 && frames <= MOST_FRAMES) return
    throw new Error(
      `data source "${source}" has clips, but frames is ${frames}; pass a whole number from 2 to ${MOST_FRAMES}`,
    )
  }
  const others = dataSources.filter((name) => kinds[name].clips !== undefined).map((name) => `"${name}"`)
  throw new Error(
    `data source "${source}" has still images, but frames is ${frames}; pass 1, or a source of clips (${others.join(', ')})`,
  )
}

/** Which images to train on and at which size. */
export interface DataOptions {
  /** `emoji`, `moving`: the bundled 3-D emoji, and clips in which they move; else the format of images of one's own. */
  readonly source: string
  /** The file or folder; refused with the bundled sets, required with all others. */
  readonly path?: string | null | undefined
  /** Height and width in pixels, 4 to 2048. */
  readonly size: number
  /** Frames of a clip, from 2; 1, the default, for still images. */
  readonly frames?: number
  /** Frames of a clip from one that is read to the next; default 1. Refused where there are none, and with `moving`. */
  readonly stride?: number | undefined
  /** Bundled sets only: whether to include skin-tone variants. Default true. */
  readonly skinTones?: boolean
  /** Where decoded images are kept; default: UL_CACHE, else `.cache/unified-latents` in the working directory. */
  readonly cacheDir?: string
  /** Not for bundled sets: largest decoded set in bytes held in memory; default 2 GiB. */
  readonly packBytes?: number
  /** Called while images are decoded for the first time. */
  readonly onProgress?: OnProgress
  /** Once it is aborted, its reason is thrown at once, whatever is being read. */
  readonly signal?: AbortSignal
}

/** Does not wait for work that goes on by itself, such as an image that is being decoded, once a signal is aborted. */
const untilAborted = async <T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> => {
  if (signal === undefined) return work()
  signal.throwIfAborted()
  let leave: () => void = () => undefined
  const aborted = new Promise<never>((_, reject) => {
    leave = () => reject(signal.reason)
    signal.addEventListener('abort', leave, { once: true })
  })
  try {
    return await Promise.race([work(), aborted])
  } finally {
    signal.removeEventListener('abort', leave)
  }
}

/**
 * Opens a data set as training and validation sources.
 * @throws in one sentence when an option does not fit, the data is missing or damaged or the cache cannot be written.
 */
export const openData = async (options: DataOptions): Promise<DataSplit> => {
  const { source, path, size, frames = 1, stride = 1, ...rest } = options
  if (!Number.isInteger(size) || size < 4 || size > 2048) {
    throw new Error(`data size is ${size}; pass a whole number of pixels from 4 to 2048`)
  }
  expectSource(source)
  expectFrames(source, frames)
  expectStride(source, stride)
  const words = pathWords(source)
  if (words === undefined && path !== undefined && path !== null)
    throw new Error(`data source "${source}" takes no path but got "${path}"; pass source "folder" with it`)
  if (words !== undefined && !path)
    throw new Error(`data source "${source}" has no path; pass the path of ${words}`)
  return untilAborted(rest.signal, () =>
    kinds[source].open({ ...rest, path: path ?? '', size, frames, stride }),
  )
}
