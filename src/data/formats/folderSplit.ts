/** @file Classes and the validation split of a folder, both read off the paths of its images. */

import { classDepth, type Half, type NamedSplit, namedSplit } from './namedSplit.ts'

/** One image of a folder. */
export interface FolderImage {
  /** Path relative to the root, forward slashes. */
  readonly id: string
  /** Name of the folder that is its class; null where there is none. */
  readonly label: string | null
  /** `train` for all when the split is left to the hash. */
  readonly half: Half
}

/** The images of a folder with their classes. */
export interface FolderLayout {
  readonly images: readonly FolderImage[]
  /** Paths of images outside the halves that the names of folders say. */
  readonly leftOut: readonly string[]
  /** Null when the split is left to the hash. */
  readonly split: NamedSplit | null
}

const foldersOf = (file: string): string[] => file.split('/').slice(0, -1)

/** Reads classes and halves off relative paths (see namedSplit, classDepth). */
export const folderLayout = (paths: readonly string[]): FolderLayout => {
  const folders = paths.map(foldersOf)
  const split = namedSplit(folders, true)
  const halves = folders.map((path) => (split === null ? 'train' : split.halfOf(path)))
  const used = folders.map((path) =>
    split?.saysSide(path) === true ? path.filter((_, depth) => depth !== split.depth) : path,
  )
  const depth = classDepth(used.filter((_, i) => halves[i] !== null))
  const images = paths.flatMap((id, i): FolderImage[] => {
    const half = halves[i]
    return half === null ? [] : [{ id, label: used[i][depth] ?? null, half }]
  })
  return { images, leftOut: paths.filter((_, i) => halves[i] === null), split }
}

/** What the hash of the split is taken of: the path without its extension, so that `a.png` and `a.jpg` stay together. */
export const splitGroup = (file: string): string => file.replace(/\.[^./]*$/, '')
