/** @file Frames of animated GIF and WebP, which libvips reads. */

import sharp from 'sharp'
import { cropToSquare, resizeSquare } from '../../engine/host/squares.ts'
import { isUndecodable } from '../images/decode.ts'
import { faultOf, pathFault } from '../images/fault.ts'
import { ClipFault, type ClipPlace, type FrameRange } from './fault.ts'

/** Pixels that are decoded at once, of as many frames as they are. */
const AT_ONCE = 2 ** 24
/** Pixels of a frame at most. */
const MOST_PIXELS = 2 ** 26

/** Endings of files that are read here. */
export const ANIMATED_ENDINGS: ReadonlySet<string> = new Set(['gif', 'webp'])

/** What is known of an animation before it is decoded. */
export interface AnimationFacts {
  readonly count: number
  readonly width: number
  readonly height: number
}

/** What libvips reads: a path, or the bytes of a part of a file. @throws ClipFault when there is nothing to read */
const inputOf = async ({ file, within }: ClipPlace): Promise<string | Uint8Array> => {
  const input = (await within?.read()) ?? file
  if (typeof input === 'string') {
    const unreadable = await pathFault(input)
    if (unreadable !== null) throw new ClipFault(unreadable)
    return input
  }
  if (input instanceof Uint8Array) return input
  throw new ClipFault(isUndecodable(input) ? input.reason : 'is pixels and no file')
}

/** @throws ClipFault with what is wrong with the file */
const decoding = async <T>(input: string | Uint8Array, task: () => Promise<T>): Promise<T> => {
  try {
    return await task()
  } catch (error) {
    throw new ClipFault(await faultOf(input, error), { cause: error })
  }
}

/** @throws ClipFault when it is no image */
export const probeAnimation = async (place: ClipPlace): Promise<AnimationFacts> => {
  const input = await inputOf(place)
  const { width, height, pages, pageHeight } = await decoding(input, () =>
    sharp(input, { pages: -1, limitInputPixels: false }).metadata(),
  )
  const facts = { count: pages ?? 1, width, height: pageHeight ?? height }
  if (facts.width * facts.height > MOST_PIXELS)
    throw new ClipFault(
      `has ${facts.width}×${facts.height} pixels, more than the ${MOST_PIXELS} that a frame may have`,
    )
  return facts
}

/**
 * Chosen frames of an animation, each [size, size, 3], 0..255, as they are shown: on white, each once, however long.
 * @throws ClipFault when it cannot be decoded
 */
export async function* animatedFrames(
  place: ClipPlace,
  { count: total, width, height }: AnimationFacts,
  size: number,
  { first, stride, count }: FrameRange,
): AsyncGenerator<Uint8Array> {
  const input = await inputOf(place)
  const most = Math.max(1, Math.floor(AT_ONCE / (width * height)))
  const end = Math.min(total, first + (count - 1) * stride + 1)
  for (let from = first; from < end; from += most) {
    const pages = Math.min(most, end - from)
    const { data } = await decoding(input, () =>
      sharp(input, { page: from, pages, failOn: 'error', limitInputPixels: false })
        .flatten({ background: '#ffffff' })
        .toColourspace('srgb')
        .raw({ depth: 'uchar' })
        .toBuffer({ resolveWithObject: true }),
    )
    const channels = data.length / (width * height * pages)
    if (channels !== 3) throw new ClipFault(`has frames of ${channels} channels where 3 were expected`)
    const each = width * height * 3
    for (let page = 0; page < pages; page++) {
      if ((from + page - first) % stride !== 0) continue
      const pixels = data.subarray(page * each, (page + 1) * each)
      yield resizeSquare(cropToSquare({ width, height, pixels }), size)
    }
  }
}
