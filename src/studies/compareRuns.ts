/** @file Finished runs side by side: one row for each setting, mean and standard error over its seeds. */
import { ConfigError } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import type { Sweep } from '../config/sweepFile.ts'

import { meanAndError } from '../metrics/mean.ts'
import type { RunInfo } from '../model/info.ts'
import { freeKeys } from '../runs/configHash.ts'
import { runFiles } from '../runs/files.ts'
import { findRuns } from '../runs/findRuns.ts'
import { provenanceText } from '../runs/provenance.ts'
import type { Run } from '../runs/run.ts'
import { dataDifference } from '../runs/runInfo.ts'
import { leavesOf } from '../runs/settings.ts'
import { sweepNames } from '../runs/sweepNames.ts'
import { modelFlops } from '../stages/info.ts'
import { measuredBy } from './measuredBy.ts'
import { type MeasuredRun, runValues } from './values.ts'

/** A finished run. */
interface FinishedRun extends MeasuredRun {
  readonly path: string
  /** What its data gave. */
  readonly info: RunInfo
  /** Who measured, in words; empty where nobody says. */
  readonly provenance: string
}

/** The run where it is finished; what it costs is told by its own networks, and the batch that trained its stage 1. */
const finished = (run: Run): FinishedRun[] => {
  const quality = run.quality()
  if (quality === null) return []
  const [config, { config: stage1Config }] = [run.config(), run.stage1()]
  const asTrained = { ...config, train: { ...config.train, batch: stage1Config.train.batch } }
  const info = run.info()
  const cost = modelFlops(asTrained, info.classes.length)
  const told = run.provenance()
  const by = told.quality ?? told.evaluation
  const provenance = by === undefined ? '' : provenanceText(by)
  const evaluation = run.evaluation()
  return [{ path: run.path, info, config, stage1Config, evaluation, quality, cost, provenance }]
}

/** The finished runs at and below paths. @throws when there is none. */
const finishedRuns = (paths: readonly string[]): FinishedRun[] => {
  const found = findRuns(paths).flatMap(finished)
  if (found.length === 0) {
    throw new Error(
      `${paths.join(', ')}: no finished runs (with ${runFiles.quality}); make some with 'ul sweep' or 'ul evaluate --samples'`,
    )
  }
  return found
}

/** @throws ConfigError when runs that name the same data were trained on other images or classes: their figures do not compare. */
const expectOneData = (runs: readonly FinishedRun[]): void => {
  const first = new Map<string, FinishedRun>()
  for (const run of runs) {
    const { size: _, flip: __, balance: ___, ...data } = run.config.data
    const key = JSON.stringify(data)
    const other = first.get(key)
    if (other === undefined) first.set(key, run)
    const difference = other === undefined ? null : dataDifference(other.info, run.info)
    if (other === undefined || difference === null) continue
    throw new ConfigError(
      `${run.path}: it was trained on other data than ${other.path}, which names the same (${data.source} ${data.path ?? ''}): ${difference}; compare them apart, or train one of them again`,
    )
  }
}

/** Values of a configuration by dotted key, as text; what tells nothing about a setting is left out. */
const settingLeaves = (config: Config): Map<string, string> => {
  const { seed: _, name: __, ...rest } = config
  const all = new Map(
    leavesOf(rest).map(([key, value]) => [key, typeof value === 'string' ? value : JSON.stringify(value)]),
  )
  for (const key of ['stage1.from', ...freeKeys]) all.delete(`train.${key}`)
  return all
}

/** Keys by which stage 1 is trained while nothing of its networks depends on them. */
const trainsStage1 = (key: string): boolean =>
  key.startsWith('data.') || (key.startsWith('train.') && !key.startsWith('train.stage2.'))

/** Columns that name a setting instead of being one: the arm of a sweep and its base model. */
export const nameKeys: readonly string[] = ['arm', 'base']

/** The settings of a run, and what its stage 1 was trained with where that is something else, under `stage 1 <key>`. */
const settingsOf = ({ config, stage1Config }: FinishedRun): Map<string, string> => {
  const own = settingLeaves(config)
  const other = [...settingLeaves(stage1Config)].filter(
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
  /** Who measured: code, date and machine, everything that occurs; empty where no run says. */
  readonly provenance: string
}

/**
 * Groups the finished runs below paths (see findRuns) by setting.
 * @param sweep what made them, where that is known: its arms and bases are named
 */
export const compareRuns = (paths: readonly string[], sweep: Sweep | null = null): Comparison => {
  const named = finishedRuns(paths).map((run) => {
    const { arm, base, place } = sweepNames(run.path, sweep)
    const names: [string, string][] =
      sweep === null
        ? []
        : [
            ['arm', arm ?? ''],
            ['base', base ?? ''],
          ]
    const settings = new Map([...names, ...settingsOf(run), ['measured by', measuredBy(run.quality)]])
    const values = new Map(runValues.map(({ name, of }) => [name, of(run)]))
    return { ...run, place: sweep === null ? 0 : place, settings, values }
  })
  const runs = named.sort((a, b) => a.place - b.place)
  expectOneData(runs)
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
    const figures = runValues.flatMap(({ name }) => {
      const values = group.flatMap((run) => run.values.get(name) ?? [])
      if (values.length < group.length) return []
      const { mean, error } = meanAndError(values)
      return [[name, { mean, error: values.length > 1 ? error : 0 }] as const]
    })
    return {
      values: new Map(keys.map((key) => [key, settingOf(group[0].settings, key)])),
      runs: group.length,
      figures: new Map(figures),
    }
  })
  const protocols = shown.map(({ quality }) =>
    Object.entries(quality.protocol)
      .map(([name, value]) => `${name}: ${value}`)
      .join('; '),
  )
  const told = (texts: readonly string[]): string =>
    [...new Set(texts)].filter((text) => text !== '').join('\n\n')
  return {
    keys,
    settings,
    protocol: told(protocols),
    provenance: told(shown.map(({ provenance }) => provenance)),
  }
}
