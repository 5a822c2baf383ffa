/** @file What the commands share: options, how a configuration and a run are found, how answers are printed. */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { InvalidArgumentError, Option } from 'commander'
import { ConfigError, parseConfig, presetByName } from '../config/load.ts'
import { presets } from '../config/presets.ts'
import type { Config } from '../config/schema.ts'
import type { Compute } from '../engine/ir/graph.ts'
import { NodeRuntime } from '../engine/runtime/node/runtime.ts'
import type { Device } from '../engine/runtime/runtime.ts'

/** Exit codes: bad usage or configuration, anything else, interrupted. */
export const exitUsage = 2
export const exitFailure = 1
export const exitInterrupted = 130

export const wholeNumber =
  (smallest: number) =>
  (text: string): number => {
    const n = Number(text)
    if (!Number.isInteger(n) || n < smallest)
      throw new InvalidArgumentError(`expected a whole number from ${smallest} on.`)
    return n
  }
export const realNumber = (text: string): number => {
  const n = Number(text)
  if (text.trim() === '' || !Number.isFinite(n)) throw new InvalidArgumentError('expected a number.')
  return n
}
export const positiveNumber = (text: string): number => {
  const n = realNumber(text)
  if (!(n > 0)) throw new InvalidArgumentError('expected a number above 0.')
  return n
}
export const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value]

export const deviceOption = (): Option =>
  new Option('--device <device>', 'where to run').choices(['cpu', 'webgpu', 'cuda']).default('cpu')
export const computeOption = (): Option =>
  new Option('--compute <type>', 'how products are computed; float16 on webgpu and cuda')
    .choices(['float32', 'float16'])
    .default('float32')
export const seedOption = (): Option =>
  new Option('--seed <n>', 'seed of all noise').argParser(wholeNumber(0)).default(0)
export const setOption = (): Option =>
  new Option('--set <key=value>', 'change one configuration key; may be repeated')
    .argParser(collect)
    .default([])
/** What a command is told about where and how to compute. */
export interface DeviceFlags {
  readonly device: Device
  readonly compute: Compute
}
/** @throws ConfigError when the device has no such arithmetic. */
export const runtimeOf = ({ device, compute }: DeviceFlags): NodeRuntime => {
  if (device === 'cpu' && compute === 'float16') {
    throw new ConfigError(
      '--compute float16: the CPU multiplies in float32 only; add --device webgpu or cuda',
    )
  }
  return new NodeRuntime({ device, compute })
}
export const jsonOption = (): Option => new Option('--json', 'one JSON object per line on stdout')

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

/** A text file. @throws ConfigError when it is none. */
export const readText = (path: string): string => {
  const text = readFileSync(path, 'utf8')
  if (text.includes('\0')) throw new ConfigError(`${path}: this is not a text file; give a file of YAML`)
  return text
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

/** A result on stdout: as one JSON line, or as text for people. Progress and warnings go to stderr. */
export const answer = (json: boolean | undefined, value: object, text: string): void => {
  process.stdout.write(`${json === true ? JSON.stringify(value) : text}\n`)
}

export const warn = (text: string): void => {
  process.stderr.write(`warning: ${text}\n`)
}

export const example = (command: string): string => `\nExample:\n  ${command}`
