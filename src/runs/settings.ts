/** @file Trees of plain values, such as configurations and protocols, as dotted keys: compared and changed. */

/** Plain values under names. */
export type Tree = { readonly [key: string]: unknown }

const isTree = (value: unknown): value is Tree =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Dotted keys and their values, in the order of the tree; lists are values. */
export const leavesOf = (tree: unknown, path = ''): [string, unknown][] =>
  isTree(tree)
    ? Object.entries(tree).flatMap(([key, below]) => leavesOf(below, path === '' ? key : `${path}.${key}`))
    : [[path, tree]]

/** Where two trees of values differ first. */
export interface Difference {
  /** Dotted key. */
  readonly key: string
  /** The two values as JSON; `undefined` where there is none. */
  readonly values: readonly [string, string]
}

/** The first key at which two trees of plain values differ, or null. */
export const firstDifference = (a: unknown, b: unknown, path = ''): Difference | null => {
  const [left, right] = [String(JSON.stringify(a)), String(JSON.stringify(b))]
  if (left === right) return null
  if (!isTree(a) || !isTree(b)) return { key: path, values: [left, right] }
  for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
    const below = firstDifference(a[key], b[key], path === '' ? key : `${path}.${key}`)
    if (below !== null) return below
  }
  return null
}

/** The leaves of `tree` that `from` has not, or has otherwise. */
export const changesFrom = (from: unknown, tree: unknown): Record<string, unknown> => {
  const known = new Map(leavesOf(from).map(([key, value]) => [key, JSON.stringify(value)]))
  return Object.fromEntries(leavesOf(tree).filter(([key, value]) => known.get(key) !== JSON.stringify(value)))
}

/** A tree with the values of dotted keys in place of its own: what `changesFrom` told apart, put together again. */
export const withChanges = (tree: Tree, changes: Readonly<Record<string, unknown>>): Tree => {
  const result = new Map(Object.entries(tree))
  for (const [key, value] of Object.entries(changes)) {
    const [first, ...rest] = key.split('.') as [string, ...string[]]
    const below = result.get(first)
    const changed =
      rest.length === 0 ? value : withChanges(isTree(below) ? below : {}, { [rest.join('.')]: value })
    result.set(first, changed)
  }
  return Object.fromEntries(result)
}
