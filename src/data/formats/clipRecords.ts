/** @file Records that are clips as training and validation sources: packed on the disk, or decoded as they are read. */

import { constants } from 'node:buffer'
import { type ClipShape, expectLong, firstFrame, orReason, readWindow, spanOf } from '../clips/clip.ts'
import type { ClipPlace } from '../clips/fault.ts'
import { type ClipPack, openClipPack, type PackedClip } from '../clips/packedClips.ts'
import type { ImageItem } from '../images/packed.ts'
import { type DataSplit, type ImageSource, type SkippedFile, sourceFingerprint } from '../images/source.ts'
import type { Half } from './namedSplit.ts'
import {
  allFailed,
  DEFAULT_PACK_BYTES,
  type ImageRecord,
  openStreaming,
  type RecordOptions,
  type RecordSet,
  sidesOf,
  summaryWith,
} from './records.ts'

/** Kinds of clips, for messages. */
export const CLIP_FORMATS =
  'videos (mp4, webm, mkv, avi, mov …), animated GIF, WebP or APNG files, or folders of numbered images'

/** Endings of files that are one clip each, without the dot and in small letters. */
export const CLIP_ENDINGS: ReadonlySet<string> = new Set(
  'mp4 m4v mov mkv webm avi mpg mpeg mts m2ts wmv flv ogv 3gp y4m apng gif webp'.split(' '),
)

/** A record of a pack and its frames there. */
interface Member {
  readonly record: ImageRecord
  readonly clip: PackedClip
}

/** What is said of the shape of clips, so that what is derived from others is not taken for it. */
const shapeText = ({ frames, stride }: ClipShape): string => `, ${frames} frames, stride ${stride}`

const packSource = (
  { fingerprint, classes }: RecordSet,
  name: string,
  pack: ClipPack,
  shape: ClipShape,
  members: readonly Member[],
): ImageSource => {
  const { size, frames, stride } = shape
  const records = members.map(({ record }) => record)
  const readOne = (index: number, window: number): Promise<Uint8Array> => {
    const member = members[index]
    if (!member) throw new Error(`${name}: no clip ${index}; pass 0 to ${members.length - 1}`)
    const first = firstFrame(member.clip.frames, shape, window)
    return pack.read(member.clip, { first, stride, count: frames })
  }
  return {
    ...{ name, count: members.length, size, frames, classes },
    fingerprint: sourceFingerprint(name, fingerprint + shapeText(shape), size, records),
    label: (index) => records[index].label,
    caption: (index) => records[index].caption,
    id: (index) => records[index].id,
    read: async (indices, windows = []) => {
      const each = frames * size * size * 3
      const out = new Uint8Array(indices.length * each)
      await Promise.all(
        indices.map(async (index, i) => out.set(await readOne(index, windows[i] ?? 0), i * each)),
      )
      return out
    },
  }
}

const openPacked = async (set: RecordSet, pack: ClipPack, shape: ClipShape): Promise<DataSplit> => {
  const short: SkippedFile[] = []
  const members: Member[] = []
  for (const clip of pack.clips) {
    const record = set.records[clip.at]
    const long = await orReason(async () => expectLong(clip.frames, shape))
    if (long === undefined) members.push({ record, clip })
    else short.push({ file: record.id, reason: long.reason })
  }
  const skipped = [...pack.skipped, ...short]
  if (members.length === 0) throw allFailed(set, skipped[0])
  const kept = members.map(({ record }) => record)
  const sides = sidesOf(set, kept)
  const half = (side: Half): ImageSource =>
    packSource(
      set,
      `${set.name} (${side})`,
      pack,
      shape,
      sides[side].map((row) => members[row]),
    )
  return {
    train: half('train'),
    validation: half('validation'),
    skipped: [...set.skipped, ...skipped],
    summary: summaryWith(set, kept, sides),
  }
}

/** Where a clip lies: what its record loads, or a part of it. */
const placeOf = async ({ id, load, within }: ImageItem): Promise<ClipPlace> => {
  const file = await load()
  if (typeof file === 'string') return { file, within }
  throw new Error(`${id}: clips are read from files; give the path of one`)
}

/**
 * Opens records that load paths of clips: decoded once onto the disk when all their frames fit `packBytes`, else as they are
 * read. Of each clip `frames` frames are read, `stride` apart. Clips that are too short or cannot be decoded are named in
 * `skipped` and left out (packed) or stood in for (streaming).
 * @throws in one sentence when ffmpeg is needed and missing, nothing of the data or of one of its halves can be decoded, or the
 * cache cannot be written.
 */
export const openClipRecords = async (set: RecordSet, options: RecordOptions): Promise<DataSplit> => {
  const {
    size,
    frames = 2,
    stride = 1,
    packBytes = DEFAULT_PACK_BYTES,
    cacheDir,
    onProgress,
    signal,
  } = options
  const shape: ClipShape = { size, frames, stride }
  const { source, fingerprint } = set
  const pack = await openClipPack({
    ...{ source, fingerprint, size, cacheDir, onProgress, signal },
    clips: set.records.map((record) => ({ id: record.id, place: () => placeOf(record) })),
    least: spanOf(shape),
    packBytes: Math.min(packBytes, constants.MAX_LENGTH),
  })
  if (pack !== null) return openPacked(set, pack, shape)
  const decode = async (record: ImageItem, window: number) => readWindow(await placeOf(record), shape, window)
  return openStreaming({ ...set, fingerprint: fingerprint + shapeText(shape) }, { size, frames, decode })
}
