/**
 * @file Decodes clips once into one file of frames, of which later any can be read by itself.
 *
 * A pack is two files as one of images is (images/packed.ts): `<name>-<key>.rgb`, the frames, and `<name>-<key>.json`, the index,
 * written last. Frames stay on the disk, since clips are many and each step reads a few frames of each.
 */

import { createHash } from 'node:crypto'
import { writeSync } from 'node:fs'
import { mkdir, open, readFile, stat } from 'node:fs/promises'
import path from 'node:path'
import { z } from 'zod'
import { removeAbandoned, writeFileAtomic, writeFileInParts } from '../../files/atomic.ts'
import { isUndecodable } from '../images/decode.ts'
import { defaultCacheDir, type OnProgress, writingCache } from '../images/packed.ts'
import type { SkippedFile } from '../images/source.ts'
import { type Clip, oneOfFew, openClip, orReason } from './clip.ts'
import { ClipFault, type ClipPlace, type FrameRange } from './fault.ts'

/** Raised whenever decoding or the layout changes, so that old packs are not read. */
const FORMAT = 1

/** A clip to decode. */
export interface ClipItem {
  /** Stable name, also used in `skipped`. */
  readonly id: string
  place(): Promise<ClipPlace>
}

/** What to pack and where. */
export interface ClipPackRequest {
  /** Short name of the source, the start of the file names. */
  readonly source: string
  /** Changes whenever the files change. */
  readonly fingerprint: string
  readonly clips: readonly ClipItem[]
  /** Height and width in pixels. */
  readonly size: number
  /** Frames that a clip has to have: a set of more than `packBytes` is then known without a look at its files. */
  readonly least: number
  /** Bytes of all frames at most. */
  readonly packBytes: number
  readonly cacheDir?: string
  readonly onProgress?: OnProgress
  readonly signal?: AbortSignal
}

/** A clip of a pack. */
export interface PackedClip {
  /** Position among the clips of the request. */
  readonly at: number
  /** Of its first byte. */
  readonly offset: number
  readonly frames: number
}

const clipSchema = z.object({
  at: z.int().nonnegative(),
  offset: z.int().nonnegative(),
  frames: z.int().positive(),
})

const indexSchema = z.object({
  key: z.string(),
  bytes: z.int().nonnegative(),
  clips: z.array(clipSchema),
  skipped: z.array(z.object({ file: z.string(), reason: z.string() })),
})

/** Decoded clips on the disk. */
export interface ClipPack {
  readonly clips: readonly PackedClip[]
  readonly skipped: readonly SkippedFile[]
  /** Chosen frames of a clip, which all have to be there, [count, size, size, 3]. */
  read(clip: PackedClip, range: FrameRange): Promise<Uint8Array>
}

const keyOf = ({ source, fingerprint, clips, size }: ClipPackRequest): string => {
  const hash = createHash('sha256').update(JSON.stringify([FORMAT, source, fingerprint, size]))
  for (const { id } of clips) hash.update(`\0${id}`)
  return hash.digest('hex').slice(0, 20)
}

/** Frames of a file of frames. */
const readFrames = async (
  file: string,
  each: number,
  { offset }: PackedClip,
  { first, stride, count }: FrameRange,
): Promise<Uint8Array> => {
  const out = new Uint8Array(count * each)
  const [runs, run] = stride === 1 ? [1, count] : [count, 1]
  const handle = await open(file, 'r')
  try {
    for (let i = 0; i < runs; i++) {
      const from = offset + (first + i * stride) * each
      const { bytesRead } = await handle.read(out, i * each, run * each, from)
      if (bytesRead === run * each) continue
      throw new Error(
        `${file}: byte ${from}: found ${bytesRead} bytes, expected ${run * each}; delete this file to have it made again`,
      )
    }
    return out
  } finally {
    await handle.close()
  }
}

/** The index of a stored pack, or null when there is none or it is damaged in any way. */
const readIndex = async (base: string, key: string, { clips, size }: ClipPackRequest) => {
  try {
    const index = indexSchema.parse(JSON.parse(await readFile(`${base}.json`, 'utf8')))
    const fits = index.clips.every(
      ({ at, offset, frames }) => at < clips.length && offset + frames * size * size * 3 <= index.bytes,
    )
    const isWhole = index.clips.length + index.skipped.length === clips.length
    const { size: bytes } = await stat(`${base}.rgb`)
    return index.key === key && fits && isWhole && bytes === index.bytes ? index : null
  } catch {
    return null
  }
}

/** A clip that is there, or why it is not. */
type Looked = { readonly clip: Clip } | { readonly reason: string }

/** Runs all tasks; once one fails the others are told to leave, and its failure is thrown when they have. */
const allOrNone = async <T>(
  tasks: readonly ((signal: AbortSignal) => Promise<T>)[],
  signal: AbortSignal | undefined,
): Promise<T[]> => {
  const leaving = new AbortController()
  const any = signal === undefined ? leaving.signal : AbortSignal.any([signal, leaving.signal])
  const settled = await Promise.allSettled(
    tasks.map(async (task) => {
      try {
        return await oneOfFew(async () => {
          any.throwIfAborted()
          return await task(any)
        })
      } catch (error) {
        leaving.abort(error)
        throw error
      }
    }),
  )
  any.throwIfAborted()
  return settled.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
}

/** Looks at all clips; null once they have more frames than `most`. */
const lookAtAll = async (
  { clips, size, signal }: ClipPackRequest,
  most: number,
): Promise<readonly Looked[] | null> => {
  let frames = 0
  const looked = await allOrNone(
    clips.map((item) => async (): Promise<Looked> => {
      if (frames > most) return { reason: '' }
      const clip = await orReason(async () => openClip(await item.place(), size))
      if (isUndecodable(clip)) return clip
      frames += clip.count
      return { clip }
    }),
    signal,
  )
  return frames > most ? null : looked
}

/** Decodes a clip to a place in a file; returns its number of frames. @throws ClipFault */
const writeFrames = async (
  fd: number,
  clip: Clip,
  { offset, each }: { readonly offset: number; readonly each: number },
  signal: AbortSignal,
): Promise<number> => {
  let frames = 0
  for await (const frame of clip.frames({ first: 0, stride: 1, count: clip.count })) {
    signal.throwIfAborted()
    const from = offset + frames++ * each
    for (let at = 0; at < each; ) at += writeSync(fd, frame, at, each - at, from + at)
  }
  if (frames === 0) throw new ClipFault('has no frame that can be decoded')
  return frames
}

/** Decodes clips into a file, each where the one before it ends if that has as many frames as it says. */
const decodeInto = async (
  fd: number,
  { clips: items, size, onProgress, signal }: ClipPackRequest,
  looked: readonly Looked[],
): Promise<Pick<ClipPack, 'clips' | 'skipped'>> => {
  const each = size * size * 3
  let [end, done] = [0, 0]
  const offsets = looked.map((one) => {
    const offset = end
    if ('clip' in one) end += one.clip.count * each
    return offset
  })
  const results = await allOrNone(
    looked.map((one, i) => async (leaving: AbortSignal) => {
      const place = { offset: offsets[i], each }
      const frames = 'clip' in one ? await orReason(() => writeFrames(fd, one.clip, place, leaving)) : one
      onProgress?.(++done, items.length)
      return frames
    }),
    signal,
  )
  return {
    clips: results.flatMap((frames, at) =>
      typeof frames === 'number' ? [{ at, offset: offsets[at], frames }] : [],
    ),
    skipped: results.flatMap((result, at) =>
      typeof result === 'number' ? [] : [{ file: items[at].id, reason: result.reason }],
    ),
  }
}

/**
 * Opens the pack of a list of clips, building it when the cache has none that fits or only a damaged one. Clips that cannot be
 * decoded are left out and named in `skipped`; a pack may turn out empty.
 * @returns null for a set that is larger than a pack may be
 * @throws when the cache folder cannot be written or ffmpeg is missing.
 */
export const openClipPack = async (request: ClipPackRequest): Promise<ClipPack | null> => {
  const { source, size, clips, least, packBytes } = request
  const each = size * size * 3
  const most = Math.floor(packBytes / each)
  if (clips.length * least > most) return null
  const folder = path.resolve(request.cacheDir ?? defaultCacheDir())
  const key = keyOf(request)
  const base = path.join(folder, `${source}-${size}-${key}`)
  const packOf = ({ clips, skipped }: Pick<ClipPack, 'clips' | 'skipped'>): ClipPack => ({
    ...{ clips, skipped },
    read: (clip, range) => readFrames(`${base}.rgb`, each, clip, range),
  })
  const stored = await readIndex(base, key, request)
  if (stored) return stored.bytes > packBytes ? null : packOf(stored)
  const looked = await lookAtAll(request, most)
  if (looked === null) return null
  await writingCache(folder, async () => {
    await mkdir(folder, { recursive: true })
    // of a pack that was being made when its process was killed
    removeAbandoned(folder)
  })
  let index: Pick<ClipPack, 'clips' | 'skipped'> = { clips: [], skipped: [] }
  await writeFileInParts(`${base}.rgb`, async (fd) => {
    index = await decodeInto(fd, request, looked)
  })
  const { size: bytes } = await stat(`${base}.rgb`)
  await writingCache(folder, async () =>
    writeFileAtomic(`${base}.json`, JSON.stringify({ key, bytes, ...index })),
  )
  return packOf(index)
}
