/** @file Classes and the validation split of a folder, both read off the paths of its pictures. */

import { hashFraction } from './hashFraction.ts'
import { byBytes } from './scan.ts'

/** Share of the pictures that become validation when the folder does not say. */
const VALIDATION_SHARE = 0.1

/** Subfolder names that hold validation pictures, the first found is used. */
const VALIDATION_FOLDERS = ['validation', 'val', 'test']

/** One picture of a folder. */
export interface FolderPicture {
  /** Path relative to the root, forward slashes. */
  readonly id: string
  /** Class index, −1 without classes. */
  readonly label: number
}

/** The pictures of a folder with their classes. */
export interface FolderLayout {
  readonly classes: readonly string[]
  readonly pictures: readonly FolderPicture[]
  /** Name of the subfolder of validation pictures; null when the split is left to the hash. */
  readonly validationFolder: string | null
}

const firstFolder = (relative: string): string | null => {
  const slash = relative.indexOf('/')
  return slash < 0 ? null : relative.slice(0, slash)
}

const rest = (relative: string): string => relative.slice(relative.indexOf('/') + 1)

/**
 * Reads classes and split folders off relative paths in byte order.
 * - `train/` beside `validation/`, `val/` or `test/` at the top is the split; pictures outside the two are left out.
 *   A lone `train/` is looked into as if it were the root.
 * - Below that, first-level folder names are the classes (in byte order) when no picture lies beside them.
 */
export const folderLayout = (paths: readonly string[]): FolderLayout => {
  const tops = new Set(paths.map(firstFolder))
  const other = VALIDATION_FOLDERS.find((name) => tops.has(name)) ?? null
  const validationFolder = tops.has('train') ? other : null
  const nested = validationFolder !== null || (tops.size === 1 && tops.has('train'))
  const used = nested
    ? paths.filter((file) => [validationFolder, 'train'].includes(firstFolder(file)))
    : paths
  const classOf = (file: string): string | null => firstFolder(nested ? rest(file) : file)
  const names = new Set(used.map(classOf))
  const classes = names.has(null) ? [] : ([...names] as string[]).sort(byBytes)
  const pictures = used.map((id) => ({ id, label: classes.indexOf(classOf(id) ?? '') }))
  return { classes, pictures, validationFolder }
}

/** From the path without its extension, so that `a.png` and `a.jpg` stay together. */
const position = (file: string): number => hashFraction(file.replace(/\.[^./]*$/, ''))

/**
 * Parts positions 0..n−1 of a picture list: by the validation folder where there is one, else validation is whose
 * path hashes below a tenth, so that a picture's side does not depend on the others; only that with two pictures or
 * more each side gets at least one, and a single picture serves as both.
 */
export const splitFolder = (
  pictures: readonly FolderPicture[],
  validationFolder: string | null,
): { readonly train: readonly number[]; readonly validation: readonly number[] } => {
  const all = pictures.map((_, i) => i)
  if (validationFolder !== null) {
    const held = (i: number): boolean => firstFolder(pictures[i].id) === validationFolder
    return { train: all.filter((i) => !held(i)), validation: all.filter(held) }
  }
  if (all.length < 2) return { train: all, validation: all }
  const at = pictures.map((picture) => position(picture.id))
  const byHash = [...all].sort((a, b) => at[a] - at[b] || a - b)
  const share = at.filter((x) => x < VALIDATION_SHARE).length
  const chosen = new Set(byHash.slice(0, Math.min(Math.max(share, 1), all.length - 1)))
  return { train: all.filter((i) => !chosen.has(i)), validation: all.filter((i) => chosen.has(i)) }
}
