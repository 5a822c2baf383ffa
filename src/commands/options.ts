/** @file What the files of commands share: options, how their values are read, and how help ends. */
import { type Command, InvalidArgumentError, Option } from 'commander'
import { ConfigError } from '../config/load.ts'
import { precisions } from '../engine/runtime/node/precision.ts'

/** What a command's file exports: adds the command with its arguments, options, example and action. */
export type AddCommand = (program: Command) => void

/** The end of a command's help. */
export const example = (command: string): string => `\nExample:\n  ${command}`

/** Reads a whole number. @throws InvalidArgumentError when it is none, or below `smallest` */
export const wholeNumber =
  (smallest: number) =>
  (text: string): number => {
    const n = Number(text)
    if (!Number.isInteger(n) || n < smallest)
      throw new InvalidArgumentError(`expected a whole number from ${smallest} on.`)
    return n
  }

/** Reads a number. @throws InvalidArgumentError when it is none, or not finite */
export const realNumber = (text: string): number => {
  const n = Number(text)
  if (text.trim() === '' || !Number.isFinite(n)) throw new InvalidArgumentError('expected a number.')
  return n
}

/** Reads a number above 0. @throws InvalidArgumentError when it is none */
export const positiveNumber = (text: string): number => {
  const n = realNumber(text)
  if (!(n > 0)) throw new InvalidArgumentError('expected a number above 0.')
  return n
}

/** Keeps every value of an option that may be repeated. */
export const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value]

/** Options that several commands have, by name; each makes its own, since a command may set another default. */
export const option = {
  json: (): Option => new Option('--json', 'one JSON object per line on stdout'),
  /** For `applySettings`. */
  set: (): Option =>
    new Option('--set <key=value>', 'change one configuration key; may be repeated')
      .argParser(collect)
      .default([]),
  /** For `trackioServer`, which reads it without showing it: it may hold a token. */
  trackio: (): Option =>
    new Option('--trackio <url>', 'send the log to this Trackio server, too; see docs/studio.md'),
  /** Of commands that draw noise. */
  seed: (): Option => new Option('--seed <n>', 'seed of all noise').argParser(wholeNumber(0)).default(0),
  /** @param whose what is generated, as in 'guidance scale of the samples' */
  guidance: (whose: string = ''): Option =>
    new Option('--guidance <g>', `guidance scale${whose}; 1 is none`).argParser(realNumber),
  /** Guidance by given frames. */
  givenGuidance: (): Option =>
    new Option(
      '--given-guidance <g>',
      'guidance scale by given frames, against no given ones (default: sampler.givenGuidance of the run; 1 is none)',
    ).argParser(realNumber),
  /** @param of what takes them */
  steps: (of: string): Option => new Option('--steps <n>', of).argParser(wholeNumber(1)),
  device: (): Option =>
    new Option('--device <device>', 'where to run').choices(['cpu', 'webgpu', 'cuda']).default('cpu'),
  threads: (): Option =>
    new Option(
      '--threads <n>',
      'threads of an operation on the CPU (default: all, or the share of one process of several)',
    ).argParser(wholeNumber(1)),
  compute: (): Option =>
    new Option('--compute <type>', 'how products are computed; tf32 on cuda, float16 on webgpu and cuda')
      .choices([...precisions])
      .default('float32'),
} as const

/** Steps of a sampler at most, as in the configuration. */
const mostSteps = 10_000

/** A sampler with the steps of `--steps`, where that is given. */
export const withSteps = <Sampler extends { readonly steps: number }>(
  sampler: Sampler,
  steps: number | undefined,
): Sampler => {
  if ((steps ?? 0) > mostSteps)
    throw new ConfigError(`--steps ${steps}: a sampler takes ${mostSteps} at most`)
  return { ...sampler, steps: steps ?? sampler.steps }
}
