/** @file A run of a tab as it is downloaded: the folder that `ul train` goes on with, a person's own pictures in it as PNG. */

import { encode as encodePng } from 'fast-png'
import { checkpointFiles, checkpointName, checkpointsAmong } from '../runs/checkpointFormat.ts'
import { runFiles, runFolders } from '../runs/files.ts'
import type { RunFiles } from './files.ts'
import { type Pictures, pictureFolder } from './pictures.ts'

/** Where a run lies in what is downloaded, and so below where that is unpacked: where `ul train` looks for a run of its name. */
export const runFolder = (name: string): string => `runs/${name}`

/** A file by its path below the folder of the run. */
export type Downloaded = readonly [path: string, bytes: Uint8Array]

/** The checkpoints that were saved to their end. */
async function* checkpoints(files: RunFiles): AsyncGenerator<Downloaded> {
  for (const name of checkpointsAmong(await files.list(runFolders.checkpoints)).map(checkpointName)) {
    const folder = `${runFolders.checkpoints}/${name}`
    const record = await files.read(`${folder}/${checkpointFiles.record}`)
    const tensors = await files.read(`${folder}/${checkpointFiles.tensors}`)
    if (record === null || tensors === null) continue
    yield [`${folder}/${checkpointFiles.tensors}`, tensors]
    yield [`${folder}/${checkpointFiles.record}`, record]
  }
}

/** Pictures as PNG files below the folder of the run. */
export function* pictureFiles({ list, pixels }: Pictures): Generator<Downloaded> {
  const { size } = list
  const each = 3 * size * size
  for (const [i, { id }] of [...list.train, ...list.validation].entries()) {
    const data = pixels.subarray(i * each, (i + 1) * each)
    yield [`${pictureFolder}/${id}`, encodePng({ width: size, height: size, data, channels: 3 })]
  }
}

/** Every file of the download, one after the other. @param own pictures that a person brought; null where there are none */
export async function* downloadOf(files: RunFiles, own: Pictures | null): AsyncGenerator<Downloaded> {
  for (const path of [runFiles.config, runFiles.info, runFiles.metrics]) {
    const bytes = await files.read(path)
    if (bytes !== null) yield [path, bytes]
  }
  yield* checkpoints(files)
  for (const name of await files.list(runFolders.samples)) {
    const path = `${runFolders.samples}/${name}`
    const bytes = await files.read(path)
    if (bytes !== null) yield [path, bytes]
  }
  if (own !== null) yield* pictureFiles(own)
}
