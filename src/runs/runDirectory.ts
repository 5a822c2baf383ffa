/** @file A run's directory: config.yaml (resolved), run.json (what the data gave), checkpoints, logs, images. */
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { ConfigError, parseRunConfig, showConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { writeFileAtomic } from '../files/atomic.ts'
import { infoSchema, type RunInfo, showRunInfo } from '../model/info.ts'
import { orWarn, readChecked } from './checked.ts'
import { checkpointStages } from './checkpoint.ts'
import { asBegun, trainedPart } from './configHash.ts'
import { runFiles, runFolders } from './files.ts'
import { dataDifference } from './runInfo.ts'
import { firstDifference } from './settings.ts'

export type { RunInfo } from '../model/info.ts'

const configFile = (dir: string): string => join(dir, runFiles.config)

/** The configuration of an existing run. @throws when there is none, ConfigError when it does not read. */
export const readRunConfig = (dir: string): Config => {
  if (!existsSync(configFile(dir))) {
    throw new Error(
      `${dir}: there is no config.yaml, so this is not a run; train one with 'ul train quickstart --out ${dir}'`,
    )
  }
  return parseRunConfig(readFileSync(configFile(dir), 'utf8'), configFile(dir))
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

/** Where a stage 1 was trained, and with which configuration. */
export interface Stage1 {
  /** Absolute. */
  readonly dir: string
  readonly config: Config
}

/**
 * Where a run's stage 1 was trained, and with which configuration: that of the last run along train.stage1.from that is
 * still there.
 */
export const stage1Of = (dir: string, config: Config): Stage1 => {
  const chain = stage1Chain(dir, config)
  const last = chain.slice(1).findLast((path) => existsSync(configFile(path)))
  return { dir: chain.at(-1)!, config: last === undefined ? config : readRunConfig(last) }
}

/** The file that makes a directory an exported run. */
export const weightsFile: string = runFiles.weights

/**
 * Checks that a directory with a run trains the same thing.
 * @throws ConfigError naming the first key that differs.
 */
export const expectSameRun = (dir: string, config: Config): void => {
  const begun = checkpointStages(dir)
  const [existing, asked] = [readRunConfig(dir), config].map((own) => trainedPart(asBegun(own, begun)))
  if (existing === asked) return
  const found = firstDifference(JSON.parse(existing), JSON.parse(asked))
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
  if (existsSync(configFile(dir)) && existsSync(join(dir, runFolders.checkpoints))) expectSameRun(dir, config)
  mkdirSync(dir, { recursive: true })
  writeFileAtomic(configFile(dir), showConfig(config))
}

const infoFile = (dir: string): string => join(dir, runFiles.info)

/**
 * Checks that a run goes on with the images that it began with: other classes would change what its labels mean, other
 * images the order in which they come.
 * @param warn told when run.json does not read: it is made again, but nothing is compared then
 * @throws ConfigError naming what differs. A run without checkpoints has not begun.
 */
export const expectSameData = (dir: string, info: RunInfo, warn: (text: string) => void): void => {
  if (!existsSync(join(dir, runFolders.checkpoints)) || !existsSync(infoFile(dir))) return
  const before = orWarn(() => readRunInfo(dir), warn)
  if (before !== null) expectDataOf(dir, before, info, 'or train into another --out')
}

/**
 * Checks that data is what a run was trained on.
 * @param before what the run knows of its data
 * @param remedy what else can be done than to restore the data
 * @throws ConfigError naming what differs.
 */
export const expectDataOf = (dir: string, before: RunInfo, info: RunInfo, remedy: string): void => {
  const difference = dataDifference(before, info)
  if (difference === null) return
  throw new ConfigError(
    `${dir}: the data is not what this run began with: ${difference}; restore the data, ${remedy}`,
  )
}

/** Writes run.json. */
export const writeRunInfo = (dir: string, info: RunInfo): void =>
  writeFileAtomic(infoFile(dir), showRunInfo(info))

/** Reads run.json. @throws when the run has not got that far. */
export const readRunInfo = (dir: string): RunInfo => {
  if (!existsSync(infoFile(dir))) {
    throw new Error(
      `${dir}: there is no run.json, so training never started; run 'ul train' with this --out first`,
    )
  }
  const remedy = existsSync(join(dir, weightsFile))
    ? "export the run again with 'ul export'"
    : "run its 'ul train' again, which writes it anew"
  return readChecked(infoSchema, infoFile(dir), remedy)
}
