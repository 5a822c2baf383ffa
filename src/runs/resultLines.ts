/**
 * @file Results of many runs as one file of JSON lines, to keep and to pass on: what reports and plans read of a run, without
 * what it trained. The first line says what most runs share: a preset's configuration as it was, and what the data gave. Each
 * other line is a run: its place, where its settings differ, who measured, and what.
 */
import { readFileSync, statSync } from 'node:fs'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'
import { parseConfig } from '../config/load.ts'
import { presets } from '../config/presets.ts'
import type { Config } from '../config/schema.ts'
import type { Sweep } from '../config/sweepFile.ts'
import { infoSchema } from '../model/info.ts'
import { checked, parseChecked } from '../stored/checkedJson.ts'
import { evaluationSchema, provenancesSchema, qualitySchema } from './checked.ts'
import type { Run } from './run.ts'
import { changesFrom, type Tree, withChanges } from './settings.ts'
import { sweepNames } from './sweepNames.ts'

const tree: z.ZodType<Tree> = z.record(z.string(), z.unknown())

const headSchema = z.strictObject({
  version: z.literal(1),
  /** The whole configuration that the settings of runs change. */
  preset: tree,
  /** What the data gave to a run that does not say otherwise (RunInfo). */
  info: infoSchema,
})

/** evaluation.json or quality.json, but `asStage1` names the parts that the line of the run's stage 1 has. */
const figures = z.looseObject({ asStage1: z.array(z.string()).exactOptional() }).nullable()

const lineSchema = z.strictObject({
  /** Folders below the file, with slashes. */
  path: z.string(),
  /** The arm of a sweep and its base model; null where no sweep made the run. */
  arm: z.string().nullable(),
  seed: z.number(),
  base: z.string().nullable(),
  /** Values that differ from the preset's, by dotted key; the seed is said above. */
  settings: tree,
  /** Path of the run that trained its stage 1; absent where that is the run itself. */
  stage1: z.string().exactOptional(),
  /** The configuration of that run where it is not in the file: what differs from the preset's. */
  stage1Settings: tree.exactOptional(),
  info: infoSchema.exactOptional(),
  provenance: provenancesSchema,
  evaluation: figures,
  quality: figures,
})

type Head = z.infer<typeof headSchema>
type Line = z.infer<typeof lineSchema>
type Figures = z.infer<typeof figures>

const remedy = "make the file again from its runs with 'ul results'"

const figuresOf = (own: Figures, stage1: Figures | undefined): Tree | null => {
  if (own === null) return null
  const { asStage1 = [], ...rest } = own
  return { ...Object.fromEntries(asStage1.map((name) => [name, stage1?.[name]])), ...rest }
}

/** A line as a run. @param lines all of the file, by path */
const runOf = (file: string, head: Head, line: Line, lines: ReadonlyMap<string, Line>): Run => {
  const path = join(file, line.path)
  const shared = line.stage1 === undefined ? undefined : lines.get(line.stage1)
  const configOf = (settings: Tree): Config =>
    parseConfig(JSON.stringify(withChanges(head.preset, settings)), path)
  const own = (): Config => configOf({ ...line.settings, seed: line.seed })
  const stage1Config = (): Config => {
    if (shared !== undefined) return configOf({ ...shared.settings, seed: shared.seed })
    return line.stage1Settings === undefined ? own() : configOf(line.stage1Settings)
  }
  const figuresAs = <T>(schema: z.ZodType<T>, name: 'evaluation' | 'quality'): T | null => {
    const found = figuresOf(line[name], shared?.[name])
    return found === null ? null : checked(schema, found, `${path}: ${name}`, remedy)
  }
  return {
    path,
    config: own,
    info: () => line.info ?? head.info,
    stage1: () => ({ dir: resolve(file, line.stage1 ?? line.path), config: stage1Config() }),
    evaluation: () => figuresAs(evaluationSchema, 'evaluation'),
    quality: () => figuresAs(qualitySchema, 'quality'),
    provenance: () => line.provenance,
  }
}

/** The file of results that a path names, or that it goes on within (`rates.jsonl/c_lf-3`); null where there is none. */
export const resultsFileOf = (path: string): string | null => {
  if (path.endsWith('.jsonl') && statSync(path, { throwIfNoEntry: false })?.isFile() === true) return path
  const above = dirname(path)
  return above === path ? null : resultsFileOf(above)
}

/** The runs in a file of results, in its order. @throws naming the line that does not read */
export const linesIn = (file: string): Run[] => {
  const texts = readFileSync(file, 'utf8').split('\n')
  const read = <T>(schema: z.ZodType<T>, text: string, i: number): T =>
    parseChecked(schema, text, `${file}: line ${i + 1}`, remedy)
  const head = read(headSchema, texts[0] ?? '', 0)
  const lines = texts.flatMap((text, i): Line[] =>
    i === 0 || text === '' ? [] : [read(lineSchema, text, i)],
  )
  const byPath = new Map(lines.map((line) => [line.path, line]))
  return lines.map((line) => runOf(file, head, line, byPath))
}

/** Figures without what the run that trained the stage 1 tells, too. */
const withoutShared = (own: object | null, stage1: object | null | undefined): Figures => {
  if (own === null) return null
  const of = new Map(Object.entries(stage1 ?? {}))
  const isShared = ([name, value]: [string, unknown]): boolean =>
    of.has(name) && isDeepStrictEqual(of.get(name), value)
  const all = Object.entries(own)
  const shared = all.filter(isShared).map(([name]) => name)
  const rest = Object.fromEntries(all.filter((entry) => !isShared(entry)))
  return shared.length === 0 ? rest : { asStage1: shared, ...rest }
}

/** The nearest directory that holds all paths; a single path is itself that directory. */
export const commonDirectory = (paths: readonly string[]): string =>
  paths
    .map((path) => resolve(path))
    .reduce((common, path) => {
      let above = common
      while (path !== above && !path.startsWith(join(above, sep))) above = dirname(above)
      return above
    })

/**
 * Runs as the text of a file of results.
 * @param root the directory that paths begin from
 * @param sweep what made the runs: its arms and bases are named
 * @throws when there are no runs, or when one does not read
 */
export const resultLines = (runs: readonly Run[], root: string, sweep: Sweep | null = null): string => {
  const [first] = runs
  if (first === undefined) throw new Error(`${root}: there are no runs; give directories with runs`)
  const placeOf = (path: string): string => relative(resolve(root), resolve(path)).split(sep).join('/')
  const { name } = first.config()
  const preset: Tree = { ...(presets[name] ?? first.config()) }
  const info = first.info()
  const byPath = new Map(runs.map((run) => [placeOf(run.path), run]))
  const settingsOf = (config: Config): Tree => changesFrom(preset, config)
  const lineOf = (run: Run): Line => {
    const [path, config, own, stage1] = [placeOf(run.path), run.config(), run.info(), run.stage1()]
    const { seed: _, ...settings } = settingsOf(config)
    const { arm, base } = sweepNames(run.path, sweep)
    const from = placeOf(stage1.dir)
    const shared = from === path ? undefined : byPath.get(from)
    return {
      path,
      ...{ arm, seed: config.seed, base, settings },
      ...(from === path ? {} : { stage1: from }),
      ...(from === path || shared !== undefined ? {} : { stage1Settings: settingsOf(stage1.config) }),
      ...(isDeepStrictEqual(own, info) ? {} : { info: own }),
      provenance: run.provenance(),
      evaluation: withoutShared(run.evaluation(), shared?.evaluation()),
      quality: withoutShared(run.quality(), shared?.quality()),
    }
  }
  const head: Head = { version: 1, preset, info }
  return [head, ...runs.map(lineOf)].map((line) => `${JSON.stringify(line)}\n`).join('')
}
