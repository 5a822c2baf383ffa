/** @file Finds the container files of a data set, and which half the names put them in. */

import { readFile, stat } from 'node:fs/promises'
import path from 'node:path'
import { scanFolder, type Wanted } from '../images/scan.ts'
import type { Half } from './records.ts'

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
}

const WORD: readonly (readonly ['train' | 'validation' | 'test', RegExp])[] = [
  ['train', /(^|[^a-z])train(ing)?([^a-z]|$)/i],
  ['validation', /(^|[^a-z])val(id|idation)?([^a-z]|$)/i],
  ['test', /(^|[^a-z])(test|t10k)([^a-z0-9]|$)/i],
]

/** What a path says of its half, as a word of its own; null when nothing. */
const sideOf = (id: string): 'train' | 'validation' | 'test' | null =>
  WORD.find(([, word]) => word.test(id))?.[0] ?? null

/**
 * Puts named things into halves: those called `val` or `validation`, or failing that those called `test`, are
 * validation. With all three, `test` is left out as in a folder of images, so that it stays unseen.
 */
export const withHalves = <T>(
  items: readonly T[],
  nameOf: (item: T) => string,
): (T & { readonly half: Half })[] => {
  const sides = items.map((item) => sideOf(nameOf(item)))
  const held = sides.includes('validation') ? 'validation' : 'test'
  return items.flatMap((item, i) => {
    const side = sides[i]
    if (side === 'test' && held !== 'test') return []
    return [{ ...item, half: side === held ? 'validation' : 'train' }]
  })
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
    return {
      folder: path.dirname(whole),
      name,
      containers: [{ id: name, path: whole, half: 'train' }],
    }
  }
  const { root, files, others } = await scanFolder(whole, wanted)
  if (files.length === 0) {
    const found = others === 0 ? 'no files' : `${others} files of other kinds`
    throw new Error(
      `data folder "${root}" holds ${found}; source "${source}" expects ${wanted.words}, so pass another path or source`,
    )
  }
  const all = files.map((id) => ({ id, path: path.join(root, id) }))
  return { folder: root, name, containers: withHalves(all, ({ id }) => id) }
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
