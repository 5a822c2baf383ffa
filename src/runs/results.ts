/** @file What was measured of a run, as its directory keeps it. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeFileAtomic } from '../files/atomic.ts'
import type { Evaluation, Quality } from '../metrics/figures.ts'

/** The file of a run's figures on held-out images. */
export const evaluationFile = 'evaluation.json'

/** Those figures, null where they were not measured. */
export const evaluationIn = (dir: string): Evaluation | null => {
  const file = join(dir, evaluationFile)
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Evaluation) : null
}

/** The file of a run's distances; in a sweep it says that the run is done. */
export const qualityFile = 'quality.json'

/** Reads the figures of a finished run. */
export const readQuality = (dir: string): Quality =>
  JSON.parse(readFileSync(join(dir, qualityFile), 'utf8')) as Quality

/** The same, null where it was not measured. */
export const qualityIn = (dir: string): Quality | null =>
  existsSync(join(dir, qualityFile)) ? readQuality(dir) : null

/** Writes `quality.json`, which makes a run a finished one. */
export const writeQuality = (dir: string, quality: Quality): void =>
  writeFileAtomic(join(dir, qualityFile), `${JSON.stringify(quality, null, 2)}\n`)
