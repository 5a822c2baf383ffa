/** @file Checkpoints of a run: `<run>/checkpoints/<stage>-<step>/` with state.safetensors and state.json. */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { HostTensor } from '../engine/host/tensor.ts'
import { syncDirectory, temporaryPrefix, temporarySibling, writeFileAtomic } from '../files/atomic.ts'
import { inspectSafetensors, readSafetensors, writeSafetensors } from '../files/safetensors.ts'
import { runFolders } from './files.ts'
import { compareProgress, type Progress } from './progress.ts'

/** What JSON can hold. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json }

/** What the trainer stores beside the tensors: the two fields that every reader needs, and whatever else it wants. */
export interface CheckpointMeta {
  /** Training images seen, over all steps of the stage. */
  readonly images: number
  /** Hash of what was trained (configHash), for whoever finds the checkpoint alone; a resume compares configurations. */
  readonly configHash: string
  readonly [key: string]: Json
}

/** The content of state.json. */
export interface CheckpointState extends CheckpointMeta {
  readonly version: 1
  readonly stage: string
  readonly step: number
}

/** A checkpoint in memory. */
export interface Checkpoint extends Progress {
  readonly tensors: Readonly<Record<string, HostTensor>>
  readonly meta: CheckpointMeta
}

/** A checkpoint on disk that reads. */
export interface FoundCheckpoint extends Progress {
  readonly path: string
  readonly state: CheckpointState
  /** One sentence for each newer checkpoint that was passed over. */
  readonly ignored: readonly string[]
}

const directoryOf = (runDir: string): string => join(runDir, runFolders.checkpoints)

const nameOf = ({ stage, step }: Progress): string => `${stage}-${String(step).padStart(9, '0')}`

const parseName = (name: string): Progress | null => {
  const match = /^(\w+)-(\d{9,})$/.exec(name)
  return match && { stage: match[1], step: Number(match[2]) }
}

/** Directories with a checkpoint's name, newest first. */
const listed = (runDir: string): Progress[] => {
  let names: string[]
  try {
    names = readdirSync(directoryOf(runDir))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
  return names
    .map(parseName)
    .filter((found) => found !== null)
    .sort((a, b) => compareProgress(b, a))
}

/** Names of the stages that have checkpoints, in the order of training. */
export const checkpointStages = (runDir: string): string[] =>
  [...new Set(listed(runDir).map(({ stage }) => stage))].reverse()

/** The file of a checkpoint's tensors. */
export const tensorsFile = (path: string): string => join(path, 'state.safetensors')

const readState = (path: string): CheckpointState => {
  const file = join(path, 'state.json')
  let state: Partial<CheckpointState> | null
  try {
    state = JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    throw new Error(`${file}: does not read (${(error as Error).message})`)
  }
  if (state?.version !== 1) throw new Error(`${file}: version ${state?.version} is not known, only 1 is`)
  const { stage, step, images, configHash } = state
  if (typeof stage !== 'string' || typeof step !== 'number' || nameOf({ stage, step }) !== basename(path)) {
    throw new Error(`${file}: is of ${stage} step ${step}, not of the step in its path`)
  }
  if (typeof images !== 'number' || typeof configHash !== 'string') {
    throw new Error(`${file}: lacks "images" or "configHash"`)
  }
  return { ...state, version: 1, stage, step, images, configHash }
}

/** Removal in two moves, so that a half-removed directory never has a checkpoint's name. */
const discard = (path: string): void => {
  const temporary = temporarySibling(path)
  renameSync(path, temporary)
  rmSync(temporary, { recursive: true, force: true })
}

/**
 * Writes a checkpoint and then removes older ones of the same stage so that `keepLast` remain. A crash at any moment
 * leaves each checkpoint whole, absent, or under a temporary name. Other stages and later steps are left alone, so
 * the last checkpoint of stage 1 survives stage 2. One process writes to a run at a time.
 * @returns the checkpoint's directory.
 * @throws when the stage is not a word, the step not a count, `keepLast` below 1, or when writing fails.
 */
export const saveCheckpoint = (
  runDir: string,
  { stage, step, tensors, meta }: Checkpoint,
  keepLast: number,
): string => {
  if (!/^\w+$/.test(stage))
    throw new Error(`checkpoint: stage "${stage}" is not a word of letters and digits`)
  if (!Number.isSafeInteger(step) || step < 0) throw new Error(`checkpoint: step ${step} is not a count`)
  if (!(keepLast >= 1)) throw new Error(`checkpoint: keepLast ${keepLast} would remove every checkpoint`)
  const directory = directoryOf(runDir)
  const path = join(directory, nameOf({ stage, step }))
  mkdirSync(directory, { recursive: true })
  for (const name of readdirSync(directory)) {
    if (name.startsWith(temporaryPrefix)) rmSync(join(directory, name), { recursive: true, force: true })
  }

  const temporary = temporarySibling(path)
  try {
    mkdirSync(temporary)
    writeSafetensors(tensorsFile(temporary), tensors)
    const state = { ...meta, version: 1, stage, step }
    writeFileAtomic(join(temporary, 'state.json'), `${JSON.stringify(state, null, 2)}\n`)
    const same = listed(runDir).some((found) => compareProgress(found, { stage, step }) === 0)
    if (same) discard(path) // a rename cannot replace a directory that has files
    renameSync(temporary, path)
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true })
    throw error
  }
  syncDirectory(directory)
  syncDirectory(dirname(directory))

  const older = listed(runDir).filter((found) => found.stage === stage && found.step < step)
  for (const found of older.slice(keepLast - 1)) discard(join(directory, nameOf(found)))
  return path
}

/**
 * The newest checkpoint whose state.json and tensor header read and fit the file's length; only of one stage where
 * `stage` is given. Temporary directories are skipped.
 * @returns null when the run has no checkpoint directory.
 * @throws when there are checkpoints but none reads, with the reason for each.
 */
export const latestCheckpoint = (runDir: string, stage?: string): FoundCheckpoint | null => {
  const ignored: string[] = []
  for (const found of listed(runDir)) {
    if (stage !== undefined && found.stage !== stage) continue
    const path = join(directoryOf(runDir), nameOf(found))
    try {
      const state = readState(path)
      inspectSafetensors(tensorsFile(path))
      return { ...found, path, state, ignored }
    } catch (error) {
      ignored.push((error as Error).message)
    }
  }
  if (ignored.length > 0) throw new Error(`${runDir}: no checkpoint reads: ${ignored.join('; ')}`)
  return null
}

/**
 * Reads a checkpoint directory.
 * @param wanted which tensors to read, by name; all when absent
 * @throws one sentence that names the file when state.json or state.safetensors does not read.
 */
export const loadCheckpoint = (
  path: string,
  wanted?: (name: string) => boolean,
): { readonly state: CheckpointState; readonly tensors: Record<string, HostTensor> } => ({
  state: readState(path),
  tensors: readSafetensors(tensorsFile(path), wanted).tensors,
})
