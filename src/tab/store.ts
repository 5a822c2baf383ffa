/** @file The files of a tab as where a stage keeps what it leaves (stages/store.ts): the same files as a run on the disk has. */

import { encode as encodePng } from 'fast-png'
import type { HostTensor } from '../engine/host/tensor.ts'
import { drawnRows, pairRows } from '../report/canvas.ts'
import {
  type Checkpoint,
  checkpointFiles,
  checkpointName,
  checkpointsAmong,
  expectFinite,
  expectSavable,
  type LoadedCheckpoint,
  newestOf,
  outdated,
  parseRecord,
  showRecord,
} from '../runs/checkpointFormat.ts'
import { runFiles, runFolders } from '../runs/files.ts'
import { recordsIn, resumedLog, showLine } from '../runs/metricLines.ts'
import type { Progress } from '../runs/progress.ts'
import type { RunStore, StepLog } from '../stages/store.ts'
import { expectNames, expectUnchanged } from '../stored/checksums.ts'
import { encodeSafetensors, headerIn, sourceOf, tensorsIn } from '../stored/safetensors.ts'
import { type RunFiles, readText, writeText } from './files.ts'

const folderOf = (name: string): string => `${runFolders.checkpoints}/${name}`

const listed = async (files: RunFiles): Promise<Progress[]> =>
  checkpointsAmong(await files.list(runFolders.checkpoints))

/** The bytes of a checkpoint; null for what is missing. */
interface Kept {
  readonly record: string | null
  readonly tensors: Uint8Array | null
}

const keptIn = async (files: RunFiles, name: string): Promise<Kept> => ({
  record: await readText(files, `${folderOf(name)}/${checkpointFiles.record}`),
  tensors: await files.read(`${folderOf(name)}/${checkpointFiles.tensors}`),
})

/** @throws when a checkpoint is not what was saved */
const loaded = (name: string, { record, tensors: bytes }: Kept) => {
  const path = folderOf(name)
  if (record === null || bytes === null) throw new Error(`${path}: it was not saved to its end`)
  const { state, checksums } = parseRecord(record, path)
  const file = `${path}/${checkpointFiles.tensors}`
  const source = sourceOf(bytes)
  if (checksums !== null) expectNames(file, headerIn(file, source).entries.keys(), checksums)
  const { tensors } = tensorsIn(file, source)
  if (checksums !== null) expectUnchanged(file, tensors, checksums)
  expectFinite(file, tensors)
  return { path, state, hasChecksums: checksums !== null, tensors }
}

/** The newest checkpoint of a stage that is whole (RunStore). */
export const newestCheckpoint = async <T>(
  files: RunFiles,
  stage: string,
  take: (tensors: Record<string, HostTensor>) => T,
): Promise<LoadedCheckpoint<T> | null> => {
  const all = await listed(files)
  const kept = new Map<string, Kept>()
  for (const name of all.map(checkpointName)) kept.set(name, await keptIn(files, name))
  return newestOf('this run', all, stage, (name) => {
    const { tensors, ...found } = loaded(name, kept.get(name)!)
    return { ...found, value: take(tensors) }
  })
}

/** Writes the tensors and then the record, without which there is no checkpoint; then removes older ones. */
const save = async (files: RunFiles, checkpoint: Checkpoint, keepLast: number): Promise<void> => {
  expectSavable(checkpoint, keepLast)
  const folder = folderOf(checkpointName(checkpoint))
  const file = `${folder}/${checkpointFiles.tensors}`
  expectFinite(folder, checkpoint.tensors)
  await files.write(file, encodeSafetensors(file, checkpoint.tensors))
  await writeText(files, `${folder}/${checkpointFiles.record}`, showRecord(checkpoint))
  const old = outdated(await listed(files), checkpoint, keepLast)
  for (const name of old.map(checkpointName)) {
    await files.remove(`${folderOf(name)}/${checkpointFiles.record}`)
    await files.remove(folderOf(name))
  }
}

const openLog = async (
  files: RunFiles,
  resumedAt: Progress,
  warn: (text: string) => void,
): Promise<StepLog> => {
  const path = runFiles.metrics
  const records = recordsIn((await readText(files, path)) ?? '', path, warn)
  await writeText(files, path, resumedLog(records, resumedAt))
  const { stage } = resumedAt
  const utf8 = new TextEncoder()
  return {
    record: (step, values) => files.append(path, utf8.encode(showLine({ stage, step, ...values }))),
    sync: async () => undefined,
    close: async () => undefined,
  }
}

/** How a tab's store is kept. */
export interface TabStoreOptions {
  /** Told of damage that is passed over. */
  readonly warn: (text: string) => void
  /** Seconds between checkpoints. */
  readonly saveEvery: number
  /** Milliseconds of any clock that only goes forward. */
  readonly now: () => number
  /** Given every drawing, a PNG, after it is kept. */
  readonly onDrawn: (png: Uint8Array) => void
}

/** The store of a run's files. */
export const tabStore = (files: RunFiles, { warn, saveEvery, now, onDrawn }: TabStoreOptions): RunStore => {
  let saved = now()
  return {
    newest: (stage, take) => newestCheckpoint(files, stage, take),
    save: async (checkpoint, keepLast) => {
      await save(files, checkpoint, keepLast)
      saved = now()
    },
    wantsSave: () => now() - saved >= saveEvery * 1000,
    openLog: (resumedAt) => openLog(files, resumedAt, warn),
    draw: async (name, originals, reconstructions) => {
      const { rows, size } = pairRows(originals, reconstructions, 8, {})
      const canvas = drawnRows(rows, size, { scale: 2 })
      const png = encodePng({ width: canvas.width, height: canvas.height, data: canvas.rgb, channels: 3 })
      await files.write(`${runFolders.samples}/${name}.png`, [png])
      onDrawn(png)
    },
  }
}
