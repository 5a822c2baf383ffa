/**
 * @file Decodes a list of images, files or records of any container, once into one file of bytes that later runs read back in one go.
 *
 * A pack is two files, `<name>-<key>.rgb` (images one after the other) and `<name>-<key>.json` (the index, written
 * last, so that a pack without an index was never finished). The key hashes everything the bytes depend on.
 */

import { createHash, randomBytes } from 'node:crypto'
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import path from 'node:path'
import { z } from 'zod'
import { resizeSquare } from '../../engine/host/squares.ts'
import { decodeSquare, type Fit, type ImageInput, isUndecodable } from './decode.ts'
import type { SkippedFile } from './source.ts'

/** Raised whenever decoding or the layout changes, so that old packs are not read. */
const FORMAT = 1

/** Bytes per read or write call: a single call takes less than 2 GiB. */
const CHUNK = 1 << 28

/** Called with the number of images decoded so far and the number of all. */
export type OnProgress = (done: number, total: number) => void

/** Where something lies in a file that holds others. */
export interface FilePart {
  readonly offset: number
  /** In bytes. */
  readonly size: number
  /** Ending of its name, without the dot and in small letters. */
  readonly ending: string
  /** Its bytes, or why they are not read. */
  read(): Promise<ImageInput>
}

/** One image to decode. */
export interface ImageItem {
  /** Stable name, also used in `skipped`. */
  readonly id: string
  /** Fetches it; rejects only when its container is damaged, which ends the whole reading. */
  load(): ImageInput | Promise<ImageInput>
  /** Of a clip: the part that it is of the file whose path is loaded; the whole file when left out. */
  readonly within?: FilePart
}

/** One number per image, worked out from small copies of the images when the pack is built. */
export interface Derivation {
  /** Names the computation and its version; part of the key. */
  readonly id: string
  /** Side of the small copies in pixels. */
  readonly size: number
  /** From [n, size, size, 3] bytes and the position of each image in `images`; returns n numbers. */
  compute(pixels: Uint8Array, kept: readonly number[]): readonly number[]
}

/** What to pack and where. */
export interface PackRequest {
  /** Short name of the source, the start of the file names. */
  readonly source: string
  /** Changes whenever the files change: their sizes and times, or a package version. */
  readonly fingerprint: string
  readonly images: readonly ImageItem[]
  /** Height and width in pixels. */
  readonly size: number
  readonly fit: Fit
  /** Defaults to `defaultCacheDir()`. */
  readonly cacheDir?: string
  readonly derivation?: Derivation
  readonly onProgress?: OnProgress
  /** Decodes no further image once it is aborted, and throws its reason. */
  readonly signal?: AbortSignal
}

/** Decoded images in memory. */
export interface Pack {
  /** [kept.length, size, size, 3] */
  readonly pixels: Uint8Array
  /** For each packed image its position in `images`, ascending. */
  readonly kept: readonly number[]
  /** The derivation's number of each packed image; empty without a derivation. */
  readonly derived: readonly number[]
  readonly skipped: readonly SkippedFile[]
}

const indexSchema = z.object({
  key: z.string(),
  kept: z.array(z.int().nonnegative()),
  derived: z.array(z.number()),
  skipped: z.array(z.object({ file: z.string(), reason: z.string() })),
})

/** `UL_CACHE` where set, else `.cache/unified-latents` under the working directory. */
export const defaultCacheDir = (): string => process.env.UL_CACHE || path.resolve('.cache', 'unified-latents')

const keyOf = ({ source, fingerprint, images, size, fit, derivation }: PackRequest): string => {
  const hash = createHash('sha256')
  hash.update(JSON.stringify([FORMAT, source, fingerprint, size, fit, derivation?.id ?? null]))
  for (const { id } of images) hash.update(`\0${id}`)
  return hash.digest('hex').slice(0, 20)
}

/** Fills `bytes` from the file, or returns false when the file has another length. */
const readExactly = async (file: string, bytes: Uint8Array): Promise<boolean> => {
  const handle = await open(file, 'r')
  try {
    if ((await handle.stat()).size !== bytes.length) return false
    for (let at = 0; at < bytes.length; ) {
      const { bytesRead } = await handle.read(bytes, at, Math.min(CHUNK, bytes.length - at), at)
      if (bytesRead === 0) return false
      at += bytesRead
    }
    return true
  } finally {
    await handle.close()
  }
}

/** Writes to a name of its own first, so that a reader never sees half a file, also with two writers or a crash. */
const writeAtomically = async (file: string, bytes: Uint8Array): Promise<void> => {
  const temporary = `${file}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`
  try {
    const handle = await open(temporary, 'w')
    try {
      for (let at = 0; at < bytes.length; ) {
        const { bytesWritten } = await handle.write(bytes, at, Math.min(CHUNK, bytes.length - at), at)
        at += bytesWritten
      }
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, file)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}

/** The stored pack, or null when there is none or it is damaged in any way. */
const readPack = async (base: string, key: string, request: PackRequest): Promise<Pack | null> => {
  try {
    const index = indexSchema.parse(JSON.parse(await readFile(`${base}.json`, 'utf8')))
    const { kept, derived, skipped } = index
    const total = request.images.length
    const ascending = kept.every((at, i) => at < total && (i === 0 || kept[i - 1] < at))
    const expected = request.derivation ? kept.length : 0
    if (index.key !== key || !ascending || kept.length + skipped.length !== total) return null
    if (derived.length !== expected) return null
    const pixels = new Uint8Array(kept.length * request.size ** 2 * 3)
    return (await readExactly(`${base}.rgb`, pixels)) ? { pixels, kept, derived, skipped } : null
  } catch {
    return null
  }
}

/** Runs `task(0..count−1)` with at most `width` under way. */
const forEachConcurrently = async (
  count: number,
  width: number,
  task: (i: number) => Promise<void>,
): Promise<void> => {
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < count) await task(next++)
  }
  await Promise.all(Array.from({ length: Math.min(width, count) }, lane))
}

const decodeAll = async (request: PackRequest): Promise<Pack> => {
  const { images, size, fit, derivation, onProgress, signal } = request
  const bytes = size * size * 3
  const small = derivation?.size ?? 0
  const pixels = new Uint8Array(images.length * bytes)
  const thumbnails = new Uint8Array(images.length * small * small * 3)
  const reasons = new Map<number, string>()
  let done = 0
  // twice the libuv threads, so that a thread never waits for the main thread's area average
  const width = 2 * (Number(process.env.UV_THREADPOOL_SIZE) || 4)
  await forEachConcurrently(images.length, width, async (i) => {
    signal?.throwIfAborted()
    const square = await decodeSquare(await images[i].load(), { size: Math.max(size, small), fit })
    if (isUndecodable(square)) reasons.set(i, square.reason)
    else {
      pixels.set(resizeSquare(square, size), i * bytes)
      if (derivation) thumbnails.set(resizeSquare(square, small), i * small * small * 3)
    }
    onProgress?.(++done, images.length)
  })
  const kept = images.map((_, i) => i).filter((i) => !reasons.has(i))
  kept.forEach((from, to) => {
    pixels.copyWithin(to * bytes, from * bytes, (from + 1) * bytes)
    thumbnails.copyWithin(to * small * small * 3, from * small * small * 3, (from + 1) * small * small * 3)
  })
  const derived = derivation?.compute(thumbnails.subarray(0, kept.length * small * small * 3), kept) ?? []
  const skipped = [...reasons.keys()]
    .sort((a, b) => a - b)
    .map((i) => ({ file: images[i].id, reason: reasons.get(i)! }))
  return { pixels: pixels.subarray(0, kept.length * bytes), kept, derived, skipped }
}

/** Runs a step that writes to the cache folder; its failure becomes one sentence. */
export const writingCache = async (folder: string, step: () => Promise<void>): Promise<void> => {
  try {
    await step()
  } catch (error) {
    const cause = error instanceof Error ? error.message : String(error)
    throw new Error(
      `cache folder "${folder}" cannot be written (${cause}); set UL_CACHE or the cacheDir option to a folder with free space that you may write to`,
      { cause: error },
    )
  }
}

/**
 * Opens the pack of a list of images, building it when the cache has none that fits or only a damaged one.
 * Images that cannot be decoded are left out and named in `skipped`; a pack may turn out empty.
 * @throws when the cache folder cannot be written or a container is damaged.
 */
export const openPack = async (request: PackRequest): Promise<Pack> => {
  const folder = path.resolve(request.cacheDir ?? defaultCacheDir())
  const key = keyOf(request)
  const base = path.join(folder, `${request.source}-${request.size}-${key}`)
  const stored = await readPack(base, key, request)
  if (stored) return stored
  // tried before the long decoding, so that a read-only place is reported at once
  await writingCache(folder, async () => {
    await mkdir(folder, { recursive: true })
    const probe = path.join(folder, `.probe-${process.pid}`)
    await writeAtomically(probe, new Uint8Array(1))
    await rm(probe, { force: true })
  })
  const pack = await decodeAll(request)
  await writingCache(folder, async () => {
    const { pixels, ...index } = pack
    await writeAtomically(`${base}.rgb`, pixels)
    await writeAtomically(`${base}.json`, Buffer.from(JSON.stringify({ key, ...index })))
  })
  return pack
}
