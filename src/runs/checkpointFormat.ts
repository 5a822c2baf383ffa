/**
 * @file What a checkpoint is, wherever it is kept: `checkpoints/<stage>-<step>/` with state.safetensors, and state.json with the
 * checksums of all tensors and its own. Both are compared at every load; checkpoints of older versions have none and load without.
 */
import { z } from 'zod'
import { type HostTensor, isFiniteTensor } from '../engine/host/tensor.ts'
import { parseChecked, sealed, withSeal } from '../stored/checkedJson.ts'
import { type Checksums, checksumsOf } from '../stored/checksums.ts'
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

/** A kept checkpoint that reads. */
export interface FoundCheckpoint extends Progress {
  readonly path: string
  readonly state: CheckpointState
  /** False of one that an older version saved. */
  readonly hasChecksums: boolean
  /** One sentence for each newer checkpoint that was passed over. */
  readonly ignored: readonly string[]
}

/** A checkpoint of which every number that was asked for is as it was saved. */
export interface LoadedCheckpoint<T> extends FoundCheckpoint {
  readonly value: T
}

/** The files of a checkpoint: its tensors, and its record, without which there is none. */
export const checkpointFiles = { tensors: 'state.safetensors', record: 'state.json' } as const

/** The name of a checkpoint's directory. */
export const checkpointName = ({ stage, step }: Progress): string =>
  `${stage}-${String(step).padStart(9, '0')}`

const parseName = (name: string): Progress | null => {
  const match = /^(\w+)-(\d{9,})$/.exec(name)
  return match && { stage: match[1], step: Number(match[2]) }
}

/** The checkpoints among names of directories, newest first. */
export const checkpointsAmong = (names: readonly string[]): Progress[] =>
  names
    .map(parseName)
    .filter((found) => found !== null)
    .sort((a, b) => compareProgress(b, a))

/** The checkpoints that are one too many once a newer one of their stage is saved. @param listed newest first */
export const outdated = (
  listed: readonly Progress[],
  { stage, step }: Progress,
  keepLast: number,
): Progress[] => listed.filter((found) => found.stage === stage && found.step < step).slice(keepLast - 1)

/** @throws naming the first tensor that holds numbers which are not finite */
export const expectFinite = (path: string, tensors: Readonly<Record<string, HostTensor>>): void => {
  for (const [name, tensor] of Object.entries(tensors)) {
    if (!isFiniteTensor(tensor))
      throw new Error(`${path}: tensor "${name}" holds numbers that are not finite`)
  }
}

/** @throws when the stage is not a word, the step not a count, or `keepLast` below 1 */
export const expectSavable = ({ stage, step }: Progress, keepLast: number): void => {
  if (!/^\w+$/.test(stage))
    throw new Error(`checkpoint: stage "${stage}" is not a word of letters and digits`)
  if (!Number.isSafeInteger(step) || step < 0) throw new Error(`checkpoint: step ${step} is not a count`)
  if (!(keepLast >= 1)) throw new Error(`checkpoint: keepLast ${keepLast} would remove every checkpoint`)
}

/** The text of state.json. */
export const showRecord = ({ stage, step, tensors, meta }: Checkpoint): string => {
  const state = withSeal({ ...meta, version: 1, stage, step, tensors: checksumsOf(tensors) })
  return `${JSON.stringify(state, null, 2)}\n`
}

/** What state.json holds: the state, and checksums of the tensors; null in what older versions saved. */
export interface CheckpointRecord {
  readonly state: CheckpointState
  readonly checksums: Checksums | null
}

/** Reads the text of a checkpoint's state.json. @param path the checkpoint's directory @throws naming the file */
export const parseRecord = (text: string, path: string): CheckpointRecord => {
  const file = `${path}/${checkpointFiles.record}`
  const { tensors: checksums = null, ...state } = parseChecked(
    recordSchema,
    text,
    file,
    `remove ${path} to go on from the checkpoint before it`,
  )
  if (checkpointName(state) !== path.split(/[\\/]/).at(-1))
    throw new Error(`${file}: is of ${state.stage} step ${state.step}, not of the step in its path`)
  return { state, checksums }
}

/**
 * The newest checkpoint that `take` does not refuse by throwing; only of one stage where `stage` is given.
 * @param run its name, for messages
 * @param listed its checkpoints, newest first
 * @returns null when there is none
 * @throws when there are checkpoints but none reads, with the reason for each.
 */
export const newestOf = <T extends Pick<FoundCheckpoint, 'path' | 'state' | 'hasChecksums'>>(
  run: string,
  listed: readonly Progress[],
  stage: string | undefined,
  take: (name: string) => T,
): (FoundCheckpoint & T) | null => {
  const refused: string[] = []
  for (const found of listed) {
    if (stage !== undefined && found.stage !== stage) continue
    const name = checkpointName(found)
    try {
      const taken = take(name)
      const ignored = refused.map((reason) => `${reason}; ${name} is used instead`)
      return { ...taken, ...found, ignored }
    } catch (error) {
      refused.push((error as Error).message)
    }
  }
  if (refused.length === 0) return null
  throw new Error(
    `${run}: no checkpoint${stage === undefined ? '' : ` of ${stage}`} reads: ${refused.join('; ')}; restore one, or remove these to train anew`,
  )
}
