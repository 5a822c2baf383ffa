/** @file A clip, whatever it is stored in: how many frames it has, and chosen ones of them at the size that is wanted. */

import { stat } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import type { Undecodable } from '../images/decode.ts'
import { pathFault } from '../images/fault.ts'
import { ANIMATED_ENDINGS, animatedFrames, probeAnimation } from './animated.ts'
import { ClipFault, type ClipPlace, type FrameRange } from './fault.ts'
import { probeVideo, videoFrames } from './ffmpeg.ts'
import { listFrames, numberedFrames } from './numbered.ts'

/** A clip that is there to be read. */
export interface Clip {
  /** Frames; of odd videos a few more than decoding gives. */
  readonly count: number
  /** Chosen frames, each [size, size, 3], 0..255. @throws ClipFault */
  frames(range: FrameRange): AsyncGenerator<Uint8Array>
}

/** Which frames of a clip are read. */
export interface ClipShape {
  /** Height and width in pixels. */
  readonly size: number
  readonly frames: number
  /** Frames of the clip from one that is read to the next. */
  readonly stride: number
}

/** Frames of a clip from the first that is read to the last. */
export const spanOf = ({ frames, stride }: Pick<ClipShape, 'frames' | 'stride'>): number =>
  (frames - 1) * stride + 1

const isAnimation = ({ file, within }: ClipPlace): boolean =>
  ANIMATED_ENDINGS.has(within?.ending ?? path.extname(file).slice(1).toLowerCase())

/** Looks at a clip. @throws ClipFault when it is none */
export const openClip = async (place: ClipPlace, size: number): Promise<Clip> => {
  const info = await stat(place.file).catch(() => null)
  if (info?.isDirectory()) {
    const files = await listFrames(place.file)
    return { count: files.length, frames: (range) => numberedFrames(files, size, range) }
  }
  const unreadable = place.within?.size === 0 ? 'is empty' : await pathFault(place.file)
  if (unreadable !== null) throw new ClipFault(unreadable)
  if (isAnimation(place)) {
    const facts = await probeAnimation(place)
    return { count: facts.count, frames: (range) => animatedFrames(place, facts, size, range) }
  }
  const facts = await probeVideo(place)
  return { count: facts.count, frames: (range) => videoFrames(place, facts, size, range) }
}

/** @throws ClipFault when a clip is shorter than what is read of it */
export const expectLong = (count: number, shape: Pick<ClipShape, 'frames' | 'stride'>): void => {
  const span = spanOf(shape)
  if (count >= span) return
  const strided = shape.stride === 1 ? '' : ` (${shape.frames}, ${shape.stride} apart)`
  throw new ClipFault(
    `has ${count} frame${count === 1 ? '' : 's'}, fewer than the ${span} that are read of a clip${strided}`,
  )
}

/** Where the frames begin that are read: evenly among all beginnings. @param window from 0 to below 1 */
export const firstFrame = (count: number, shape: ClipShape, window: number): number =>
  Math.floor(window * (count - spanOf(shape) + 1))

/** What a clip gave, or in words why it gave nothing. */
export const orReason = async <T>(task: () => Promise<T>): Promise<T | Undecodable> => {
  try {
    return await task()
  } catch (error) {
    if (error instanceof ClipFault) return { reason: error.message }
    throw error
  }
}

const waiting: (() => void)[] = []
let underWay = 0

/** Runs as many tasks at once as there are cores: each has a process of its own, and frames in memory. */
export const oneOfFew = async <T>(task: () => Promise<T>): Promise<T> => {
  if (underWay < availableParallelism()) underWay++
  else await new Promise<void>((start) => waiting.push(start))
  try {
    return await task()
  } finally {
    const next = waiting.shift()
    // the place goes on to whoever waits longest
    if (next) next()
    else underWay--
  }
}

/** Chosen frames one after the other, [n, size, size, 3]; fewer than asked for where the clip ends before. */
const readRange = async (clip: Clip, size: number, range: FrameRange): Promise<Uint8Array> => {
  const each = size * size * 3
  const out = new Uint8Array(range.count * each)
  let read = 0
  for await (const frame of clip.frames(range)) out.set(frame, each * read++)
  return out.subarray(0, read * each)
}

/** Frames that a clip has, decoded one after the other. */
const countFrames = async (clip: Clip): Promise<number> => {
  let count = 0
  for await (const _ of clip.frames({ first: 0, stride: 1, count: clip.count })) count++
  return count
}

/**
 * The frames of a clip that a window says, [frames, size, size, 3], decoded for this alone.
 * Never rejects for a fault of the clip. Which frames they are depends on the file and the window alone.
 */
export const readWindow = (
  place: ClipPlace,
  shape: ClipShape,
  window: number,
): Promise<Uint8Array | Undecodable> =>
  oneOfFew(() =>
    orReason(async () => {
      const { size, frames, stride } = shape
      const clip = await openClip(place, size)
      const readFrom = (count: number): Promise<Uint8Array> => {
        expectLong(count, shape)
        return readRange(clip, size, { first: firstFrame(count, shape, window), stride, count: frames })
      }
      const pixels = await readFrom(clip.count)
      if (pixels.length === frames * size * size * 3) return pixels
      // there are fewer frames than packets
      const again = await readFrom(await countFrames(clip))
      if (again.length < frames * size * size * 3) throw new ClipFault('gives fewer frames than it has')
      return again
    }),
  )
