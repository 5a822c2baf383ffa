/** @file A sweep: which runs, and what is said of them. Experiments are such files (experiments/*.yaml). */
import { parse } from 'yaml'
import { z } from 'zod'
import { ConfigError } from './load.ts'

/** A name and the settings that it stands for. */
export interface Arm {
  readonly name: string
  /** `key=value` changes to the configuration. */
  readonly set: readonly string[]
}

/** A grid of runs. */
export interface Sweep {
  readonly title: string
  /** What the paper found, and where; absent outside of experiments. */
  readonly paper?: string | undefined
  /** What we found. */
  readonly found?: string | undefined
  /** Preset or configuration file that all runs start from. */
  readonly preset: string
  /** Changes in all runs. */
  readonly set: readonly string[]
  readonly seeds: number
  /** Pictures reconstructed and generated per run for distances. */
  readonly samples: number
  /** One stage 1 for each arm and seed. */
  readonly arms: readonly Arm[]
  /** Base models trained on each stage 1; without any, a run trains both stages as configured. */
  readonly bases: readonly Arm[]
  /** Which figures to draw over which, by the names that `ul report` prints; lines join runs of one series. */
  readonly plots: readonly { readonly x: string; readonly y: string; readonly series?: string | undefined }[]
}

const armName = z.string().regex(/^[\w.=,+ -]+$/, 'may hold letters, digits and . = , + - only')
const arm = z.strictObject({ name: armName, set: z.array(z.string()).default([]) })
const schema: z.ZodType<Sweep> = z.strictObject({
  title: z.string(),
  paper: z.string().optional(),
  found: z.string().optional(),
  preset: z.string(),
  set: z.array(z.string()).default([]),
  seeds: z.int().positive().default(1),
  samples: z.int().min(8).default(1024),
  arms: z.array(arm).min(1),
  bases: z.array(arm).default([]),
  plots: z.array(z.strictObject({ x: z.string(), y: z.string(), series: z.string().optional() })).default([]),
})

/** Reads a sweep from YAML. @throws ConfigError naming the file and the key. */
export const parseSweep = (text: string, name: string): Sweep => {
  let tree: unknown
  try {
    tree = parse(text)
  } catch (cause) {
    throw new ConfigError(`${name}: this is not YAML: ${(cause as Error).message.split('\n')[0]}`, { cause })
  }
  const result = schema.safeParse(tree)
  if (result.success) return result.data
  const issue = result.error.issues[0]!
  throw new ConfigError(`${name}: '${issue.path.join('.')}': ${issue.message}; correct that value`)
}

/** The arms of a grid: every combination of the values, `key=v1,v2` each. @throws ConfigError for another form. */
export const gridArms = (grid: readonly string[]): Arm[] =>
  grid.reduce<Arm[]>(
    (arms, axis) => {
      const equals = axis.indexOf('=')
      if (equals < 1) throw new ConfigError(`--grid ${axis}: expected key=value,value`)
      const [key, values] = [axis.slice(0, equals), axis.slice(equals + 1).split(',')]
      const short = key.split('.').at(-1)!
      return arms.flatMap(({ name, set }) =>
        values.map((value) => ({
          name: [name, `${short}=${value}`].filter((part) => part !== '').join(' '),
          set: [...set, `${key}=${value}`],
        })),
      )
    },
    [{ name: '', set: [] }],
  )
