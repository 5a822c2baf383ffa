/** @file A run's directory: config.yaml (resolved), run.json (what the data gave), checkpoints, logs, images. */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { ConfigError, parseConfig, showConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { writeFileAtomic } from '../files/atomic.ts'

/** What a run knows besides its configuration. */
export interface RunInfo {
  readonly version: 1
  /** Class names, by label. */
  readonly classes: readonly string[]
  readonly trainCount: number
  readonly validationCount: number
  /** Hash of names and labels of the training images in their order; older runs lack it. */
  readonly pictures?: string
  /** Files that could not be used, with the reason. */
  readonly skipped: readonly string[]
}

/**
 * Keys of `train` that may change between two invocations of the same run: they affect what is shown and how much memory is used,
 * not what is trained (recomputation changes rounding only).
 */
export const freeKeys: ReadonlySet<string> = new Set([
  'recompute',
  'logEvery',
  'checkpointEvery',
  'keepCheckpoints',
  'sampleEvery',
])

const trainedPart = ({ sampler: _, train, ...rest }: Config): string =>
  JSON.stringify({
    ...rest,
    train: Object.fromEntries(Object.entries(train).filter(([key]) => !freeKeys.has(key))),
  })

/** Hash of everything that affects the trained weights. */
export const configHash = (config: Config): string =>
  createHash('sha256').update(trainedPart(config)).digest('hex').slice(0, 16)

/** Where two trees of values differ first. */
export interface Difference {
  /** Dotted key. */
  readonly key: string
  /** The two values as JSON; `undefined` where there is none. */
  readonly values: readonly [string, string]
}

/** The first key at which two trees of plain values differ, or null. */
export const firstDifference = (a: unknown, b: unknown, path = ''): Difference | null => {
  const [left, right] = [String(JSON.stringify(a)), String(JSON.stringify(b))]
  if (left === right) return null
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null || Array.isArray(a)) {
    return { key: path, values: [left, right] }
  }
  for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
    const below = firstDifference(
      (a as Record<string, unknown>)[key],
      (b as Record<string, unknown>)[key],
      path === '' ? key : `${path}.${key}`,
    )
    if (below !== null) return below
  }
  return null
}

const configFile = (dir: string): string => join(dir, 'config.yaml')

/** The configuration of an existing run. @throws when there is none, ConfigError when it does not read. */
export const readRunConfig = (dir: string): Config => {
  if (!existsSync(configFile(dir))) {
    throw new Error(
      `${dir}: there is no config.yaml, so this is not a run; train one with 'ul train quickstart --out ${dir}'`,
    )
  }
  return parseConfig(readFileSync(configFile(dir), 'utf8'), configFile(dir))
}

/**
 * The directories along train.stage1.from, from a run to the one that trained its stage 1, as long as there are runs.
 * @returns absolute paths; the last occurs twice where runs name each other
 */
export const stage1Chain = (dir: string, config: Config): string[] => {
  const chain = [resolve(dir)]
  let { from } = config.train.stage1
  while (from !== null) {
    const next = resolve(chain.at(-1)!, from)
    const known = chain.includes(next)
    chain.push(next)
    if (known || !existsSync(configFile(next))) break
    from = readRunConfig(next).train.stage1.from
  }
  return chain
}

/**
 * Where a run's stage 1 was trained, and with which configuration: that of the last run along train.stage1.from that is
 * still there.
 */
export const stage1Of = (dir: string, config: Config): { readonly dir: string; readonly config: Config } => {
  const chain = stage1Chain(dir, config)
  const there = chain.slice(1).filter((path) => existsSync(configFile(path)))
  const last = there.at(-1)
  return { dir: chain.at(-1)!, config: last === undefined ? config : readRunConfig(last) }
}

/** The file of an exported run: the averaged weights of all its networks in half precision, in place of checkpoints. */
export const weightsFile = 'weights.safetensors'

/**
 * Checks that a directory with a run trains the same thing.
 * @throws ConfigError naming the first key that differs.
 */
export const expectSameRun = (dir: string, config: Config): void => {
  const existing = readRunConfig(dir)
  if (configHash(existing) === configHash(config)) return
  const found = firstDifference(JSON.parse(trainedPart(existing)), JSON.parse(trainedPart(config)))
  const where = found && `${found.key} (${found.values[0]} there, ${found.values[1]} now)`
  throw new ConfigError(
    `${dir}: it holds a run with another configuration: ${where}; give another --out, or remove that directory`,
  )
}

/**
 * Makes the directory and writes config.yaml, or checks that an existing one trains the same thing. A run that stopped
 * before its first checkpoint (a misspelt data.path) may go on with another configuration.
 * @throws ConfigError naming the first key that differs, or that the directory holds an exported run.
 */
export const prepareRun = (dir: string, config: Config): void => {
  if (existsSync(join(dir, weightsFile))) {
    throw new ConfigError(
      `${dir}: it holds an exported run, which has no state to train from; give another --out (train.stage1.from may name this one)`,
    )
  }
  if (existsSync(configFile(dir)) && existsSync(join(dir, 'checkpoints'))) expectSameRun(dir, config)
  mkdirSync(dir, { recursive: true })
  writeFileAtomic(configFile(dir), showConfig(config))
}

const infoFile = (dir: string): string => join(dir, 'run.json')

/**
 * Checks that a run goes on with the images that it began with: other classes would change what its labels mean, other
 * images the order in which they come.
 * @throws ConfigError naming what differs. A run without checkpoints has not begun.
 */
export const expectSameData = (dir: string, info: RunInfo): void => {
  if (!existsSync(join(dir, 'checkpoints')) || !existsSync(infoFile(dir))) return
  const before = readRunInfo(dir)
  const rows: readonly (readonly [string, unknown, unknown])[] = [
    ['classes', before.classes, info.classes],
    ['training images', before.trainCount, info.trainCount],
    ['hash of their names and labels', before.pictures ?? info.pictures, info.pictures],
  ]
  const [what, was, is] = rows.find(([, was, is]) => JSON.stringify(was) !== JSON.stringify(is)) ?? []
  if (what === undefined) return
  throw new ConfigError(
    `${dir}: the data is not what this run began with: ${what} ${JSON.stringify(was)} then, ${JSON.stringify(is)} now; restore the data, or train into another --out`,
  )
}

/** Writes run.json. */
export const writeRunInfo = (dir: string, info: RunInfo): void =>
  writeFileAtomic(infoFile(dir), `${JSON.stringify(info, null, 2)}\n`)

/** Reads run.json. @throws when the run has not got that far. */
export const readRunInfo = (dir: string): RunInfo => {
  if (!existsSync(infoFile(dir))) {
    throw new Error(
      `${dir}: there is no run.json, so training never started; run 'ul train' with this --out first`,
    )
  }
  return JSON.parse(readFileSync(infoFile(dir), 'utf8')) as RunInfo
}
