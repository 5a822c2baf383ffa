/** @file The folder of runs: what requests name in it, and nothing that lies elsewhere. */
import { lstatSync, realpathSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'
import { shortened } from '../report/escape.ts'
import { runFiles } from '../runs/files.ts'
import { isWithin } from '../runs/findRuns.ts'
import { Refused } from './refused.ts'

/** Folders within each other, and characters, of a name at most. */
const deepest = 16
const longest = 1000

/** What no part of a name may be or hold: ways up, separators of other systems, characters that nobody types. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const isUsable = (part: string): boolean => !/^\.{0,2}$|[/\\:\u0000-\u001f\u007f]/.test(part)

const shown = (name: string): string => JSON.stringify(shortened(name, 100))

const noRun = (name: string): Refused =>
  new Refused(404, `${shown(name)}: there is no such run; ask for the list again`)

/** Parts of a name with slashes. @throws Refused for what names nothing below a folder */
const partsOf = (name: string): string[] => {
  const parts = name.split('/')
  if (name.length > longest || parts.length > deepest || !parts.every(isUsable))
    throw new Refused(400, `${shown(name)}: this names no run; give its path below the folder of runs`)
  return parts
}

/** Characters of a new run's name, and how a part of it may look: as arms of sweeps are called. */
const longestNew = 180
const newPart = /^\w[\w.=,+ -]*$/

/** The folder of runs. */
export interface RunsFolder {
  /** As it was given. */
  readonly given: string
  /** Its real path. */
  readonly root: string
  /** A run's name by its directory. */
  nameOf(dir: string): string
  /** The real path of what a path leads to; null where there is nothing, or where it leads out of the folder. */
  inside(path: string): string | null
  /** The directory of a run that there is. @throws Refused */
  directoryOf(run: string): string
  /** A folder below which runs are looked for; the whole one for an empty name. @throws Refused */
  below(name: string): string
  /** Where a run of a new name goes. @throws Refused when the name is not one, is taken, or lies in a run's own folder */
  placeOf(run: string): string
}

/** @throws when there is no such folder */
export const openFolder = (given: string): RunsFolder => {
  const root = realpathSync(given)
  const inside = (path: string): string | null => {
    try {
      const real = realpathSync(path)
      return isWithin(real, root) ? real : null
    } catch {
      return null
    }
  }
  const below = (name: string): string => {
    const dir = inside(name === '' ? root : join(root, ...partsOf(name)))
    if (dir === null || !lstatSync(dir).isDirectory())
      throw new Refused(404, `${shown(name)}: there is no such folder below that of the runs`)
    return dir
  }
  const placeOf = (run: string): string => {
    const parts = partsOf(run)
    if (run.length > longestNew || !parts.every((part) => newPart.test(part)))
      throw new Refused(
        422,
        `${shown(run)}: a run's name has letters, digits and . = , + - _ in each part, begins with a letter or digit, and has ${longestNew} characters at most`,
      )
    const place = join(root, ...parts)
    let there = place
    while (lstatSync(there, { throwIfNoEntry: false }) === undefined) there = dirname(there)
    // A link on the way would lead elsewhere.
    if (inside(there) !== there)
      throw new Refused(422, `${shown(run)}: a link leads out of the folder of runs; give another name`)
    if (there === place)
      throw new Refused(
        409,
        `${shown(run)}: there is such a folder already; resume that run, or give another name`,
      )
    return place
  }
  return {
    given,
    root,
    nameOf: (dir) => relative(root, dir).split(sep).join('/'),
    inside,
    directoryOf: (run) => {
      const dir = inside(join(root, ...partsOf(run)))
      if (dir === null) throw noRun(run)
      const holdsRun = [runFiles.config, runFiles.quality].some(
        (file) => lstatSync(join(dir, file), { throwIfNoEntry: false }) !== undefined,
      )
      if (!holdsRun) throw noRun(run)
      return dir
    },
    below,
    placeOf,
  }
}
