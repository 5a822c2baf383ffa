/** @file The form of a new run: what is sent of it, where each error belongs, which name is free. */
import type { CheckAnswer, Form, FormField, StartRequest } from '../../../../src/studio/api.ts'

/** Values that differ from the preset's, by key. */
export type Changes = Readonly<Record<string, string>>

/** `key=value` for each change, in the order of the form; keys that the form does not know come last. */
export const setOf = (changes: Changes, fields: readonly Pick<FormField, 'key'>[]): string[] => {
  const places = new Map(fields.map(({ key }, place) => [key, place]))
  const place = (key: string): number => places.get(key) ?? places.size
  return Object.entries(changes)
    .sort(([a], [b]) => place(a) - place(b))
    .map(([key, value]) => `${key}=${value}`)
}

/** The changes of `key=value` texts; a text without `=` is a key without a value. */
export const changesIn = (set: readonly string[]): Changes =>
  Object.fromEntries(
    set.map((text) => {
      const at = text.indexOf('=')
      return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)]
    }),
  )

/** The changes with a value for a key; the preset's own value is no change. */
export const changed = (changes: Changes, key: string, value: string, preset: Changes): Changes => {
  const { [key]: _, ...others } = changes
  return value === (preset[key] ?? '') ? others : { ...others, [key]: value }
}

/** Errors beside fields, and those that belong to none, which are shown at the button. */
export const placedErrors = (
  { errors }: CheckAnswer,
  fields: readonly Pick<FormField, 'key'>[],
): { readonly byKey: Readonly<Record<string, string>>; readonly others: readonly string[] } => {
  const known = new Set([...fields.map(({ key }) => key), 'run', 'preset'])
  const entries = Object.entries(errors)
  return {
    byKey: Object.fromEntries(entries.filter(([key]) => known.has(key))),
    others: entries
      .filter(([key]) => !known.has(key))
      .map(([key, text]) => (key === '' || text.includes(key) ? text : `${key}: ${text}`)),
  }
}

/** Fields under the part of the configuration that they are of: `train.stage1` is one, `name` is of `run`. */
export const fieldGroups = ({ fields }: Form): (readonly [string, readonly FormField[]])[] => {
  const groups = new Map<string, FormField[]>()
  for (const field of fields) {
    const group = field.key.includes('.') ? field.key.slice(0, field.key.lastIndexOf('.')) : 'run'
    groups.set(group, [...(groups.get(group) ?? []), field])
  }
  return [...groups]
}

/** A name that no run has: the preset's, with a number where it is taken. */
export const freeName = (preset: string, taken: ReadonlySet<string>): string => {
  for (let count = 1; ; count++) {
    const name = count === 1 ? preset : `${preset}-${count}`
    if (!taken.has(name)) return name
  }
}

const quoted = (text: string): string =>
  /^[\w./=,:+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`

/** The same as a command. */
export const commandOf = ({ preset, set, run, device = 'cpu' }: StartRequest, folder: string): string =>
  [
    'ul train',
    preset,
    ...set.map((text) => `--set ${quoted(text)}`),
    ...(device === 'cpu' ? [] : [`--device ${device}`]),
    `--out ${quoted(`${folder.replace(/\/$/, '')}/${run}`)}`,
  ].join(' ')
