/** @file A run as the list shows it, read from its files; what has not changed is not read again. */
import { closeSync, constants, fstatSync, openSync, readFileSync, readSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { parseRunConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { writerOf } from '../files/lock.ts'
import { systemSentence } from '../files/systemErrors.ts'
import { measuredEntries } from '../metrics/figures.ts'
import { evaluationSchema, qualitySchema } from '../runs/checked.ts'
import { runFiles } from '../runs/files.ts'
import { recordIn } from '../runs/metricLines.ts'
import { leavesOf } from '../runs/settings.ts'
import { parseChecked } from '../stored/checkedJson.ts'
import type { RunRow } from './api.ts'
import type { RunsFolder } from './folder.ts'

/** What is known of a run. */
export interface KnownRun {
  readonly row: RunRow
  /** Its settings by dotted key, as text; none of a broken run. */
  readonly settings: ReadonlyMap<string, string>
}

/** Bytes of a file of a run that is read whole, at most. */
const longestFile = 2 ** 24
/** Bytes at the end of a log among which its last line is looked for. */
const tailBytes = 2 ** 16

/** By which a file is known to be the one that was read; empty where there is none. */
const signatureOf = (path: string): string => {
  const info = statSync(path, { throwIfNoEntry: false })
  return info === undefined ? '' : `${info.ino} ${info.size} ${info.mtimeMs}`
}

/** A file of a run that lies in the folder of runs. @throws in one sentence */
const textOf = (folder: RunsFolder, path: string): string => {
  const real = folder.inside(path)
  if (signatureOf(path) === '')
    throw new Error(`${path}: there is no such file; restore it, or remove the run`)
  if (real === null) throw new Error(`${path}: it leads out of the folder of runs; put the file itself there`)
  const info = statSync(real)
  if (!info.isFile()) throw new Error(`${path}: this is no file; remove it`)
  if (info.size > longestFile)
    throw new Error(
      `${path}: it has ${info.size} bytes, more than the ${longestFile} that are read; restore it`,
    )
  return readFileSync(real, 'utf8')
}

/** Keeps what a file gave until the file changes. */
const remembered = <T>(read: (path: string) => T): ((path: string) => T) => {
  let last: { readonly signature: string; readonly value: T } | undefined
  return (path) => {
    const signature = signatureOf(path)
    if (last?.signature !== signature) last = { signature, value: read(path) }
    return last.value
  }
}

/** What a file gave, or why it does not read. */
type Read<T> = { readonly value: T } | { readonly fault: string }

const reading =
  <T>(read: (path: string) => T): ((path: string) => Read<T>) =>
  (path) => {
    try {
      return { value: read(path) }
    } catch (error) {
      return { fault: systemSentence(error, path) ?? (error as Error).message }
    }
  }

/** A file of figures as numbers by name; none where it was not measured. */
const figuresIn =
  (folder: RunsFolder, numbersOf: (text: string, path: string) => Record<string, number>) =>
  (path: string): Read<Record<string, number>> =>
    reading((file) => (signatureOf(file) === '' ? {} : numbersOf(textOf(folder, file), file)))(path)

const evaluationFigures = (text: string, path: string): Record<string, number> =>
  Object.fromEntries(
    measuredEntries(
      parseChecked(evaluationSchema, text, path, "measure the run again with its 'ul train'"),
    ).map(([name, value]) => [name, typeof value === 'number' ? value : value.mean]),
  )

const qualityFigures = (text: string, path: string): Record<string, number> => {
  const { reconstruction, generation } = parseChecked(
    ...([qualitySchema, text, path, "measure the run again with 'ul evaluate --samples'"] as const),
  )
  return {
    ...(reconstruction && { rFD: reconstruction.frechet }),
    ...(generation && {
      gFD: generation.frechet,
      KID: generation.kid.mean,
      precision: generation.precision,
      recall: generation.recall,
    }),
  }
}

/** The last record among whole lines at the end of a log; null where there is none. */
const lastRecord = (
  folder: RunsFolder,
  path: string,
): { readonly stage: string; readonly step: number } | null => {
  if (folder.inside(path) === null) return null
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const info = fstatSync(file)
    if (!info.isFile()) return null
    const bytes = Buffer.alloc(Math.min(tailBytes, info.size))
    const got = readSync(file, bytes, 0, bytes.length, info.size - bytes.length)
    const lines = bytes.toString('utf8', 0, got).split('\n').slice(0, -1)
    for (const line of lines.reverse()) {
      const record = recordIn(line)
      if (record !== null) return { stage: record.stage, step: record.step }
    }
    return null
  } finally {
    closeSync(file)
  }
}

/** Steps that a configuration trains a stage for; null where it names no such stage. */
const stepsOf = ({ train }: Config, stage: string): number | null => {
  if (stage === 'stage1' || stage === 'stage2') return train[stage].steps
  return train.stages?.[stage]?.steps ?? null
}

/** Files that only a run that came to its end has. */
const atTheEnd = [runFiles.evaluation, runFiles.quality, runFiles.report, runFiles.weights]

/** The values of a configuration that tell one run from another. */
const settingsOf = (config: Config): ReadonlyMap<string, string> => {
  const { version: _, name: __, ...rest } = config
  return new Map(
    leavesOf(rest)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => [key, typeof value === 'string' ? value : JSON.stringify(value)]),
  )
}

/** Reads a run whenever it is asked for. */
export const runReader = (folder: RunsFolder, dir: string): (() => KnownRun) => {
  const run = folder.nameOf(dir)
  const at = (file: string): string => join(dir, file)
  const readConfig = remembered(
    reading((path) => {
      const config = parseRunConfig(textOf(folder, path), path)
      return { config, settings: settingsOf(config) }
    }),
  )
  const readEvaluation = remembered(figuresIn(folder, evaluationFigures))
  const readQuality = remembered(figuresIn(folder, qualityFigures))
  const readLast = remembered(reading((path) => (signatureOf(path) === '' ? null : lastRecord(folder, path))))

  const read = (): KnownRun => {
    const own = readConfig(at(runFiles.config))
    const figures = [readEvaluation(at(runFiles.evaluation)), readQuality(at(runFiles.quality))]
    const last = readLast(at(runFiles.metrics))
    const fault = [own, ...figures, last].find((read) => 'fault' in read)?.fault ?? null
    const known = 'value' in own ? own.value : null
    const record = 'value' in last ? last.value : null
    const steps = known && record && stepsOf(known.config, record.stage)
    const isWhole = record === null || steps === null || record.step >= steps
    const hasEnded = isWhole && atTheEnd.some((file) => signatureOf(at(file)) !== '')
    const rest = writerOf(dir) !== null ? 'training' : hasEnded ? 'finished' : 'stopped'
    return {
      settings: known?.settings ?? new Map(),
      row: {
        run,
        status: fault === null ? rest : 'broken',
        name: known?.config.name ?? '',
        progress: record && { ...record, steps: steps ?? record.step },
        updated: statSync(at(runFiles.metrics), { throwIfNoEntry: false })?.mtimeMs ?? null,
        figures: Object.assign({}, ...figures.map((read) => ('value' in read ? read.value : {}))),
        fault,
      },
    }
  }
  return () => {
    try {
      return read()
    } catch (error) {
      const fault = systemSentence(error, dir) ?? (error as Error).message
      const row: RunRow = {
        run,
        status: 'broken',
        name: '',
        progress: null,
        updated: null,
        figures: {},
        fault,
      }
      return { row, settings: new Map() }
    }
  }
}
