/** @file A model that was trained in this browser and is kept there by the page of training: `?kept=NAME`. */
import { modelFolder, runsFolder } from '../../shell/keptRuns.ts'
import type { ModelSource } from '../engine/protocol.ts'

/** @throws one sentence when it is not there */
const folderOf = async (name: string): Promise<FileSystemDirectoryHandle> => {
  try {
    const runs = await (await navigator.storage.getDirectory()).getDirectoryHandle(runsFolder)
    return await (await runs.getDirectoryHandle(name)).getDirectoryHandle(modelFolder)
  } catch (cause) {
    throw new Error(`kept=${name}: this browser keeps no model of that name; open it from the page Train`, {
      cause,
    })
  }
}

/** The model that an address names so; null where it names none. @throws Error when this browser does not have it */
export const keptModel = async ({ search }: Pick<Location, 'search'>): Promise<ModelSource | null> => {
  const name = new URLSearchParams(search).get('kept')
  if (name === null || name === '') return null
  const files: Record<string, Blob> = {}
  for await (const [file, handle] of (await folderOf(name)).entries())
    if (handle instanceof FileSystemFileHandle) files[file] = await handle.getFile()
  return { kind: 'files', name, files }
}
