/** @file Finds the container files of a data set, and which half the names put them in. */

import { readFile, stat } from 'node:fs/promises'
import path from 'node:path'
import { packedText } from '../images/archives.ts'
import { countedKinds, kindsText, type OtherFile, scanFolder, type Wanted } from '../images/scan.ts'
import { type Half, type NamedSplit, namedSplit } from './namedSplit.ts'

/** One container file. */
export interface Container {
  /** Path relative to the folder with forward slashes, or the file's own name; starts the ids of its records. */
  readonly id: string
  readonly path: string
  readonly half: Half
}

/** The container files of a data set. */
export interface ContainerListing {
  /** The folder's absolute path; of a single file, the folder that it lies in. */
  readonly folder: string
  /** Last part of the path, for logs. */
  readonly name: string
  readonly containers: readonly Container[]
  /** Null when the names of the containers do not say a split. */
  readonly split: NamedSplit | null
  /** Files of other kinds in the folder. */
  readonly others: readonly OtherFile[]
}

/** Named things in halves. */
export interface Halves<T> {
  readonly kept: readonly (T & { readonly half: Half })[]
  readonly split: NamedSplit | null
}

/** Puts named things into halves as their names say (see namedSplit); all are for training when they do not say. */
export const withHalves = <T>(items: readonly T[], nameOf: (item: T) => string): Halves<T> => {
  const paths = items.map((item) => nameOf(item).split('/'))
  const split = namedSplit(paths, false)
  const halves = paths.map((path) => (split === null ? 'train' : split.halfOf(path)))
  return {
    split,
    kept: items.flatMap((item, i) => {
      const half = halves[i]
      return half === null ? [] : [{ ...item, half }]
    }),
  }
}

/**
 * The containers that a path names: the file itself, or the files of a folder whose names fit, in byte order.
 * @throws in one sentence when the path is missing or holds none.
 */
export const listContainers = async (
  source: string,
  given: string,
  wanted: Wanted,
): Promise<ContainerListing> => {
  const whole = path.resolve(given)
  const name = path.basename(whole)
  const info = await stat(whole).catch(() => null)
  if (info?.isFile()) {
    const packed = wanted.names.test(name) ? null : packedText(whole)
    if (packed !== null) throw new Error(`${whole}: this is ${packed}`)
    return {
      folder: path.dirname(whole),
      name,
      containers: [{ id: name, path: whole, half: 'train' }],
      split: null,
      others: [],
    }
  }
  const { root, files, others } = await scanFolder(whole, wanted)
  if (files.length === 0) {
    const kinds = kindsText(countedKinds(others))
    const found = others.length === 0 ? 'no files' : `only files of other kinds (${kinds})`
    throw new Error(
      `data folder "${root}" holds ${found}; source "${source}" expects ${wanted.words}, so pass another path or source`,
    )
  }
  const all = files.map((id) => ({ id, path: path.join(root, id) }))
  const { kept, split } = withHalves(all, ({ id }) => id)
  return { folder: root, name, containers: kept, split, others }
}

/** Files that class names are read from, whatever the format. */
const CLASS_NAME_FILES: ReadonlySet<string> = new Set([
  'classnames.txt',
  'classes.txt',
  'batches.meta.txt',
  'fine_label_names.txt',
])

/** Files of other kinds, by kind, without those that were read after all. @param used absolute paths */
export const ignoredKinds = (
  folder: string,
  others: readonly OtherFile[],
  used: readonly string[],
): Readonly<Record<string, number>> => {
  const read = new Set(used)
  const isRead = (file: string): boolean =>
    CLASS_NAME_FILES.has(path.posix.basename(file)) || read.has(path.join(folder, file))
  return countedKinds(others.filter(({ file }) => !isRead(file)))
}

/** Longest list of class names that is read. */
const NAMES_BYTES = 1 << 22

/**
 * Class names, one a line, from the first of the files that exists in the folder; null without any.
 * @throws when the file is far too long to be such a list.
 */
export const readClassNames = async (
  folder: string,
  files: readonly string[],
): Promise<readonly string[] | null> => {
  for (const file of files) {
    const where = path.join(folder, file)
    const info = await stat(where).catch(() => null)
    if (!info?.isFile()) continue
    if (info.size > NAMES_BYTES) {
      throw new Error(
        `${where}: found ${info.size} bytes, expected class names, one a line; shorten or remove it`,
      )
    }
    const lines = (await readFile(where, 'utf8')).split(/\r?\n/).map((line) => line.trim())
    while (lines.at(-1) === '') lines.pop()
    return lines
  }
  return null
}
