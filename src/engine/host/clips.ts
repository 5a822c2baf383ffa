/** @file Clips as the frames that they are made of. */
import { float32, floats, type HostTensor, showShape, sizeOf } from './tensor.ts'

/** The axes of clips [N, C, T, H, W] by name. */
export interface ClipSizes {
  readonly clips: number
  readonly channels: number
  readonly frames: number
  readonly height: number
  readonly width: number
}

/** @throws when a tensor holds no clips [N, C, T, H, W] */
export const clipSizes = ({ shape }: HostTensor): ClipSizes => {
  const [clips, channels, frames, height, width] = shape
  if (shape.length !== 5 || sizeOf(shape) === 0) {
    throw new Error(`clip: pass at least one clip as [N,C,T,H,W], not ${showShape(shape)}`)
  }
  return { clips, channels, frames, height, width }
}

/** Numbers [N, A, B, plane] as [N, B, A, plane]. */
const turned = (from: Float32Array, [N, A, B]: readonly [number, number, number]): Float32Array => {
  const plane = from.length / (N * A * B)
  const to = new Float32Array(from.length)
  for (let n = 0; n < N; n++) {
    for (let a = 0; a < A; a++) {
      for (let b = 0; b < B; b++) {
        const at = ((n * A + a) * B + b) * plane
        to.set(from.subarray(at, at + plane), ((n * B + b) * A + a) * plane)
      }
    }
  }
  return to
}

/**
 * The frames of clips as images, clip after clip: frame t of clip n is image n·T + t.
 * @param clips [N, C, T, H, W]
 * @returns [N·T, C, H, W]
 */
export const framesOf = (clips: HostTensor): HostTensor => {
  const { clips: N, channels: C, frames: T, height, width } = clipSizes(clips)
  return float32([N * T, C, height, width], turned(floats(clips), [N, C, T]))
}

/** Clips [N, C, T, H, W] of T frames each that follow each other in frames [N·T, C, H, W], as `framesOf` gives them. */
export const clipsFrom = (frames: HostTensor, T: number): HostTensor => {
  const [all, C, height, width] = frames.shape as [number, number, number, number]
  return float32([all / T, C, T, height, width], turned(floats(frames), [all / T, T, C]))
}

/**
 * Clips one after the other in time.
 * @param parts [N, C, Tᵢ, H, W] each, equal but for the frames
 * @returns [N, C, Σ Tᵢ, H, W]
 */
export const inTime = (parts: readonly HostTensor[]): HostTensor => {
  const sizes = parts.map(clipSizes)
  const [{ clips: N, channels: C, height, width }] = sizes
  const plane = height * width
  const T = sizes.reduce((sum, { frames }) => sum + frames, 0)
  const to = new Float32Array(N * C * T * plane)
  let at = 0
  for (const [i, { frames }] of sizes.entries()) {
    const [from, each] = [floats(parts[i]), frames * plane]
    for (let p = 0; p < N * C; p++)
      to.set(from.subarray(p * each, (p + 1) * each), p * T * plane + at * plane)
    at += frames
  }
  return float32([N, C, T, height, width], to)
}

/**
 * Clips of which some stand still at a frame, as an image does.
 * @param clips [N, C, T, H, W]
 * @param at frame at which a clip stands, of each; null where it goes on
 */
export const standing = (clips: HostTensor, at: readonly (number | null)[]): HostTensor => {
  const { channels: C, frames: T, height, width } = clipSizes(clips)
  const plane = height * width
  const out = floats(clips).slice()
  for (const [n, frame] of at.entries()) {
    if (frame === null) continue
    for (let c = 0; c < C; c++) {
      const start = (n * C + c) * T * plane
      const shown = out.slice(start + frame * plane, start + (frame + 1) * plane)
      for (let t = 0; t < T; t++) out.set(shown, start + t * plane)
    }
  }
  return float32(clips.shape, out)
}

/** Frames `first` to `end` − 1 of clips [N, C, T, H, W]. */
const framesBetween = (clips: HostTensor, first: number, end: number): HostTensor => {
  const { clips: N, channels: C, frames: T, height, width } = clipSizes(clips)
  const plane = height * width
  const [from, kept] = [floats(clips), (end - first) * plane]
  const to = new Float32Array(N * C * kept)
  for (let p = 0; p < N * C; p++)
    to.set(from.subarray((p * T + first) * plane, (p * T + end) * plane), p * kept)
  return float32([N, C, end - first, height, width], to)
}

/**
 * Clips without their first frames, as where those were given and the others generated.
 * @param clips [N, C, T, H, W]
 * @returns [N, C, T − first, H, W]
 * @throws when no frame would be left
 */
export const framesFrom = (clips: HostTensor, first: number): HostTensor => {
  const { frames: T } = clipSizes(clips)
  if (!Number.isInteger(first) || first < 0 || first >= T) {
    throw new Error(`clip: frames from ${first} on, of clips of ${T}; pass 0 to ${T - 1}`)
  }
  return framesBetween(clips, first, T)
}

/**
 * The first frames of clips.
 * @param clips [N, C, T, H, W]
 * @returns [N, C, count, H, W]
 * @throws when there are not as many, or none is asked for
 */
export const framesUntil = (clips: HostTensor, count: number): HostTensor => {
  const { frames: T } = clipSizes(clips)
  if (!Number.isInteger(count) || count < 1 || count > T) {
    throw new Error(`clip: the first ${count} frames of clips of ${T}; pass 1 to ${T}`)
  }
  return framesBetween(clips, 0, count)
}
