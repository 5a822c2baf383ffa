/** @file Where something is in frames that are known but for its place: whether what is predicted moves as it should. */
import { examplesOf, floats, type HostTensor, showShape } from '../engine/host/tensor.ts'

/** A place in pixels from the left and from the top, in whatever way `render` counts them. */
export interface Place {
  readonly x: number
  readonly y: number
}

/** How a place is searched for. */
export interface PlaceSearch {
  /** The true scene of frame t with the thing at (x, y): [3, H, W] in [−1, 1]. */
  readonly render: (t: number, x: number, y: number) => Float32Array
  /** Pixels between the places that are tried first, in half pixels; 2 when left out. At most half the thing's size. */
  readonly step?: number
}

/** A thing that was found. */
export interface Found extends Place {
  /** Mean square error of the frame against the scene with the thing there: what is not explained by its place. */
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
 * The place in every frame where the scene fits it best, by squared error: a coarse grid over the frame, then every half
 * pixel around the best of it. A frame takes (H/step + 1)(W/step + 1) + (4·step + 1)² scenes.
 * @param frames predictions [T, 3, H, W] in [−1, 1]
 * @throws for another shape, and for a step that is no multiple of ½
 */
export const placesIn = (frames: HostTensor, { render, step = 2 }: PlaceSearch): Found[] => {
  const [T, C, H, W] = frames.shape as [number, number, number, number]
  if (frames.shape.length !== 4 || C !== 3) {
    throw new Error(`places: pass the frames of one clip as [T,3,H,W], not ${showShape(frames.shape)}`)
  }
  if (step <= 0 || !Number.isInteger(2 * step)) {
    throw new Error(`places: a step of ${step} pixels; pass a multiple of a half, such as 2`)
  }
  return Array.from({ length: T }, (_, t) => {
    const frame = floats(examplesOf(frames, t, 1))
    const best = (xs: readonly number[], ys: readonly number[]): Found => {
      let found: Found = { x: Number.NaN, y: Number.NaN, error: Number.POSITIVE_INFINITY }
      for (const y of ys) {
        for (const x of xs) {
          const error = squaredError(frame, render(t, x, y))
          if (error < found.error) found = { x, y, error }
        }
      }
      return found
    }
    const { x, y } = best(range(0, W, step), range(0, H, step))
    return best(range(x - step, x + step, 0.5), range(y - step, y + step, 0.5))
  })
}

/**
 * How far from the truth the thing is in every frame, in pixels.
 * @param frames predictions [T, 3, H, W] in [−1, 1]
 * @param truth T places
 * @returns [T]
 * @throws when there are not as many places as frames
 */
export const placeErrors = (frames: HostTensor, truth: readonly Place[], search: PlaceSearch): number[] => {
  if (truth.length !== frames.shape[0]) {
    throw new Error(`places: ${truth.length} true places of ${frames.shape[0]} frames; pass one for each`)
  }
  return placesIn(frames, search).map(({ x, y }, t) => Math.hypot(x - truth[t].x, y - truth[t].y))
}
