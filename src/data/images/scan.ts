/** @file Finds the images, or files of another kind, under a folder in an order that does not depend on the file system. */

import type { Dirent, Stats } from 'node:fs'
import { readdir, realpath, stat } from 'node:fs/promises'
import path from 'node:path'
import { packedText } from './archives.ts'
import type { SkippedFile } from './source.ts'

/** The formats that are looked for, for messages. */
export const IMAGE_FORMATS = 'PNG, JPEG, WebP, AVIF, GIF or TIFF'

/** Endings of files that are read as images, without the dot and in small letters. */
export const IMAGE_ENDINGS: ReadonlySet<string> = new Set(
  'png apng jpg jpeg jpe jfif pjpeg pjp webp avif gif tif tiff'.split(' '),
)

/** Endings of images that are not read, so that a count of them says what to do. */
const UNREAD_IMAGES: ReadonlySet<string> = new Set(
  'bmp dib heic heif jp2 j2k jxl svg ico icns tga ppm pgm pbm pnm exr hdr psd dds cr2 cr3 nef arw dng raf orf rw2'.split(
    ' ',
  ),
)

/** A file that was found and is not of the wanted kind. */
export interface OtherFile {
  /** Relative to the root with forward slashes. */
  readonly file: string
  /** Its ending with the dot, or what it is where it is no file: `pipe`, `socket`, `device`. */
  readonly kind: string
}

/** What lies under a folder. */
export interface FolderListing {
  /** The folder's absolute path. */
  readonly root: string
  /** Files of the wanted kind relative to the root with forward slashes, in byte order. */
  readonly files: readonly string[]
  /** Files of other kinds, hidden ones left out. */
  readonly others: readonly OtherFile[]
  /** Subfolders that cannot be read. */
  readonly skipped: readonly SkippedFile[]
}

/** Order of UTF-8 bytes, the same on every machine and in every language. */
export const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))

const codeOf = (error: unknown): string =>
  error instanceof Error ? ((error as NodeJS.ErrnoException).code ?? error.message) : String(error)

/** What to look for: names of files, and the words for them. */
export interface Wanted {
  readonly names: RegExp
  /** For messages: a folder with … */
  readonly words: string
}

const IMAGES: Wanted = {
  names: new RegExp(`\\.(${[...IMAGE_ENDINGS].join('|')})$`, 'i'),
  words: `${IMAGE_FORMATS} images`,
}

/** What something that is neither file nor folder is; null for those two. Opening such a thing may wait for ever. */
export const specialKind = (info: Stats | Dirent): string | null =>
  info.isFIFO()
    ? 'pipe'
    : info.isSocket()
      ? 'socket'
      : info.isCharacterDevice() || info.isBlockDevice()
        ? 'device'
        : null

const endingKind = (name: string): string =>
  (/\.tar\.\w+$/i.exec(name)?.[0] ?? path.posix.extname(name)).toLowerCase() || 'without ending'

/** Endings of files that hold others. */
const PACKED = /^\.(zip|7z|rar|t?gz|tbz2?|bz2|txz|xz|zst|tar\.\w+)$/

/** Files by kind, most first; images of kinds that are not read say so. */
export const countedKinds = (others: readonly OtherFile[]): Readonly<Record<string, number>> => {
  const counts = new Map<string, number>()
  for (const { kind } of others) counts.set(kind, (counts.get(kind) ?? 0) + 1)
  return Object.fromEntries([...counts].sort((a, b) => b[1] - a[1] || byBytes(a[0], b[0])))
}

/** The first few of many names. */
export const someOf = (names: readonly string[], most = 3): string =>
  names.length > most
    ? `${names.slice(0, most).join(', ')} and ${names.length - most} more`
    : names.join(', ')

/** `3 .txt, 1 .bmp (not read: convert to PNG)` */
export const kindsText = (kinds: Readonly<Record<string, number>>, most = 8): string => {
  const texts = Object.entries(kinds).map(([kind, count]) => {
    const isUnread = UNREAD_IMAGES.has(kind.slice(1))
    const remedy = isUnread ? ' (not read: convert to PNG)' : PACKED.test(kind) ? ' (unpack first)' : ''
    return `${count} ${kind}${remedy}`
  })
  const more = texts.length > most ? [`${texts.length - most} other kinds`] : []
  return [...texts.slice(0, most), ...more].join(', ')
}

/**
 * Lists the files of a kind, images unless told otherwise, under a folder by name, recursively; names that start with a dot are
 * hidden. Links are followed; a folder reached twice (a loop, or a link beside the real folder) counts once, under
 * its real place before any link.
 * @throws in one sentence when the path is missing, not a folder or unreadable.
 */
export const scanFolder = async (folder: string, wanted: Wanted = IMAGES): Promise<FolderListing> => {
  const root = path.resolve(folder)
  await requireFolder(root, wanted)
  const files: string[] = []
  const skipped: SkippedFile[] = []
  const seen = new Set<string>()
  const others: OtherFile[] = []
  const queue = ['']
  const linked: string[] = []

  // a link that leads nowhere stays in the list under its name; decoding it then says why it is skipped
  const atItsEnd = (relative: string): Promise<Stats | null> =>
    stat(path.join(root, relative)).catch(() => null)

  const visit = async (relative: string): Promise<void> => {
    const real = await realpath(path.join(root, relative))
    if (seen.has(real)) return
    seen.add(real)
    for (const entry of await readdir(path.join(root, relative), { withFileTypes: true })) {
      if (entry.name.startsWith('.')) continue
      const name = relative === '' ? entry.name : `${relative}/${entry.name}`
      const info = entry.isSymbolicLink() ? ((await atItsEnd(name)) ?? entry) : entry
      const special = specialKind(info)
      if (info.isDirectory()) (entry.isSymbolicLink() ? linked : queue).push(name)
      else if (special !== null) others.push({ file: name, kind: special })
      else if (!wanted.names.test(entry.name)) others.push({ file: name, kind: endingKind(entry.name) })
      else files.push(name)
    }
  }

  while (queue.length > 0 || linked.length > 0) {
    if (queue.length === 0) queue.push(linked.sort(byBytes).shift()!)
    const next = queue.pop()!
    try {
      await visit(next)
    } catch (error) {
      if (next === '') {
        throw new Error(
          `data folder "${root}" cannot be read (${codeOf(error)}); allow reading it or pass another`,
          { cause: error },
        )
      }
      skipped.push({ file: next, reason: `folder cannot be read (${codeOf(error)})` })
    }
  }
  skipped.sort((a, b) => byBytes(a.file, b.file))
  return { root, files: files.sort(byBytes), others, skipped }
}

const requireFolder = async (root: string, { words }: Wanted): Promise<void> => {
  const expected = `pass a folder with ${words}`
  const info = await stat(root).catch((error: unknown) => {
    const found = codeOf(error) === 'ENOENT' ? 'does not exist' : `cannot be opened (${codeOf(error)})`
    throw new Error(`data folder "${root}" ${found}; ${expected}`, { cause: error })
  })
  if (info.isDirectory()) return
  const packed = info.isFile() ? packedText(root) : null
  const found = packed ?? `${specialKind(info) === null ? 'a file' : `a ${specialKind(info)}`}; ${expected}`
  throw new Error(`data folder "${root}" is ${found}`)
}
