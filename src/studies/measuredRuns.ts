/** @file Finished runs of the plain method, which laws of the rate are fitted to. */
import type { Config } from '../config/schema.ts'
import { noVariant } from '../method/variants.ts'
import type { Quality } from '../metrics/figures.ts'
import { runFiles } from '../runs/files.ts'
import { findRuns } from '../runs/findRuns.ts'
import type { Run } from '../runs/run.ts'
import { firstDifference } from '../runs/settings.ts'

/** A finished run of the plain method. */
export interface MeasuredRun {
  readonly dir: string
  readonly config: Config
  /** Where the stage 1 that was measured was trained: see `stage1Of`. */
  readonly stage1: string
  /** The configuration that trained that stage 1. */
  readonly stage1Config: Config
  /** Latent bits per pixel, and the standard error over images. */
  readonly bitsPerPixel: number
  readonly error: number
  /** Class names of its data. */
  readonly classes: () => number
  readonly quality: () => Quality | null
}

/** A run that cannot be used, and why. */
export interface LeftOut {
  readonly dir: string
  readonly reason: string
}

/** What the law can be fitted to, or why it cannot. @throws when a file of it does not read */
const measuredRun = (run: Run): MeasuredRun | LeftOut => {
  const { path: dir } = run
  const evaluation = run.evaluation()
  if (evaluation === null) return { dir, reason: `it has no ${runFiles.evaluation}, so it is not finished` }
  const own = run.config()
  const variant = firstDifference(noVariant, own.variant)
  if (variant !== null)
    return {
      dir,
      reason: `variant.${variant.key} is ${variant.values[1]}, and the law is the plain method's`,
    }
  const { dir: stage1, config: stage1Config } = run.stage1()
  const { lossFactor } = stage1Config.decoder
  if (!(lossFactor > 1))
    return { dir, reason: `decoder.lossFactor ${lossFactor} puts nothing into the latent` }
  const { mean: bitsPerPixel, error } = evaluation.bitsPerPixel
  if (!(bitsPerPixel > 0))
    throw new Error(`${dir}: its bitsPerPixel.mean is ${bitsPerPixel}, not above 0; remove that run`)
  const classes = (): number => run.info().classes.length
  return { dir, config: own, stage1, stage1Config, bitsPerPixel, error, classes, quality: run.quality }
}

/**
 * Finished runs of the plain method at or below paths (see findRuns), and those that were left out.
 * @throws when a path is missing or a file in it does not read
 */
export const measuredRuns = (
  paths: readonly string[],
): { readonly runs: readonly MeasuredRun[]; readonly leftOut: readonly LeftOut[] } => {
  const all = findRuns(paths).map(measuredRun)
  return {
    runs: all.filter((run): run is MeasuredRun => 'config' in run),
    leftOut: all.filter((run): run is LeftOut => 'reason' in run),
  }
}
