/** @file What was measured of a run, as its directory keeps it. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { z } from 'zod'
import { writeFileAtomic } from '../files/atomic.ts'
import type { Evaluation, Quality } from '../metrics/figures.ts'
import {
  evaluationSchema,
  orWarn,
  provenancesSchema,
  qualitySchema,
  readChecked,
  warnInProcess,
} from './checked.ts'
import { runFiles } from './files.ts'
import { type Provenances, provenanceNow } from './provenance.ts'

/** What to do about figures that do not read. */
const trainAgain = "measure the run again with 'ul train' (its command again), or remove the file"
const measureAgain = "measure the run again with 'ul evaluate --samples', or remove the file"

const ifThere = <T>(dir: string, file: string, schema: z.ZodType<T>, remedy: string): T | null =>
  existsSync(join(dir, file)) ? readChecked(schema, join(dir, file), remedy) : null

/** Figures of held-out images; null where they were not measured. @throws naming the file when it does not read */
export const evaluationIn = (dir: string): Evaluation | null =>
  ifThere(dir, runFiles.evaluation, evaluationSchema, trainAgain)

/** Distances; null where they were not measured. @throws naming the file when it does not read */
export const qualityIn = (dir: string): Quality | null =>
  ifThere(dir, runFiles.quality, qualitySchema, measureAgain)

/** Who measured; nothing is known of what older versions measured. @throws naming the file when it does not read */
export const provenanceIn = (dir: string): Provenances =>
  ifThere(dir, runFiles.provenance, provenancesSchema, 'remove the file') ?? {}

const write = (dir: string, file: string, value: object): void =>
  writeFileAtomic(join(dir, file), `${JSON.stringify(value, null, 2)}\n`)

/** Figures have a file of their own, equal wherever they are measured; who measured them is beside it. */
const writeMeasured = (
  dir: string,
  of: keyof Provenances,
  value: object,
  { device, warn }: { readonly device: string; readonly warn: (text: string) => void },
): void => {
  const before = orWarn(() => provenanceIn(dir), warn)
  write(dir, runFiles.provenance, { ...before, [of]: provenanceNow(device) })
  write(dir, runFiles[of], value)
}

/** Writes evaluation.json, and who measured it. @param device where the runtime computed */
export const writeEvaluation = (
  dir: string,
  evaluation: Evaluation,
  device: string,
  warn: (text: string) => void = warnInProcess,
): void => writeMeasured(dir, 'evaluation', evaluation, { device, warn })

/** Writes quality.json, which makes a run a finished one, and who measured it. @param device where the runtime computed */
export const writeQuality = (
  dir: string,
  quality: Quality,
  device: string,
  warn: (text: string) => void = warnInProcess,
): void => writeMeasured(dir, 'quality', quality, { device, warn })
