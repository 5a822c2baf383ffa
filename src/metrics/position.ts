/** @file Where something is in frames that are known but for its place: whether what is predicted moves as it should. */
import { examplesOf, floats, type HostTensor, showShape } from '../engine/host/tensor.ts'

/** Where a thing is: in pixels from the left and from the top, in whatever way `render` counts them. */
export interface Position {
  readonly x: number
  readonly y: number
}

/** How a position is searched for. */
export interface PositionSearch {
  /** The true scene of frame t with the thing at (x, y): [3, H, W] in [−1, 1]. */
  readonly render: (t: number, x: number, y: number) => Float32Array
  /**
   * Pixels between the positions that are tried first: ½, 1, 2, 4, …; 2 when left out. At most a third of a plain thing's size,
   * and a sixth of one whose details must lie on each other before it fits.
   */
  readonly step?: number
}

/** A thing that was found. */
export interface FoundPosition extends Position {
  /** Mean square error of the frame against the scene with the thing there: what its position does not explain. */
  readonly error: number
}

const squaredError = (a: Float32Array, b: Float32Array): number => {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2
  return sum / a.length
}

/** from, from + by, … up to `to`. */
const range = (from: number, to: number, by: number): number[] =>
  Array.from({ length: Math.floor((to - from) / by) + 1 }, (_, i) => from + i * by)

/**
 * The position in every frame where the scene fits it best, by squared error: a coarse grid over the frame, then finer ones
 * around the best, to the half pixel. A frame takes (H/step + 1)(W/step + 1) scenes and 25 for every halving of the step.
 * @param frames predictions [T, 3, H, W] in [−1, 1]
 * @returns NaN for frames that are not finite
 * @throws for another shape, and for a step that is no power of 2
 */
export const positionsIn = (frames: HostTensor, { render, step = 2 }: PositionSearch): FoundPosition[] => {
  const [T, C, H, W] = frames.shape as [number, number, number, number]
  if (frames.shape.length !== 4 || C !== 3) {
    throw new Error(`positions: pass the frames of one clip as [T,3,H,W], not ${showShape(frames.shape)}`)
  }
  if (!(step >= 0.5) || !Number.isInteger(Math.log2(step))) {
    throw new Error(`positions: a step of ${step} pixels; pass ½, 1, 2, 4 or another power of 2`)
  }
  return Array.from({ length: T }, (_, t) => {
    const frame = floats(examplesOf(frames, t, 1))
    const best = (xs: readonly number[], ys: readonly number[]): FoundPosition => {
      let found: FoundPosition = { x: Number.NaN, y: Number.NaN, error: Number.POSITIVE_INFINITY }
      for (const y of ys) {
        for (const x of xs) {
          const error = squaredError(frame, render(t, x, y))
          if (error < found.error) found = { x, y, error }
        }
      }
      return found
    }
    let found = best(range(0, W, step), range(0, H, step))
    for (let by = step / 2; by >= 0.5; by /= 2) {
      const { x, y } = found
      found = best(range(x - 2 * by, x + 2 * by, by), range(y - 2 * by, y + 2 * by, by))
    }
    return found
  })
}

/**
 * How far from the truth the thing is in every frame, in pixels.
 * @param frames predictions [T, 3, H, W] in [−1, 1]
 * @param truth T positions
 * @returns [T]
 * @throws when there are not as many positions as frames
 */
export const positionErrors = (
  frames: HostTensor,
  truth: readonly Position[],
  search: PositionSearch,
): number[] => {
  if (truth.length !== frames.shape[0]) {
    throw new Error(
      `positions: ${truth.length} true positions of ${frames.shape[0]} frames; pass one for each`,
    )
  }
  return positionsIn(frames, search).map(({ x, y }, t) => Math.hypot(x - truth[t].x, y - truth[t].y))
}
