/** @file Checkpoints of a run on the disk (checkpointFormat.ts). */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { HostTensor } from '../engine/host/tensor.ts'
import { syncDirectory, temporarySibling, writeFileAtomic } from '../files/atomic.ts'
import { inspectSafetensors, readSafetensors, writeSafetensors } from '../files/safetensors.ts'
import { expectNames, expectUnchanged } from '../stored/checksums.ts'
import {
  type Checkpoint,
  type CheckpointRecord,
  checkpointFiles,
  checkpointName,
  checkpointsAmong,
  expectFinite,
  expectSavable,
  type FoundCheckpoint,
  type LoadedCheckpoint,
  newestOf,
  outdated,
  parseRecord,
  showRecord,
} from './checkpointFormat.ts'
import { runFolders } from './files.ts'
import { compareProgress, type Progress } from './progress.ts'

const directoryOf = (runDir: string): string => join(runDir, runFolders.checkpoints)

/** A run's checkpoints, newest first. */
const listed = (runDir: string): Progress[] => {
  try {
    return checkpointsAmong(readdirSync(directoryOf(runDir)))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

/** Names of the stages that have checkpoints, in the order of training. */
export const checkpointStages = (runDir: string): string[] =>
  [...new Set(listed(runDir).map(({ stage }) => stage))].reverse()

/** The file of a checkpoint's tensors. */
export const tensorsFile = (path: string): string => join(path, checkpointFiles.tensors)

const recordFile = (path: string): string => join(path, checkpointFiles.record)

/** Removal in two moves, so that a half-removed directory never has a checkpoint's name. */
const discard = (path: string): void => {
  const temporary = temporarySibling(path)
  renameSync(path, temporary)
  rmSync(temporary, { recursive: true, force: true })
}

/**
 * Writes a checkpoint and then removes older ones of the same stage so that `keepLast` remain. A crash at any moment
 * leaves each checkpoint whole, absent, or under a temporary name. Other stages and later steps are left alone, so
 * the last checkpoint of stage 1 survives stage 2. One process writes to a run at a time (see writer.ts).
 * @returns the checkpoint's directory.
 * @throws when the stage is not a word, the step not a count, `keepLast` below 1, a tensor not finite, or when writing fails.
 */
export const saveCheckpoint = (runDir: string, checkpoint: Checkpoint, keepLast: number): string => {
  expectSavable(checkpoint, keepLast)
  const { tensors } = checkpoint
  const directory = directoryOf(runDir)
  const path = join(directory, checkpointName(checkpoint))
  // Not with those above it: a run that was removed in the meantime must not be made again with this alone in it.
  if (!existsSync(directory)) mkdirSync(directory)
  expectFinite(path, tensors)
  const temporary = temporarySibling(path)
  try {
    mkdirSync(temporary)
    writeSafetensors(tensorsFile(temporary), tensors)
    writeFileAtomic(recordFile(temporary), showRecord(checkpoint))
    const same = listed(runDir).some((found) => compareProgress(found, checkpoint) === 0)
    if (same) discard(path) // a rename cannot replace a directory that has files
    renameSync(temporary, path)
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true })
    throw error
  }
  syncDirectory(directory)
  syncDirectory(dirname(directory))

  for (const old of outdated(listed(runDir), checkpoint, keepLast))
    discard(join(directory, checkpointName(old)))
  return path
}

/** Reads state.json and the tensors' header, and checks that both tell of the same tensors. */
const inspected = (path: string): CheckpointRecord => {
  const record = parseRecord(readFileSync(recordFile(path), 'utf8'), path)
  const file = tensorsFile(path)
  const names = inspectSafetensors(file).entries.keys()
  if (record.checksums !== null) expectNames(file, names, record.checksums)
  return record
}

/**
 * Reads a checkpoint directory, and checks that it holds what was saved, finite numbers alone.
 * @param wanted which tensors to read, by name; all when absent
 * @throws one sentence that names the file when state.json or state.safetensors does not read, or was changed.
 */
export const loadCheckpoint = (
  path: string,
  wanted?: (name: string) => boolean,
): Pick<FoundCheckpoint, 'state' | 'hasChecksums'> & { readonly tensors: Record<string, HostTensor> } => {
  const { state, checksums } = inspected(path)
  const { tensors } = readSafetensors(tensorsFile(path), wanted)
  if (checksums !== null) expectUnchanged(tensorsFile(path), tensors, checksums)
  expectFinite(tensorsFile(path), tensors)
  return { state, hasChecksums: checksums !== null, tensors }
}

/** See newestOf. @param take is given the checkpoint's directory */
const newest = <T extends Pick<FoundCheckpoint, 'state' | 'hasChecksums'>>(
  runDir: string,
  stage: string | undefined,
  take: (path: string) => T,
): (FoundCheckpoint & T) | null =>
  newestOf(runDir, listed(runDir), stage, (name) => {
    const path = join(directoryOf(runDir), name)
    return { ...take(path), path }
  })

/**
 * The newest checkpoint whose state.json and tensor header read, agree, and fit the file's length; only of one stage where
 * `stage` is given. Values are not looked at. Temporary directories are skipped.
 * @returns null when the run has no such checkpoint.
 * @throws when there are checkpoints but none reads, with the reason for each.
 */
export const latestCheckpoint = (runDir: string, stage?: string): FoundCheckpoint | null =>
  newest(runDir, stage, (path) => {
    const { state, checksums } = inspected(path)
    return { state, hasChecksums: checksums !== null }
  })

/**
 * Loads the newest checkpoint of a stage that is whole, values included.
 * @param options.take what is made of its tensors; one that it throws on is passed over, too
 * @param options.wanted which tensors to read, by name; all when absent
 * @returns null when the stage has no checkpoint.
 * @throws when there are checkpoints but none loads, with the reason for each.
 */
export const loadNewest = <T>(
  runDir: string,
  stage: string,
  options: {
    readonly take: (tensors: Record<string, HostTensor>) => T
    readonly wanted?: (name: string) => boolean
  },
): LoadedCheckpoint<T> | null =>
  newest(runDir, stage, (path) => {
    const { tensors, ...found } = loadCheckpoint(path, options.wanted)
    return { ...found, value: options.take(tensors) }
  })
