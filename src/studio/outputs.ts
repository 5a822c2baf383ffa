/** @file What trainers that were started here print: a file each, in a folder beside the runs, of which the end is kept. */
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { textChecksum } from '../stored/checksums.ts'
import type { RunsFolder } from './folder.ts'
import { Refused } from './refused.ts'

/** The output of trainers. */
export interface Outputs {
  /** Begins the output of a run's trainer anew. @returns a descriptor that appends to it, for the trainer */
  open(run: string): number
  /** The end of what the last start of a run's trainer printed; empty where no studio started it. */
  end(run: string): string
  /** Cuts to their ends those that are long. */
  trim(): void
}

/** Folder of the studio's own files within that of the runs. */
const ownFolder = '.studio'
/** Bytes of output that are shown, and above which it is cut to these. */
const [shownBytes, mostBytes] = [2 ** 14, 2 ** 20]

/** The end of a file. */
const endOf = (path: string, most: number): string => {
  const file = openSync(path, 'r')
  try {
    const { size } = fstatSync(file)
    const bytes = Buffer.alloc(Math.min(most, size))
    return bytes.toString('utf8', 0, readSync(file, bytes, 0, bytes.length, size - bytes.length))
  } finally {
    closeSync(file)
  }
}

/** Cuts a file to its end, in place: the process that writes to it appends wherever that is. */
const cut = (path: string): void => {
  if (statSync(path).size <= mostBytes) return
  const end = Buffer.from(endOf(path, shownBytes))
  const file = openSync(path, 'a')
  try {
    ftruncateSync(file, 0)
    writeSync(file, end)
  } finally {
    closeSync(file)
  }
}

export const openOutputs = (folder: RunsFolder): Outputs => {
  const own = join(folder.root, ownFolder)
  const outputOf = (run: string): string =>
    join(own, `${run.replaceAll('/', '~').slice(-80)}-${textChecksum(run).slice(0, 8)}.log`)
  /** Whether a file is there, and not a link to another. */
  const isThere = (path: string): boolean => folder.inside(path) === path
  return {
    open: (run) => {
      mkdirSync(own, { recursive: true })
      if (!isThere(own)) throw new Refused(422, `${own}: this is a link; remove it`)
      rmSync(outputOf(run), { force: true })
      return openSync(outputOf(run), 'ax')
    },
    end: (run) => (isThere(outputOf(run)) ? endOf(outputOf(run), shownBytes) : ''),
    trim: () => {
      if (!isThere(own)) return
      const paths = readdirSync(own).map((name) => join(own, name))
      for (const path of paths) if (path.endsWith('.log') && isThere(path)) cut(path)
    },
  }
}
