/** @file Guesses from names which kind of data lies at a path, for whoever gives it where something else belongs. */

import { type Dirent, readdirSync, statSync } from 'node:fs'
import path from 'node:path'
import { IMAGE_ENDINGS } from './images/scan.ts'

/** Data that was found. */
export interface RecognisedData {
  /** Its kind, as `data.source` has it; null for what must be unpacked first. */
  readonly source: string | null
  /** What it is, as in `a folder of images`. */
  readonly words: string
}

/** Kinds by the names of their files; the first that fits is meant. */
const KINDS: readonly (readonly [source: string | null, names: RegExp, words: string])[] = [
  ['manifest', /\.jsonl$/i, 'lists of images (.jsonl)'],
  ['webdataset', /\.tar$/i, '.tar files'],
  ['parquet', /\.parquet$/i, '.parquet files'],
  ['idx', /idx3[-_.]ubyte(\.gz)?$/i, 'IDX files'],
  ['cifar', /^(data_batch_\d+|test_batch)\.bin$/i, 'CIFAR files'],
  ['npy', /\.np[yz]$/i, 'NumPy arrays'],
  ['kinetics', /_\d{6}_\d{6}\.(mp4|mkv|webm|avi|mov)$/i, 'clips of Kinetics'],
  ['clips', /\.(mp4|m4v|mov|mkv|webm|avi|mpe?g|m2?ts|wmv|flv|ogv|3gp|y4m|apng)$/i, 'videos'],
  ['folder', new RegExp(`\\.(${[...IMAGE_ENDINGS].join('|')})$`, 'i'), 'images'],
  [null, /\.(zip|7z|rar|t?gz|tbz2?|bz2|txz|xz|zst)$/i, 'packed files'],
]

/** Entries that are looked at; the first images of a large set are enough. */
const ENTRIES = 5000

const entriesOf = (folder: string): Dirent[] => {
  try {
    return readdirSync(folder, { withFileTypes: true })
  } catch {
    return []
  }
}

/** Names of files below a folder, breadth first. */
const namesBelow = (root: string): string[] => {
  const names: string[] = []
  const folders = [root]
  for (let seen = 0; folders.length > 0 && seen < ENTRIES; ) {
    const folder = folders.shift()!
    for (const entry of entriesOf(folder)) {
      if (entry.name.startsWith('.') || seen++ >= ENTRIES) continue
      if (entry.isDirectory()) folders.push(path.join(folder, entry.name))
      else names.push(entry.name)
    }
  }
  return names
}

/** The data at a path; null when nothing there has a name of data. */
export const recogniseData = (given: string): RecognisedData | null => {
  const info = statSync(given, { throwIfNoEntry: false })
  if (info === undefined || !(info.isFile() || info.isDirectory())) return null
  const names = info.isFile() ? [path.basename(given)] : namesBelow(given)
  const kind = KINDS.find(([, pattern]) => names.some((name) => pattern.test(name)))
  if (kind === undefined) return null
  const [source, , words] = kind
  if (info.isFile() && source === 'folder') return { source: null, words: 'an image' }
  if (info.isFile() && (source === 'clips' || source === 'kinetics'))
    return { source: null, words: 'a video' }
  return { source, words: info.isFile() ? `one of the ${words} that hold data` : `a folder of ${words}` }
}
