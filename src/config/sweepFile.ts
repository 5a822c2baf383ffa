/** @file A sweep: which runs, and what is said of them. Experiments are such files (experiments/*.yaml). */
import { LineCounter } from 'yaml'
import { z } from 'zod'
import { ConfigError, yamlValues } from './load.ts'

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
  /** Images reconstructed and generated per run for distances. */
  readonly samples: number
  /** One stage 1 for each arm and seed. */
  readonly arms: readonly Arm[]
  /** Base models trained on each stage 1; without any, a run trains both stages as configured. */
  readonly bases: readonly Arm[]
  /** Which figures to draw over which, by the names that `ul report` prints; lines join runs of one series. */
  readonly plots: readonly { readonly x: string; readonly y: string; readonly series?: string | undefined }[]
}

/** The directory of an arm within its sweep. */
export const armFolder = (name: string): string => name.replaceAll(/[ =/\\]+/g, '-')

/** Directories that a run makes below its own. */
export const runFolders = {
  checkpoints: 'checkpoints',
  latents: 'latents',
  samples: 'samples',
  tensorboard: 'tensorboard',
} as const
const taken: ReadonlySet<string> = new Set(Object.values(runFolders))

const armName = z
  .string()
  .regex(/^[\w.=,+ -]+$/, 'may hold letters, digits and . = , + - only')
  .regex(/^\w/, 'must begin with a letter or digit')
  .refine((name) => !taken.has(armFolder(name)), 'is the name of a directory that runs make; take another')
const arm = z.strictObject({ name: armName, set: z.array(z.string()).default([]) })

/** The first two arms that would share a directory, and so would be taken for one. */
const sharedFolder = (arms: readonly Arm[]): [Arm, Arm] | undefined => {
  const seen = new Map<string, Arm>()
  for (const arm of arms) {
    const before = seen.get(armFolder(arm.name))
    if (before !== undefined) return [before, arm]
    seen.set(armFolder(arm.name), arm)
  }
  return undefined
}

const arms = z.array(arm).superRefine((given, context) => {
  const shared = sharedFolder(given)
  if (shared === undefined) return
  const [a, b] = shared.map(({ name }) => `'${name}'`)
  context.addIssue({ code: 'custom', message: `${a} and ${b} would share a directory; rename one` })
})
const schema: z.ZodType<Sweep> = z.strictObject({
  title: z.string(),
  paper: z.string().optional(),
  found: z.string().optional(),
  preset: z.string(),
  set: z.array(z.string()).default([]),
  seeds: z.int().positive().max(10_000).default(1),
  samples: z.int().min(8).max(10_000_000).default(1024),
  arms: arms.min(1),
  bases: arms.default([]),
  plots: z.array(z.strictObject({ x: z.string(), y: z.string(), series: z.string().optional() })).default([]),
})

/** Reads a sweep from YAML. @throws ConfigError naming the file and the key. */
export const parseSweep = (text: string, name: string): Sweep => {
  const result = schema.safeParse(yamlValues(text, name, new LineCounter()))
  if (result.success) return result.data
  const issue = result.error.issues[0]
  const unknown = issue.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : []
  const key = [...issue.path, ...unknown].join('.')
  const reason = unknown.length > 0 ? 'there is no such key' : issue.message
  throw new ConfigError(`${name}: ${key === '' ? '' : `'${key}': `}${reason}; correct that value`)
}

/** Settings that a grid may have before another axis multiplies them. */
const mostArms = 1000

/** Commas within brackets belong to a value, as in `base.widths=[64, 128],[128, 192]`. */
const betweenValues = /,(?![^[]*\])/

/**
 * The arms of a grid: every combination of the values, `key=v1,v2` each.
 * @throws ConfigError for another form, and for two arms of one directory.
 */
export const gridArms = (grid: readonly string[]): Arm[] => {
  const made = grid.reduce<Arm[]>(
    (arms, axis) => {
      if (arms.length > mostArms)
        throw new ConfigError(`--grid: more than ${mostArms} settings; vary less at once`)
      const equals = axis.indexOf('=')
      const key = axis.slice(0, Math.max(0, equals))
      const values = axis.slice(equals + 1).split(betweenValues)
      if (equals < 1 || values.some((value) => value.trim() === ''))
        throw new ConfigError(`--grid ${axis}: expected key=value,value`)
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
  const shared = sharedFolder(made)
  if (shared !== undefined)
    throw new ConfigError(
      `--grid: '${shared[0].name}' and '${shared[1].name}' would share a directory; give each value once`,
    )
  return made
}
