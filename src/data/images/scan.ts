/** @file Finds the images, or files of another kind, under a folder in an order that does not depend on the file system. */

import { readdir, realpath, stat } from 'node:fs/promises'
import path from 'node:path'
import type { SkippedFile } from './source.ts'

/** The formats that are looked for, for messages. */
export const IMAGE_FORMATS = 'PNG, JPEG, WebP, AVIF or GIF'

/** What lies under a folder. */
export interface FolderListing {
  /** The folder's absolute path. */
  readonly root: string
  /** Files of the wanted kind relative to the root with forward slashes, in byte order. */
  readonly files: readonly string[]
  /** Number of files of other kinds, hidden ones left out. */
  readonly others: number
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
  names: /\.(png|jpe?g|webp|avif|gif)$/i,
  words: `${IMAGE_FORMATS} images`,
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
  let others = 0
  const queue = ['']
  const linked: string[] = []

  // a link that leads nowhere stays in the list under its name; decoding it then says why it is skipped
  const leadsToFolder = async (relative: string): Promise<boolean> =>
    stat(path.join(root, relative)).then(
      (info) => info.isDirectory(),
      () => false,
    )

  const visit = async (relative: string): Promise<void> => {
    const real = await realpath(path.join(root, relative))
    if (seen.has(real)) return
    seen.add(real)
    for (const entry of await readdir(path.join(root, relative), { withFileTypes: true })) {
      if (entry.name.startsWith('.')) continue
      const name = relative === '' ? entry.name : `${relative}/${entry.name}`
      if (entry.isDirectory()) queue.push(name)
      else if (entry.isSymbolicLink() && (await leadsToFolder(name))) linked.push(name)
      else if (!wanted.names.test(entry.name)) others++
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
  if (!info.isDirectory()) throw new Error(`data folder "${root}" is a file; ${expected}`)
}
