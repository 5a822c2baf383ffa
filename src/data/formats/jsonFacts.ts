/** @file What an object of JSON says of an image: its label and its caption, under the names in use. */

const LABEL_KEYS = ['label', 'cls', 'class', 'class_id', 'label_id', 'target']
const NAME_KEYS = ['class_name', 'label_name', 'classname']
/** Names of the column that says the split. */
export const SIDE_KEYS: readonly string[] = ['split', 'subset']
const CAPTION_KEYS = ['caption', 'text', 'description', 'prompt']

/** The first of the keys that holds a text, or a whole number where those are wanted. */
const pick = (object: object, keys: readonly string[], numbers: boolean): string | number | undefined => {
  for (const key of keys) {
    const value = (object as Readonly<Record<string, unknown>>)[key]
    if (typeof value === 'string' && value !== '') return value
    if (numbers && Number.isInteger(value)) return value as number
  }
  return undefined
}

/** `7` is the number of a class, anything else its name. */
export const labelOf = (given: string): number | string => {
  const trimmed = given.trim()
  return /^-?\d{1,9}$/.test(trimmed) ? Number(trimmed) : trimmed
}

/** A caption without line breaks. */
export const oneLine = (given: string): string => given.replace(/\s+/g, ' ').trim()

/** What an object says of an image; undefined where it says nothing. */
export interface JsonFacts {
  readonly label: number | string | undefined
  readonly caption: string | undefined
  /** What it says of the split. */
  readonly side: string | undefined
}

/** What an object says of an image. A class's name goes before its number. */
export const factsInJson = (value: object): JsonFacts => {
  const label = pick(value, NAME_KEYS, false) ?? pick(value, LABEL_KEYS, true)
  const caption = pick(value, CAPTION_KEYS, false)
  const side = pick(value, SIDE_KEYS, false)
  return {
    label: typeof label === 'string' ? labelOf(label) : label,
    caption: caption === undefined ? undefined : oneLine(String(caption)),
    side: side === undefined ? undefined : String(side),
  }
}
