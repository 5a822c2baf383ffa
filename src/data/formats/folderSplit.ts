/** @file Classes and the validation split of a folder, both read off the paths of its images. */

import { byBytes } from '../images/scan.ts'
import type { Half } from './records.ts'

/** Subfolder names that hold validation images, the first found is used. */
const VALIDATION_FOLDERS = ['validation', 'val', 'test']

/** One image of a folder. */
export interface FolderImage {
  /** Path relative to the root, forward slashes. */
  readonly id: string
  /** Class index, −1 without classes. */
  readonly label: number
  /** `train` for all when the split is left to the hash. */
  readonly half: Half
}

/** The images of a folder with their classes. */
export interface FolderLayout {
  readonly classes: readonly string[]
  readonly images: readonly FolderImage[]
  /** Name of the subfolder of validation images; null when the split is left to the hash. */
  readonly validationFolder: string | null
}

const firstFolder = (relative: string): string | null => {
  const slash = relative.indexOf('/')
  return slash < 0 ? null : relative.slice(0, slash)
}

const rest = (relative: string): string => relative.slice(relative.indexOf('/') + 1)

/**
 * Reads classes and split folders off relative paths in byte order.
 * - `train/` beside `validation/`, `val/` or `test/` at the top is the split; images outside the two are left out.
 *   A lone `train/` is looked into as if it were the root.
 * - Below that, first-level folder names are the classes (in byte order) when no image lies beside them.
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
  const held = (file: string): boolean => validationFolder !== null && firstFolder(file) === validationFolder
  const images = used.map(
    (id): FolderImage => ({
      id,
      label: classes.indexOf(classOf(id) ?? ''),
      half: held(id) ? 'validation' : 'train',
    }),
  )
  return { classes, images, validationFolder }
}

/** What the hash of the split is taken of: the path without its extension, so that `a.png` and `a.jpg` stay together. */
export const splitGroup = (file: string): string => file.replace(/\.[^./]*$/, '')
