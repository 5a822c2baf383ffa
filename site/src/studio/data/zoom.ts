/** @file Moving about on an axis of steps: nearer, further, to the side; never beyond what there is. */

/** Both ends of what is shown. */
export type Range = readonly [number, number]

/** A range of the same width within the whole, or the whole where it is wider. */
const within = ([from, to]: Range, [first, last]: Range): Range => {
  const width = Math.min(to - from, last - first)
  const start = Math.min(Math.max(from, first), last - width)
  return [start, start + width]
}

/**
 * The range nearer (factor below 1) or further, around a step that stays where it is.
 * At least `least` steps wide, so that something can be seen.
 */
export const zoomed = (range: Range, whole: Range, factor: number, around: number, least = 2): Range => {
  const [from, to] = range
  const width = Math.max((to - from) * factor, Math.min(least, whole[1] - whole[0]))
  const share = to > from ? (Math.min(Math.max(around, from), to) - from) / (to - from) : 0.5
  const start = from + (to - from) * share - width * share
  return within([start, start + width], whole)
}

/** The range moved by a share of its width. */
export const moved = ([from, to]: Range, whole: Range, share: number): Range => {
  const by = (to - from) * share
  return within([from + by, to + by], whole)
}

/** Whether all is shown. */
export const isWhole = ([from, to]: Range, [first, last]: Range): boolean => from <= first && to >= last
