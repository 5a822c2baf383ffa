/** @file Finds what an argument names: a preset, a configuration, a sweep, a run, or a model of the package. */

import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { applySettings, ConfigError, parseConfig, presetByName } from '../config/load.ts'
import { presets } from '../config/presets.ts'
import type { Config } from '../config/schema.ts'
import { parseSweep, type Sweep } from '../config/sweepFile.ts'
import { usualClasses } from '../data/open.ts'
import { runFiles } from '../runs/files.ts'
import { readRunConfig, readRunInfo } from '../runs/runDirectory.ts'

/** Bytes of a configuration at most. */
const longestText = 2 ** 22

/** A text file. @throws ConfigError when it is none. */
const readText = (path: string): string => {
  const info = statSync(path)
  if (info.isBlockDevice() || info.isCharacterDevice() || info.size > longestText) {
    const found = info.size > longestText ? `has ${info.size} bytes` : 'is a device'
    throw new ConfigError(`${path}: this ${found}; give a file of YAML`)
  }
  const text = readFileSync(path, 'utf8')
  if (text.includes('\0')) throw new ConfigError(`${path}: this is not a text file; give a file of YAML`)
  return text
}

/** The configuration of a preset or a file. @throws ConfigError when there is none of that name. */
export const loadConfig = (source: string): Config => {
  if (Object.hasOwn(presets, source) || !existsSync(source)) return presetByName(source)
  if (statSync(source).isDirectory()) {
    const known = Object.keys(presets).join(', ')
    throw new ConfigError(
      `${source}: this directory holds no run (there is no config.yaml in it); give a run, a configuration file or a preset: ${known}`,
    )
  }
  return parseConfig(readText(source), source)
}

/** Reads a sweep from a file. @throws ConfigError when there is none. */
export const readSweep = (path: string): Sweep => {
  if (statSync(path, { throwIfNoEntry: false })?.isFile() !== true)
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

/** Models that come with the package, by name. */
const pretrained = fileURLToPath(new URL('../../pretrained', import.meta.url))

/** What commands that use a run say of that argument. */
export const runArgument =
  'run directory, what ul export wrote, or a model that comes with the package: emoji64'

/** The directory of a run, or of a model that comes with the package. */
export const runDirectory = (given: string): string => {
  const shipped = join(pretrained, given)
  return !existsSync(given) && /^[\w-]+$/.test(given) && existsSync(shipped) ? shipped : given
}
