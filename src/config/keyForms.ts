/** @file The keys of a configuration as fields of a form: what kind of value each has, and what it means. */
import { z } from 'zod'
import { presets } from './presets.ts'
import { type Config, keySchemas, textKeys } from './schema.ts'

/** What a form shows of a key. */
export interface KeyForm {
  /** Key with dots, as --set takes it. */
  readonly key: string
  readonly kind: 'number' | 'integer' | 'boolean' | 'choice' | 'text' | 'list'
  /** What it means, with its unit. */
  readonly description: string
  /** Values of a choice, and of the items of a list of such; empty otherwise. */
  readonly choices: readonly string[]
  /** Whether it may be left out. */
  readonly optional: boolean
}

/** The schema of a value that is there. */
const given = (schema: z.ZodType): z.ZodType =>
  schema instanceof z.ZodDefault || schema instanceof z.ZodNullable || schema instanceof z.ZodOptional
    ? given(schema.unwrap() as z.ZodType)
    : schema

const choicesOf = (schema: z.ZodType): string[] => {
  if (schema instanceof z.ZodEnum) return schema.options.map(String)
  return schema instanceof z.ZodArray ? choicesOf(schema.element as z.ZodType) : []
}

const kindOf = (schema: z.ZodType): KeyForm['kind'] => {
  if (schema instanceof z.ZodEnum) return 'choice'
  if (schema instanceof z.ZodBoolean) return 'boolean'
  if (schema instanceof z.ZodArray || schema instanceof z.ZodTuple) return 'list'
  if (schema instanceof z.ZodNumberFormat) return 'integer'
  return schema instanceof z.ZodNumber ? 'number' : 'text'
}

/** The value of a key; undefined where the configuration leaves it out. */
const valueAt = (config: Config, key: string): unknown =>
  key
    .split('.')
    .reduce<unknown>(
      (tree, part) =>
        typeof tree === 'object' && tree !== null ? new Map(Object.entries(tree)).get(part) : undefined,
      config,
    )

/** Keys of a new run, in the order of the schema; the version of the form is no setting. */
export const keyForms: readonly KeyForm[] = [...keySchemas]
  .filter(([key]) => key !== 'version')
  .map(([key, schema]) => ({
    key,
    kind: kindOf(given(schema)),
    description: schema.description ?? '',
    choices: choicesOf(given(schema)),
    optional:
      schema.safeParse(undefined).success ||
      schema.safeParse(null).success ||
      Object.values(presets).some((preset) => valueAt(preset, key) === undefined),
  }))

/** The values of a configuration by key, each as --set takes it. */
export const typedValues = (config: Config): Readonly<Record<string, string>> =>
  Object.fromEntries(
    keyForms.flatMap(({ key }) => {
      const value = valueAt(config, key)
      if (value === undefined) return []
      return [[key, textKeys.has(key) && value !== null ? String(value) : JSON.stringify(value)]]
    }),
  )
