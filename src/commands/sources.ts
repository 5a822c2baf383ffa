/** @file Finds what an argument names: a preset, a configuration, a sweep, a run, or a model of the package. */

import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { applySettings, ConfigError, parseConfig, presetByName } from '../config/load.ts'
import { presets } from '../config/presets.ts'
import type { Config } from '../config/schema.ts'
import { parseSweep, type Sweep } from '../config/sweepFile.ts'
import { hasClips, usualClasses } from '../data/open.ts'
import { recogniseData } from '../data/recognise.ts'
import { runFiles } from '../runs/files.ts'
import { ownPackage } from '../runs/provenance.ts'
import { readRunConfig, readRunInfo } from '../runs/runDirectory.ts'

/** Bytes of a configuration at most. */
const longestText = 2 ** 22

/** A command that uses data of a kind at a path. */
export type DataCommand = (source: string, path: string) => string

/** How data is trained on. */
const trainOn: DataCommand = (source, path) =>
  `ul train quickstart --set data.source=${source} --set data.path=${path} --set data.balance=false${hasClips(source) ? ' --set data.frames=16' : ''}`

/** A path as a shell takes it. */
const quoted = (path: string): string => (/^[\w./@:+-]+$/.test(path) ? path : JSON.stringify(path))

/** @throws ConfigError when data lies where a configuration belongs, with the command that takes it. */
const expectNoData = (path: string, command: DataCommand): void => {
  const found = recogniseData(path)
  if (found === null) return
  const { source, words } = found
  const remedy =
    source === null
      ? ['an image', 'a video'].includes(words)
        ? 'give the folder that it lies in'
        : 'unpack it first'
      : `use '${command(source, quoted(path))}'`
  throw new ConfigError(`${path}: this is ${words}, no configuration; ${remedy}`)
}

/** A text file. @throws ConfigError when it is none. */
const readText = (path: string, command: DataCommand = trainOn): string => {
  const info = statSync(path)
  if (!info.isFile()) throw new ConfigError(`${path}: this is neither file nor folder; give a file of YAML`)
  expectNoData(path, command)
  if (info.size > longestText)
    throw new ConfigError(`${path}: this has ${info.size} bytes; give a file of YAML`)
  const text = readFileSync(path, 'utf8')
  if (text.includes('\0')) throw new ConfigError(`${path}: this is not a text file; give a file of YAML`)
  return text
}

/**
 * The configuration of a preset or a file.
 * @param command what to say of data that is given instead
 * @throws ConfigError when there is none of that name.
 */
export const loadConfig = (source: string, command: DataCommand = trainOn): Config => {
  if (Object.hasOwn(presets, source) || !existsSync(source)) return presetByName(source)
  if (statSync(source).isDirectory()) {
    expectNoData(source, command)
    const known = Object.keys(presets).join(', ')
    throw new ConfigError(
      `${source}: this directory holds no run (there is no config.yaml in it); give a run, a configuration file or a preset: ${known}`,
    )
  }
  return parseConfig(readText(source, command), source)
}

/** Reads a sweep from a file. @throws ConfigError when there is none. */
export const readSweep = (path: string): Sweep => {
  const info = statSync(path, { throwIfNoEntry: false })
  if (info?.isDirectory() === true) expectNoData(path, trainOn)
  if (info?.isFile() !== true)
    throw new ConfigError(`${path}: there is no such file; give one like those in experiments/`)
  return parseSweep(readText(path), path)
}

/** What commands that describe a configuration say of that argument, and its help. */
export const describedArgument = ['<run or preset>', 'run directory, preset, or configuration file'] as const

/** Configuration of a run, preset or file, and how many classes its data has or is taken to have. */
export const describedBy = (
  source: string,
  set: readonly string[],
): { readonly config: Config; readonly classes: number } => {
  const isRun = existsSync(join(source, runFiles.config))
  const config = applySettings(isRun ? readRunConfig(source) : loadConfig(source), set)
  return { config, classes: isRun ? readRunInfo(source).classes.length : usualClasses(config.data.source) }
}

/** What commands that use a run say of that argument. */
export const runArgument =
  'run directory, what ul export wrote, or a model that comes with the package: emoji64'

/** The directory of a run, or of a model that comes with the package. */
export const runDirectory = (given: string): string => {
  const shipped = join(ownPackage()?.dir ?? '', 'pretrained', given)
  return !existsSync(given) && /^[\w-]+$/.test(given) && existsSync(shipped) ? shipped : given
}
