/** @file JSON that is checked as it is read, and sealed with its own checksum where it must not change. */
import { z } from 'zod'
import { textChecksum } from './checksums.ts'

/** JSON of an object by which it is known again. */
const sealOf = (tree: object): string => textChecksum(JSON.stringify(tree))

/** An object with its checksum as last key. */
export const withSeal = <T extends object>(tree: T): T & { readonly checksum: string } => ({
  ...tree,
  checksum: sealOf(tree),
})

/** Whether an object is what was written; one without a checksum is, unless it has those of tensors, which are written with it. */
const isUnchanged = (tree: unknown): boolean => {
  if (typeof tree !== 'object' || tree === null) return true // the schema says what is wrong
  const { checksum, ...rest } = tree as { readonly checksum?: unknown }
  return checksum === undefined ? !Object.hasOwn(rest, 'tensors') : checksum === sealOf(rest)
}

/** Objects of a schema as `withSeal` wrote them; those of older versions have no checksum. */
export const sealed = <T>(schema: z.ZodType<T>): z.ZodType<T> =>
  z
    .unknown()
    .refine(isUnchanged, { abort: true, error: 'is not what was saved (its checksum differs)' })
    .transform((tree) => {
      if (typeof tree !== 'object' || tree === null) return tree
      const { checksum: _, ...rest } = tree as { readonly checksum?: unknown }
      return rest
    })
    .pipe(schema)

/**
 * A value as what a schema describes.
 * @param place the file, and the line where it has many
 * @param remedy what to do about something else
 * @throws one sentence with place, what was found and remedy
 */
export const checked = <T>(schema: z.ZodType<T>, value: unknown, place: string, remedy: string): T => {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const [issue] = result.error.issues
  const key = issue?.path.join('.') ?? ''
  const message = (issue?.message ?? '').replace(/^./, (first) => first.toLowerCase())
  throw new Error(`${place}: ${key === '' ? '' : `'${key}': `}${message}; ${remedy}`)
}

/** The same of JSON text. */
export const parseChecked = <T>(schema: z.ZodType<T>, text: string, place: string, remedy: string): T => {
  let tree: unknown
  try {
    tree = JSON.parse(text)
  } catch (cause) {
    throw new Error(`${place}: this is not JSON; ${remedy}`, { cause })
  }
  return checked(schema, tree, place, remedy)
}
