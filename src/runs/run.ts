/**
 * @file A run as everything that compares runs sees it: where it is, what it is, what was measured. Files are read when they
 * are asked for, so that a run that is not wanted may be unfinished or damaged. Nothing here needs a model or a runtime.
 */
import type { Config } from '../config/schema.ts'
import type { Evaluation, Quality } from '../metrics/figures.ts'
import type { RunInfo } from '../model/info.ts'
import type { Provenances } from './provenance.ts'
import { evaluationIn, provenanceIn, qualityIn } from './results.ts'
import { readRunConfig, readRunInfo, type Stage1, stage1Of } from './runDirectory.ts'

/** Every method throws one sentence that names the file when that does not read. */
export interface Run {
  /** Its directory; of a line in a file of results, the file and the run's place in it: `rates.jsonl/c_lf-3/seed-0`. */
  readonly path: string
  config(): Config
  info(): RunInfo
  /** Where its stage 1 was trained, which may be the run itself. */
  stage1(): Stage1
  /** Figures of held-out images; null where they were not measured. */
  evaluation(): Evaluation | null
  /** Distances, with the protocol by which they were measured; null where they were not. */
  quality(): Quality | null
  /** Who measured these two; empty for runs of older versions. */
  provenance(): Provenances
}

/** The run in a directory. */
export const runIn = (dir: string): Run => ({
  path: dir,
  config: () => readRunConfig(dir),
  info: () => readRunInfo(dir),
  stage1: () => stage1Of(dir, readRunConfig(dir)),
  evaluation: () => evaluationIn(dir),
  quality: () => qualityIn(dir),
  provenance: () => provenanceIn(dir),
})
