/** @file Runs by where they lie: in directories, or as lines of files of results. */
import { type Dirent, readdirSync, statSync } from 'node:fs'
import { join, resolve, sep } from 'node:path'
import { ownFolders, runFiles } from './files.ts'
import { linesIn, resultsFileOf } from './resultLines.ts'
import { type Run, runIn } from './run.ts'

/**
 * Directories at or below `dir` that hold a run or figures of one, in the order of their names, a run before those below it.
 * Links are not followed.
 * @param unread gives what is in a folder that cannot be read; by default the error is thrown
 */
export const runDirectories = (
  dir: string,
  unread: (error: unknown) => readonly Dirent[] = (error) => {
    throw error
  },
): string[] => {
  const entries = ((): readonly Dirent[] => {
    try {
      return readdirSync(dir, { withFileTypes: true })
    } catch (error) {
      return unread(error)
    }
  })()
  const below = entries
    .filter((entry) => entry.isDirectory() && !ownFolders.has(entry.name))
    .map(({ name }) => name)
    .sort()
  const isRun = entries.some(({ name }) => name === runFiles.config || name === runFiles.quality)
  return [...(isRun ? [dir] : []), ...below.flatMap((name) => runDirectories(join(dir, name), unread))]
}

/** Whether a path is a directory, or lies below it. */
export const isWithin = (path: string, dir: string): boolean =>
  resolve(path) === resolve(dir) || resolve(path).startsWith(join(resolve(dir), sep))

const runsAt = (path: string): Run[] => {
  const file = resultsFileOf(path)
  if (file !== null) {
    const runs = linesIn(file).filter((run) => isWithin(run.path, path))
    if (runs.length > 0 || path === file) return runs
    throw new Error(`${path}: ${file} has no run there; give ${file}, or a folder that its paths begin with`)
  }
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true)
    throw new Error(
      `${path}: there is no such directory; give run directories, directories above them, or files of results (.jsonl)`,
    )
  return runDirectories(path).map(runIn)
}

/**
 * The runs at or below paths, each once: directories, files of results, and folders within such a file
 * (`rates.jsonl/c_lf-3`).
 * @throws when a path is missing, or a file of results does not read
 */
export const findRuns = (paths: readonly string[]): Run[] => {
  const found = new Map<string, Run>()
  for (const run of paths.flatMap(runsAt))
    if (!found.has(resolve(run.path))) found.set(resolve(run.path), run)
  return [...found.values()]
}
