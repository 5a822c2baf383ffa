/** @file Images, or clips, for a run: read from files. */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config } from '../config/schema.ts'
import { readWindow } from '../data/clips/clip.ts'
import { inNumberedOrder } from '../data/clips/numbered.ts'
import { CLIP_FORMATS } from '../data/formats/clipRecords.ts'
import { listClips } from '../data/formats/clips.ts'
import { decodeImage, isUndecodable, type Undecodable } from '../data/images/decode.ts'
import { countedKinds, IMAGE_FORMATS, type OtherFile, scanFolder, someOf } from '../data/images/scan.ts'
import type { SkippedFile } from '../data/images/source.ts'
import { alone, type Collective, inRounds } from '../distributed/collective.ts'
import { toNchw } from '../engine/host/pixels.ts'
import type { HostTensor } from '../engine/host/tensor.ts'
import type { ImageSet } from '../method/programs.ts'

/** Images, or clips, of files for a run, in memory only where there are few; else they are decoded when they are read. */
export interface FileImages extends ImageSet {
  /** Of the images, in their order. */
  readonly files: readonly string[]
  readonly skipped: readonly SkippedFile[]
  /** Files of folders that are none of them, by kind. */
  readonly ignored: Readonly<Record<string, number>>
}

/** Files found among what was given, and what else lay beside them. */
interface Found {
  readonly files: readonly string[]
  readonly others: readonly OtherFile[]
}

/** What files are read as. */
interface FileKind {
  /** What of a folder is read, by paths below it. */
  list(folder: string): Promise<Found>
  /** Bytes [size, size, 3], of a clip [frames, size, size, 3]. */
  decode(file: string): Promise<Uint8Array | Undecodable>
  readonly size: number
  /** Absent for images. */
  readonly frames?: number
  /** In words. */
  readonly thing: string
  readonly formats: string
}

/** Images: centre crop, area average. */
const asImages = (size: number): FileKind => ({
  list: scanFolder,
  decode: (file) => decodeImage(file, { size, fit: 'cover' }),
  size,
  thing: 'image',
  formats: IMAGE_FORMATS,
})

/** The beginnings of clips: centre crop, resized. */
const asClips = ({ size, frames, stride = 1 }: Config['data']): FileKind => ({
  list: async (folder) => {
    const { clips, others } = await listClips(folder)
    return { files: clips, others }
  },
  decode: (file) => readWindow({ file }, { size, frames, stride }, 0),
  size,
  frames,
  thing: 'clip',
  formats: CLIP_FORMATS,
})

/** Whether a folder is one clip by itself. */
const isOneClip = async (folder: string, { frames }: FileKind): Promise<boolean> =>
  frames !== undefined && inNumberedOrder(await readdir(folder)) !== null

const expandPath = async (given: string, kind: FileKind): Promise<Found> => {
  const info = await stat(given).catch(() => null)
  if (info === null) throw new Error(`${given}: there is no such file or folder; check the spelling`)
  if (!info.isDirectory() || (await isOneClip(given, kind))) return { files: [given], others: [] }
  const { files, others } = await kind.list(given)
  return { files: files.map((name) => join(given, name)), others }
}

/** Bytes of decoded images that are kept: what is more is decoded again when its turn comes. */
const keptBytes = 2 ** 24
/** Images decoded at once. */
const decodedAtOnce = 8

/** An image that was decoded before. @throws when its file has changed since */
const decodedAgain = async (file: string, { decode }: FileKind): Promise<Uint8Array> => {
  const decoded = await decode(file)
  if (!isUndecodable(decoded)) return decoded
  throw new Error(
    `${file}: it could be read before and cannot any more (${decoded.reason}); leave the files alone until this is done`,
  )
}

/** Opens files and folders: every file is decoded once, by one of the processes, to see whether it can be. */
const openAs = async (
  kind: FileKind,
  paths: readonly string[],
  signal: AbortSignal | undefined,
  together: Collective = alone,
): Promise<FileImages> => {
  const [files, skipped]: [string[], SkippedFile[]] = [[], []]
  const kept = new Map<string, Uint8Array>()
  const reasons = new Map<string, string>()
  const expanded = await Promise.all(paths.map((given) => expandPath(given, kind)))
  const all = expanded.flatMap((given) => given.files)
  const parts = Array.from({ length: Math.ceil(all.length / decodedAtOnce) }, (_, i) =>
    all.slice(i * decodedAtOnce, (i + 1) * decodedAtOnce),
  )
  let bytes = 0
  const look = async (part: readonly string[]): Promise<number[]> => {
    signal?.throwIfAborted()
    const decoded = await Promise.all(part.map((file) => kind.decode(file)))
    return decoded.map((image, i) => {
      if (isUndecodable(image)) {
        reasons.set(part[i], image.reason)
        return 0
      }
      bytes += image.length
      if (bytes <= keptBytes) kept.set(part[i], image)
      return 1
    })
  }
  for await (const [part, isWhole] of inRounds(together, parts, look)) {
    for (const [i, file] of part.entries()) {
      if (isWhole[i] === 1) files.push(file)
      else skipped.push({ file, reason: reasons.get(file) ?? 'another process could not decode it' })
    }
  }
  if (files.length === 0) {
    const reason =
      skipped[0] === undefined ? `no ${kind.thing} files` : `${skipped[0].file}: ${skipped[0].reason}`
    throw new Error(`${someOf(paths)}: nothing could be read (${reason}); give ${kind.formats} files`)
  }
  const pixels = (i: number): Promise<Uint8Array> | Uint8Array =>
    kept.get(files[i]) ?? decodedAgain(files[i], kind)
  return {
    files,
    skipped,
    ignored: countedKinds(expanded.flatMap((given) => given.others)),
    count: files.length,
    read: async (first, n) => {
      const own = await Promise.all(Array.from({ length: n }, (_, i) => pixels(first + i)))
      return toNchw(Buffer.concat(own), kind)
    },
  }
}

/**
 * Opens files and folders as images (centre crop, area average).
 * @param signal ends that once it is aborted
 * @throws when nothing at all could be read.
 */
export const openImages = (
  paths: readonly string[],
  size: number,
  signal?: AbortSignal,
): Promise<FileImages> => openAs(asImages(size), paths, signal)

/** Opens files and folders as what a run is of: images, or clips, of which the beginnings are read. @throws as openImages */
export const openExamples = (
  { data, video }: Pick<Config, 'data' | 'video'>,
  paths: readonly string[],
  signal?: AbortSignal,
  together?: Collective,
): Promise<FileImages> =>
  openAs(video === undefined ? asImages(data.size) : asClips(data), paths, signal, together)

/**
 * The first `count` frames of a clip, as a whole clip [1, 3, frames, size, size] of which the others are not to be read.
 * @throws naming the file when it cannot be decoded or is shorter
 */
export const readGiven = async (
  file: string,
  { size, frames, stride = 1 }: Config['data'],
  count: number,
): Promise<HostTensor> => {
  const decoded = await readWindow({ file }, { size, frames: count, stride }, 0)
  if (isUndecodable(decoded))
    throw new Error(`${file}: ${count} frames were to be given, but it ${decoded.reason}; give another clip`)
  const pixels = new Uint8Array(frames * size * size * 3)
  pixels.set(decoded)
  return toNchw(pixels, { size, frames })
}
