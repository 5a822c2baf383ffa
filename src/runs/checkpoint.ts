/**
 * @file Checkpoints of a run: `<run>/checkpoints/<stage>-<step>/` with state.safetensors, and state.json with the checksums of
 * all tensors and its own. Both are compared at every load; checkpoints of older versions have none and load without.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { z } from 'zod'
import { type HostTensor, isFiniteTensor } from '../engine/host/tensor.ts'
import { syncDirectory, temporarySibling, writeFileAtomic } from '../files/atomic.ts'
import { inspectSafetensors, readSafetensors, writeSafetensors } from '../files/safetensors.ts'
import { sealed, withSeal } from '../stored/checkedJson.ts'
import { type Checksums, checksumsOf, expectNames, expectUnchanged } from '../stored/checksums.ts'
import { readChecked } from './checked.ts'
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

/** The content of state.json, but for checksums. */
export interface CheckpointState extends CheckpointMeta {
  readonly version: 1
  readonly stage: string
  readonly step: number
}

const recordSchema = sealed(
  z
    .object({
      version: z.literal(1),
      stage: z.string(),
      step: z.number(),
      images: z.number(),
      configHash: z.string(),
      tensors: z.record(z.string(), z.string()).exactOptional(),
    })
    .catchall(z.json()),
)

/** A checkpoint in memory. */
export interface Checkpoint extends Progress {
  readonly tensors: Readonly<Record<string, HostTensor>>
  readonly meta: CheckpointMeta
}

/** A checkpoint on disk that reads. */
export interface FoundCheckpoint extends Progress {
  readonly path: string
  readonly state: CheckpointState
  /** False of one that an older version saved. */
  readonly hasChecksums: boolean
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

/** What state.json holds: the state, and checksums of the tensors; null in what older versions saved. */
const readRecord = (
  path: string,
): { readonly state: CheckpointState; readonly checksums: Checksums | null } => {
  const file = join(path, 'state.json')
  const { tensors: checksums = null, ...state } = readChecked(
    recordSchema,
    file,
    `remove ${path} to go on from the checkpoint before it`,
  )
  if (nameOf(state) !== basename(path))
    throw new Error(`${file}: is of ${state.stage} step ${state.step}, not of the step in its path`)
  return { state, checksums }
}

/** Removal in two moves, so that a half-removed directory never has a checkpoint's name. */
const discard = (path: string): void => {
  const temporary = temporarySibling(path)
  renameSync(path, temporary)
  rmSync(temporary, { recursive: true, force: true })
}

const expectFinite = (path: string, tensors: Readonly<Record<string, HostTensor>>): void => {
  for (const [name, tensor] of Object.entries(tensors)) {
    if (!isFiniteTensor(tensor))
      throw new Error(`${path}: tensor "${name}" holds numbers that are not finite`)
  }
}

/**
 * Writes a checkpoint and then removes older ones of the same stage so that `keepLast` remain. A crash at any moment
 * leaves each checkpoint whole, absent, or under a temporary name. Other stages and later steps are left alone, so
 * the last checkpoint of stage 1 survives stage 2. One process writes to a run at a time (see writer.ts).
 * @returns the checkpoint's directory.
 * @throws when the stage is not a word, the step not a count, `keepLast` below 1, a tensor not finite, or when writing fails.
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
  // Not with those above it: a run that was removed in the meantime must not be made again with this alone in it.
  if (!existsSync(directory)) mkdirSync(directory)
  expectFinite(path, tensors)
  const temporary = temporarySibling(path)
  try {
    mkdirSync(temporary)
    writeSafetensors(tensorsFile(temporary), tensors)
    const state = withSeal({ ...meta, version: 1, stage, step, tensors: checksumsOf(tensors) })
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

/** Reads state.json and the tensors' header, and checks that both tell of the same tensors. */
const inspected = (path: string): ReturnType<typeof readRecord> => {
  const record = readRecord(path)
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

/** The newest checkpoint that `take` does not refuse by throwing; only of one stage where `stage` is given. */
const newest = <T extends Pick<FoundCheckpoint, 'state' | 'hasChecksums'>>(
  runDir: string,
  stage: string | undefined,
  take: (path: string) => T,
): (FoundCheckpoint & T) | null => {
  const refused: string[] = []
  for (const found of listed(runDir)) {
    if (stage !== undefined && found.stage !== stage) continue
    const path = join(directoryOf(runDir), nameOf(found))
    try {
      const taken = take(path)
      const ignored = refused.map((reason) => `${reason}; ${nameOf(found)} is used instead`)
      return { ...taken, ...found, path, ignored }
    } catch (error) {
      refused.push((error as Error).message)
    }
  }
  if (refused.length === 0) return null
  throw new Error(
    `${runDir}: no checkpoint${stage === undefined ? '' : ` of ${stage}`} reads: ${refused.join('; ')}; restore one, or remove these to train anew`,
  )
}

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

/** A checkpoint of which every number that was asked for is as it was saved. */
export interface LoadedCheckpoint<T> extends FoundCheckpoint {
  readonly value: T
}

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
