/** @file A scatter over a sweep: which numbers its axes may have, where each run lies, which point is meant. */
import type { ScatterPoint } from '../../../../src/studio/api.ts'
import { inOrder, metricLabel } from './metricNames.ts'

/** Training FLOPs of the base model as an axis, beside the figures. */
export const flopsAxis = 'baseFlops'

/** A run on the plane of two numbers. */
export interface Mark {
  readonly point: ScatterPoint
  readonly x: number
  readonly y: number
}

const onAxis = ({ figures, baseFlops }: ScatterPoint, axis: string): number | null =>
  axis === flopsAxis ? baseFlops : (figures[axis] ?? null)

/** Numbers that some run has, the best known first. */
export const axesOf = (points: readonly ScatterPoint[]): string[] => {
  const figures = inOrder(points.flatMap((point) => Object.keys(point.figures)))
  return points.some(({ baseFlops }) => baseFlops !== null) ? [...figures, flopsAxis] : figures
}

/** An axis with its unit. */
export const axisLabel = (axis: string): string =>
  axis === flopsAxis ? 'Training FLOPs of the base model' : metricLabel(axis)

/** Whether an axis is drawn logarithmically: FLOPs span decades. */
export const isLogAxis = (axis: string): boolean => axis === flopsAxis

/** The runs that have both numbers, from left to right: the order in which the keyboard visits them. */
export const marksOf = (points: readonly ScatterPoint[], x: string, y: string): Mark[] => {
  const marks = points.flatMap((point): Mark[] => {
    const [a, b] = [onAxis(point, x), onAxis(point, y)]
    const isThere = a !== null && b !== null && (!isLogAxis(x) || a > 0) && (!isLogAxis(y) || b > 0)
    return isThere ? [{ point, x: a, y: b }] : []
  })
  return marks.sort((a, b) => a.x - b.x || a.y - b.y || a.point.run.localeCompare(b.point.run))
}

/**
 * The mark nearest to a place, within a distance; null where none is.
 * @param at where a mark is drawn, in the units of the place
 */
export const nearest = (
  marks: readonly Mark[],
  at: (mark: Mark) => readonly [number, number],
  [x, y]: readonly [number, number],
  within: number,
): number | null => {
  const distances = marks.map((mark) => Math.hypot(at(mark)[0] - x, at(mark)[1] - y))
  const least = Math.min(...distances)
  return least <= within ? distances.indexOf(least) : null
}

/** Folders above the runs, from the top; each holds two runs or more. */
export const foldersOf = (runs: readonly string[]): string[] => {
  const counts = new Map<string, number>()
  for (const run of runs) {
    const parts = run.split('/')
    for (let depth = 1; depth < parts.length; depth++) {
      const folder = parts.slice(0, depth).join('/')
      counts.set(folder, (counts.get(folder) ?? 0) + 1)
    }
  }
  return [...counts].flatMap(([folder, count]) => (count > 1 ? [folder] : [])).sort()
}
