/** @file The runs that this browser keeps, each a folder of its own file system, and written to by one tab at a time. */
import {
  checkpointsAmong,
  type RunFiles,
  readConfig,
  readText,
  recordsIn,
  runFiles,
  runFolders,
} from '../../../../src/tab/page.ts'
import { runsFolder } from '../../shell/keptRuns.ts'
import type { BrokenRun, Said, StoredRun } from '../messages.ts'
import { bytesBelow, opfsFiles } from './opfs.ts'

/** @throws one sentence where the browser keeps no files for this page */
const allRuns = async (): Promise<FileSystemDirectoryHandle> => {
  try {
    return await (await navigator.storage.getDirectory()).getDirectoryHandle(runsFolder, { create: true })
  } catch (cause) {
    throw new Error(
      `this browser keeps no files for this page (${(cause as Error).message}), so that nothing can be trained here; leave private browsing, or take another browser`,
      { cause },
    )
  }
}

/** Names of all runs, sorted. */
const namesOf = async (folder: FileSystemDirectoryHandle): Promise<string[]> => {
  const names: string[] = []
  for await (const name of folder.keys()) names.push(name)
  return names.sort()
}

/** The files of a run, which is made where it is not there. */
export const filesOf = async (name: string): Promise<RunFiles> =>
  opfsFiles(await (await allRuns()).getDirectoryHandle(name, { create: true }))

/** Whether there is a run of that name. */
export const isKept = async (name: string): Promise<boolean> =>
  (await namesOf(await allRuns())).includes(name)

/** A run by its name; null where it was not begun to its end. */
export const storedRun = async (name: string): Promise<StoredRun | null> => {
  const folder = await (await allRuns()).getDirectoryHandle(name)
  const files = opfsFiles(folder)
  if ((await readText(files, runFiles.config)) === null) return null
  const { train, data } = await readConfig(files)
  const [newest] = checkpointsAmong(await files.list(runFolders.checkpoints))
  const bytes = await bytesBelow(folder)
  return { name, step: newest?.step ?? 0, steps: train.stage1.steps, isOwn: data.source !== 'emoji', bytes }
}

/** All runs; one that is being made is left out. */
export const storedRuns = async (): Promise<(StoredRun | BrokenRun)[]> => {
  const runs: (StoredRun | BrokenRun)[] = []
  for (const name of await namesOf(await allRuns())) {
    try {
      const run = await storedRun(name)
      if (run !== null) runs.push(run)
    } catch (error) {
      runs.push({ name, fault: (error as Error).message })
    }
  }
  return runs
}

/** A run with its log and newest drawing. @throws when it is not there */
export const shownRun = async (
  name: string,
  warn: (text: string) => void,
): Promise<Said & { said: 'run' }> => {
  const run = (await isKept(name)) ? await storedRun(name) : null
  if (run === null) throw new Error(`${name}: this browser keeps no such run; it was deleted`)
  const files = await filesOf(name)
  const log = recordsIn((await readText(files, runFiles.metrics)) ?? '', runFiles.metrics, warn)
  const drawings = await files.list(runFolders.samples)
  const newest = drawings.length === 0 ? null : await files.read(`${runFolders.samples}/${drawings.at(-1)}`)
  const drawing =
    newest === null ? null : new Blob([newest as Uint8Array<ArrayBuffer>], { type: 'image/png' })
  return { said: 'run', run, log, drawing }
}

/** Removes a run with all its files. */
export const deleteRun = async (name: string): Promise<void> => {
  await (await allRuns()).removeEntry(name, { recursive: true })
}

/** Does work on a run that no other tab works on meanwhile. @throws one sentence when another does */
export const whileHeld = async <T>(name: string, work: () => Promise<T>): Promise<T> =>
  navigator.locks.request(`unified-latents run ${name}`, { ifAvailable: true }, (lock) => {
    if (lock === null)
      throw new Error(
        `${name}: another tab of this browser is at work on this run; go on there, or close that tab`,
      )
    return work()
  })
