/** @file Finished runs side by side: one row for each setting, mean and standard error over its seeds. */

import { existsSync, readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Config } from '../config/schema.ts'
import { type Arm, armFolder, type Sweep } from '../config/sweepFile.ts'
import { guidanceText } from '../measure/quality.ts'
import type { Quality } from '../metrics/figures.ts'
import { meanAndError } from '../metrics/mean.ts'
import { evaluationIn, qualityFile, readQuality } from '../runs/results.ts'
import { freeKeys, readRunConfig, readRunInfo, stage1Of } from '../runs/runDirectory.ts'
import { describeModel } from '../stages/info.ts'

/** A finished run. */
interface FinishedRun {
  readonly dir: string
  readonly config: Config
  /** The configuration that its stage 1 was trained with: its own, or that of the run that it takes it from. */
  readonly stage1Config: Config
  readonly quality: Quality
  /** By the names of `figureNames`; what was not measured is absent. */
  readonly figures: ReadonlyMap<string, number>
}

/**
 * What is printed and drawn of a run, in this order. rFD and gFD are Fréchet distances of reconstructions and samples by
 * the network that the protocol names: FIDs only with Inception's features.
 */
export const figureNames = [
  'bits/pixel',
  'base bits/pixel',
  'PSNR',
  'SSIM',
  'rFD',
  'gFD',
  'KID',
  'precision',
  'recall',
  'base GFLOPs',
  'stage 1 training FLOPs',
  'base training FLOPs',
] as const

const figuresOf = (run: Omit<FinishedRun, 'figures'>): ReadonlyMap<string, number> => {
  const { dir, config, stage1Config, quality } = run
  const evaluation = evaluationIn(dir)
  const { stage1 } = stage1Config.train
  const { stage2 } = config.train
  const info = describeModel(
    { ...config, train: { ...config.train, batch: stage1Config.train.batch } },
    readRunInfo(dir).classes.length,
  )
  const flops = (stage: number, steps: number): number => 1e9 * info.stages[stage]!.gflopsPerStep * steps
  const ofBase =
    quality.generation === null || config.sampler.generator === 'prior' ? undefined : flops(1, stage2.steps)
  const figures: Record<(typeof figureNames)[number], number | undefined> = {
    'bits/pixel': evaluation?.bitsPerPixel.mean,
    'base bits/pixel': evaluation?.baseBitsPerPixel?.mean,
    PSNR: evaluation?.psnr.mean,
    SSIM: evaluation?.ssim?.mean,
    rFD: quality.reconstruction?.frechet,
    gFD: quality.generation?.frechet,
    KID: quality.generation?.kid.mean,
    precision: quality.generation?.precision,
    recall: quality.generation?.recall,
    'base GFLOPs': ofBase && info.networks.find(({ network }) => network === 'base')!.gflopsForward,
    'stage 1 training FLOPs': config.variant.encoder === 'pixels' ? 0 : flops(0, stage1.steps),
    'base training FLOPs': ofBase,
  }
  return new Map(
    Object.entries(figures).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  )
}

/** The finished runs at and below directories. @throws when there is none. */
const finishedRuns = (dirs: readonly string[]): FinishedRun[] => {
  const below = (dir: string): string[] => [
    ...(existsSync(join(dir, qualityFile)) ? [dir] : []),
    ...readdirSync(dir, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .flatMap((entry) => below(join(dir, entry.name))),
  ]
  const missing = dirs.find((dir) => !existsSync(dir))
  if (missing !== undefined) {
    throw new Error(`${missing}: there is no such directory; give run directories, or directories above them`)
  }
  const found = [...new Set(dirs.flatMap(below).map((dir) => resolve(dir)))]
  if (found.length === 0) {
    throw new Error(
      `${dirs.join(', ')}: no finished runs (with ${qualityFile}); make some with 'ul sweep' or 'ul evaluate --samples'`,
    )
  }
  return found.map((dir) => {
    const config = readRunConfig(dir)
    const run = { dir, config, stage1Config: stage1Of(dir, config).config, quality: readQuality(dir) }
    return { ...run, figures: figuresOf(run) }
  })
}

/** Values of a configuration by dotted key; what tells nothing about a setting is left out. */
const leavesOf = (config: Config): Map<string, string> => {
  const leaves = (value: unknown, path: string): [string, string][] =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.entries(value).flatMap(([key, below]) => leaves(below, path === '' ? key : `${path}.${key}`))
      : [[path, typeof value === 'string' ? value : JSON.stringify(value)]]
  const { seed: _, name: __, ...rest } = config
  const all = new Map(leaves(rest, ''))
  for (const key of ['stage1.from', ...freeKeys]) all.delete(`train.${key}`)
  return all
}

/** Keys by which stage 1 is trained while nothing of its networks depends on them. */
const trainsStage1 = (key: string): boolean =>
  key.startsWith('data.') || (key.startsWith('train.') && !key.startsWith('train.stage2.'))

/**
 * By what the distances of a run were measured, where runs may differ without their configuration saying so: distances
 * of other networks, or of other numbers of images, do not compare.
 */
const measuredBy = ({ protocol, reconstruction, generation }: Quality): string => {
  const [network] = protocol.network.split(':')
  const images = (generation ?? reconstruction)?.fakeCount
  return `${network}, ${images} images, guidance ${guidanceText(protocol)}`
}

/** Columns that name a setting instead of being one: the arm of a sweep and its base model. */
export const nameKeys: readonly string[] = ['arm', 'base']

/**
 * The names that a sweep gave to the run in a directory `…/<arm>/seed-<n>[/<base>]`, and its place among the sweep's runs;
 * what the sweep does not know comes first, named by its directories.
 */
const namesOf = (
  dir: string,
  { arms, bases }: Sweep,
): { readonly names: readonly (readonly [string, string])[]; readonly place: number } => {
  const [, armPart, basePart] = dir.match(/([^/\\]+)[/\\]seed-\d+(?:[/\\]([^/\\]+))?$/) ?? []
  const among = (known: readonly Arm[], folder = ''): { readonly name: string; readonly at: number } => {
    const at = known.findIndex(({ name }) => armFolder(name) === folder)
    return { name: known[at]?.name ?? folder, at }
  }
  const [arm, base] = [among(arms, armPart), among(bases, basePart)]
  const names = [['arm', arm.name] as const, ['base', base.name] as const]
  return { names, place: arm.at * (1 + bases.length) + base.at }
}

/** The same, and what its stage 1 was trained with where that is something else, under `stage 1 <key>`. */
const settingsOf = ({ config, stage1Config }: FinishedRun): Map<string, string> => {
  const own = leavesOf(config)
  const other = [...leavesOf(stage1Config)].filter(
    ([key, value]) => trainsStage1(key) && own.get(key) !== value,
  )
  return new Map([...own, ...other.map(([key, value]): [string, string] => [`stage 1 ${key}`, value])])
}

/** The value of a key; stage 1 was trained with the run's own where nothing else is said. No value is null. */
const settingOf = (settings: ReadonlyMap<string, string>, key: string): string =>
  settings.get(key) ?? settings.get(key.replace(/^stage 1 /, '')) ?? 'null'

/** One setting: its values of the keys that differ, and its figures over seeds. */
export interface ComparedSetting {
  /** The values of the keys that differ between the runs. */
  readonly values: ReadonlyMap<string, string>
  readonly runs: number
  /** Mean and standard error over seeds; the error is 0 for a single run. */
  readonly figures: ReadonlyMap<string, { readonly mean: number; readonly error: number }>
}

/** Runs grouped by setting. */
export interface Comparison {
  /** Dotted keys whose values differ between the runs, and `nameKeys` before them. */
  readonly keys: readonly string[]
  readonly settings: readonly ComparedSetting[]
  /** How the distances were measured: every protocol that occurs. */
  readonly protocol: string
}

/**
 * Groups the finished runs below directories by setting.
 * @param sweep what made them, where that is known: its arms and bases are named
 */
export const compareRuns = (dirs: readonly string[], sweep: Sweep | null = null): Comparison => {
  const named = finishedRuns(dirs).map((run) => {
    const { names, place } = sweep === null ? { names: [], place: 0 } : namesOf(run.dir, sweep)
    const by = ['measured by', measuredBy(run.quality)] as const
    return { ...run, place, settings: new Map([...names, ...settingsOf(run), by]) }
  })
  const runs = named.sort((a, b) => a.place - b.place)
  const stages = (run: FinishedRun): boolean => run.quality.generation !== null
  // A stage 1 that other runs share is a part of them, not a setting of its own.
  const shown = runs.some(stages) ? runs.filter(stages) : runs
  const keys = [...new Set(shown.flatMap(({ settings }) => [...settings.keys()]))].filter(
    (key) => new Set(shown.map(({ settings }) => settingOf(settings, key))).size > 1,
  )
  const groups = new Map<string, typeof shown>()
  for (const run of shown) {
    const name = JSON.stringify(keys.map((key) => settingOf(run.settings, key)))
    groups.set(name, [...(groups.get(name) ?? []), run])
  }
  const settings = [...groups.values()].map((group): ComparedSetting => {
    const figures = figureNames.flatMap((name) => {
      const values = group.flatMap((run) => run.figures.get(name) ?? [])
      if (values.length < group.length) return []
      const { mean, error } = meanAndError(values)
      return [[name, { mean, error: values.length > 1 ? error : 0 }] as const]
    })
    return {
      values: new Map(keys.map((key) => [key, settingOf(group[0]!.settings, key)])),
      runs: group.length,
      figures: new Map(figures),
    }
  })
  const protocols = shown.map(({ quality }) =>
    Object.entries(quality.protocol)
      .map(([name, value]) => `${name}: ${value}`)
      .join('; '),
  )
  return { keys, settings, protocol: [...new Set(protocols)].join('\n\n') }
}
