/** @file What differs between the data of a run and other data. */
import type { RunInfo } from '../model/info.ts'

/** Names in a message at most. */
const namesSaid = 5

const said = (names: readonly string[]): string =>
  names.length > namesSaid
    ? `${names.slice(0, namesSaid).join(', ')} and ${names.length - namesSaid} more`
    : names.join(', ')

/** What differs between the data of a run and other data, in words and by name; null when nothing does. */
export const dataDifference = (then: RunInfo, now: RunInfo): string | null => {
  const without = (names: readonly string[], others: readonly string[]): string => {
    const known = new Set(others)
    return said(names.filter((name) => !known.has(name)))
  }
  const [added, gone] = [without(now.classes, then.classes), without(then.classes, now.classes)]
  if (added !== '' || gone !== '') {
    const parts = [added === '' ? '' : `${added} new`, gone === '' ? '' : `${gone} gone`]
    return `of its classes ${parts.filter((part) => part !== '').join(', ')}`
  }
  if (JSON.stringify(then.classes) !== JSON.stringify(now.classes)) return 'its classes in another order'
  if (then.trainCount !== now.trainCount)
    return `training images ${then.trainCount} then, ${now.trainCount} now`
  const [a, b] = [then.pictures, now.pictures]
  return a !== undefined && b !== undefined && a !== b ? 'other names or labels of its training images' : null
}
