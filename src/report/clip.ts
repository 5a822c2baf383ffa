/** @file Clips for people: files that play, and sheets of their frames. */
import { resolve } from 'node:path'
import sharp from 'sharp'
import { clipSizes, framesOf } from '../engine/host/clips.ts'
import { examplesOf, type HostTensor, stacked } from '../engine/host/tensor.ts'
import { writeFileAtomic, writeFileInParts } from '../files/atomic.ts'
import { findFfmpeg, runFfmpeg } from '../files/ffmpeg.ts'
import type { GridOptions } from './canvas.ts'
import { gridImage, gridPng, visibleScale } from './grid.ts'

/** How clips are shown. `scale` is such that small ones are easily seen when it is left out. */
export interface ClipOptions extends GridOptions {
  /** Frames a second, 8 when left out. */
  readonly fps?: number
  /** Clips in a row where several play in one picture; about as many as rows when left out. */
  readonly columns?: number
  /** Bytes that an animated WebP may have: it is lossless where that fits, else as good as fits. */
  readonly mostBytes?: number
  /** Ends what is under way once it is aborted, by throwing its reason. */
  readonly signal?: AbortSignal
}

/** Pictures of one size below each other, as they follow in time. */
interface Strip {
  /** [count·height, width, 3] */
  readonly pixels: Uint8Array
  readonly count: number
  readonly height: number
  readonly width: number
}

/** Most frames a second that are played as such, and the unit of a frame's time in milliseconds. */
const timing = {
  '.webp': { most: 90, unit: 1 },
  // Browsers play frames of less than 20 ms ten times as slowly.
  '.gif': { most: 50, unit: 10 },
  '.mp4': { most: 240, unit: 0 },
} as const

const defaultFps = 8

/** @throws when a kind of file cannot play as many frames a second */
const fpsFor = (ending: keyof typeof timing, { fps = defaultFps }: ClipOptions): number => {
  const { most } = timing[ending]
  if (fps > 0 && fps <= most) return fps
  throw new Error(`clip: ${fps} frames a second; ${ending} plays more than 0 and up to ${most}`)
}

/** How long each frame is shown, in milliseconds: rounded so that the end of each is right, and errors do not add up. */
const delays = (count: number, fps: number, unit: number): number[] => {
  const end = (t: number): number => unit * Math.round((1000 * t) / (fps * unit))
  return Array.from({ length: count }, (_, t) => end(t + 1) - end(t))
}

/** Every frame of all clips, tiled as a grid of images is. */
const drawStrip = async (clips: HostTensor, options: ClipOptions): Promise<Strip> => {
  const { clips: N, frames: T } = clipSizes(clips)
  const frames = framesOf(clips)
  const { columns = Math.ceil(Math.sqrt(N)), scale = visibleScale(frames), signal } = options
  const pictures: Uint8Array[] = []
  let size = { width: 0, height: 0 }
  for (let t = 0; t < T; t++) {
    signal?.throwIfAborted()
    const shown = stacked(Array.from({ length: N }, (_, n) => examplesOf(frames, n * T + t, 1)))
    const picture = gridImage(shown, columns, { ...options, scale }).raw()
    const { data, info } = await picture.toBuffer({ resolveWithObject: true })
    pictures.push(data)
    size = info
  }
  const { width, height } = size
  return { pixels: Buffer.concat(pictures), count: T, height, width }
}

/** The strip as something that sharp writes as an animation. */
const animated = ({ pixels, count, height, width }: Strip) =>
  sharp(pixels, {
    raw: { width, height: count * height, channels: 3, pageHeight: height },
    limitInputPixels: false,
  })

/** Qualities that are tried where a lossless file is too large. */
const qualities = [95, 85, 70, 50, 30]

/** Largest side of a WebP in pixels (its container has 14 bits for it). */
const largestWebp = 16383

/**
 * Clips [N, 3, T, H, W] in [−1, 1] as an animated WebP that plays for ever, all of them in one grid: lossless, or as
 * good as fits into `mostBytes`.
 * @throws when it does not fit in any quality, and when it is too large for the format
 */
export const clipWebp = async (clips: HostTensor, options: ClipOptions = {}): Promise<Uint8Array> => {
  const fps = fpsFor('.webp', options)
  const strip = await drawStrip(clips, options)
  if (Math.max(strip.width, strip.height) > largestWebp) {
    throw new Error(
      `clip: ${strip.width}×${strip.height} pixels; a WebP has ${largestWebp} a side at most: show fewer clips`,
    )
  }
  const { mostBytes = Number.POSITIVE_INFINITY, signal } = options
  const timed = { loop: 0, delay: delays(strip.count, fps, timing['.webp'].unit) }
  let least = 0
  for (const kind of [{ lossless: true }, ...qualities.map((quality) => ({ quality }))]) {
    signal?.throwIfAborted()
    const bytes = await animated(strip)
      .webp({ ...timed, ...kind })
      .toBuffer()
    if (bytes.length <= mostBytes) return bytes
    least = bytes.length
  }
  throw new Error(`clip: ${least} bytes at the lowest quality, ${mostBytes} are allowed; show fewer clips`)
}

/** The same as a GIF, in 256 colours. */
export const clipGif = async (clips: HostTensor, options: ClipOptions = {}): Promise<Uint8Array> => {
  const fps = fpsFor('.gif', options)
  const strip = await drawStrip(clips, options)
  return animated(strip)
    .gif({ loop: 0, delay: delays(strip.count, fps, timing['.gif'].unit) })
    .toBuffer()
}

/** The frames of clips [N, 3, T, H, W] side by side, a row a clip, as PNG bytes; labels are those of the rows. */
export const contactSheet = (clips: HostTensor, options: ClipOptions = {}): Promise<Uint8Array> =>
  gridPng(clips, clipSizes(clips).frames, { scale: visibleScale(clips), ...options })

/** Writes the same as H.264, which video players, and programs that know no WebP, take; nearly without loss. */
const writeMp4 = async (path: string, clips: HostTensor, options: ClipOptions): Promise<void> => {
  const fps = fpsFor('.mp4', options)
  const program = findFfmpeg('.mp4 is written')
  const { pixels, width, height } = await drawStrip(clips, options)
  const given = ['-f', 'rawvideo', '-pix_fmt', 'rgb24', '-s', `${width}x${height}`, '-framerate', `${fps}`]
  // Colours are halved in both directions: sides must be even, and what is added is as white as the gaps.
  const filter = 'pad=ceil(iw/2)*2:ceil(ih/2)*2:color=white,scale=out_color_matrix=bt709:out_range=tv'
  const colours = ['-colorspace', 'bt709', '-color_primaries', 'bt709', '-color_trc', 'bt709']
  const coded = ['-c:v', 'libx264', '-crf', '12', '-pix_fmt', 'yuv420p', ...colours]
  const made = ['-movflags', '+faststart', '-f', 'mp4', '-y']
  await writeFileInParts(path, (_, temporary) =>
    // "file:" keeps ffmpeg from reading a colon in a name as a protocol.
    runFfmpeg(
      program,
      [...given, '-i', 'pipe:0', '-vf', filter, ...coded, ...made, `file:${resolve(temporary)}`],
      pixels,
      options.signal,
    ).catch((cause: Error) => {
      options.signal?.throwIfAborted()
      throw new Error(`clip: ${path} could not be written: ${cause.message}`, { cause })
    }),
  )
}

/** What writes each kind of file. */
const writers = {
  '.webp': async (path, clips, options) => writeFileAtomic(path, await clipWebp(clips, options)),
  '.gif': async (path, clips, options) => writeFileAtomic(path, await clipGif(clips, options)),
  '.png': async (path, clips, options) => writeFileAtomic(path, await contactSheet(clips, options)),
  '.mp4': writeMp4,
} as const satisfies Readonly<
  Record<string, (path: string, clips: HostTensor, options: ClipOptions) => Promise<void>>
>

/** The kind of a file by its ending. @throws naming those that there are */
const kindOf = (path: string): keyof typeof writers => {
  const kinds = Object.keys(writers) as (keyof typeof writers)[]
  const kind = kinds.find((ending) => path.toLowerCase().endsWith(ending))
  if (kind === undefined)
    throw new Error(`clip: ${path} ends in none of ${kinds.join(', ')}; give one of them`)
  return kind
}

/** @throws before anything is computed, when clips could not be written to a file of that name */
export const expectClipFile = (path: string): void => {
  if (kindOf(path) === '.mp4') findFfmpeg(`${path} is written`)
}

/**
 * Writes clips [N, 3, T, H, W] in [−1, 1] as the name's ending says: `.webp`, `.gif` and `.mp4` play, several clips in
 * one grid; `.png` shows a row of frames a clip. The folder must exist.
 * @throws one sentence for another ending, and for `.mp4` without ffmpeg
 */
export const writeClip = async (path: string, clips: HostTensor, options: ClipOptions = {}): Promise<void> =>
  writers[kindOf(path)](path, clips, options)
