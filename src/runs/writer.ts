/** @file One writer for each run: whoever writes into a run's directory holds its lock (docs/reliability.md). */
import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryPrefix } from '../files/atomic.ts'
import { type Lock, lockFolder } from '../files/lock.ts'
import { runFolders } from './files.ts'

/** What a process left unfinished that was killed while it wrote. Latents are written by other runs, too. */
const removeLeftovers = (dir: string): void => {
  const folders = [dir, join(dir, runFolders.checkpoints), join(dir, runFolders.samples)]
  for (const folder of folders) {
    let names: string[] = []
    try {
      names = readdirSync(folder)
    } catch {
      continue // not there yet
    }
    for (const name of names.filter((name) => name.startsWith(temporaryPrefix)))
      rmSync(join(folder, name), { recursive: true, force: true })
  }
}

/**
 * Makes this process the writer of a run, whose directory is made where there is none, and removes leftovers of writers that
 * were killed.
 * @throws LockedError when another process writes there.
 */
export const openWriter = (dir: string): Lock => {
  mkdirSync(dir, { recursive: true })
  const lock = lockFolder(dir)
  removeLeftovers(dir)
  return lock
}

/** Does work that writes into a run. @throws LockedError when another process does, before anything is done */
export const whileWriting = async <T>(dir: string, work: (lock: Lock) => Promise<T>): Promise<T> => {
  const lock = openWriter(dir)
  try {
    return await work(lock)
  } finally {
    lock.release()
  }
}
