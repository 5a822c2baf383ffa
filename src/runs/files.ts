/** @file The names of everything that a run keeps in its directory. */
import { runFolders } from '../config/sweepFile.ts'

/** Folders of a run; none of them holds another run. */
export const ownFolders: ReadonlySet<string> = new Set(Object.values(runFolders))

export { runFiles } from '../model/files.ts'
export { runFolders }
