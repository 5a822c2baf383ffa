/** @file Folders of numbered images, one image a frame. */

import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { decodeImage, isUndecodable } from '../images/decode.ts'
import { ClipFault, type FrameRange } from './fault.ts'

/** Names of images that are frames where nothing but numbers tells them apart: `0001.png`, `frame-12.jpg`. */
const FRAME_NAMES = /^(.*?)(\d+)\.(png|jpe?g|jpe|jfif|avif|tiff?)$/i

/**
 * Names in the order of their numbers; null where they are no frames of one clip: with one alone, other words than the rest, or
 * a number that comes twice.
 */
export const inNumberedOrder = (names: readonly string[]): readonly string[] | null => {
  const numbered = new Map<number, string>()
  let words: string | undefined
  for (const name of names) {
    const [, before, number] = FRAME_NAMES.exec(name) ?? []
    words ??= before
    if (number === undefined || before !== words || numbered.has(Number(number))) return null
    numbered.set(Number(number), name)
  }
  if (numbered.size < 2) return null
  return [...numbered].sort(([a], [b]) => a - b).map(([, name]) => name)
}

/** Paths of the frames of a folder in their order. @throws ClipFault when there are none any more */
export const listFrames = async (folder: string): Promise<readonly string[]> => {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    throw new ClipFault(`cannot be read (${error.code})`, { cause: error })
  })
  const frames = inNumberedOrder(names.filter((name) => !name.startsWith('.') && FRAME_NAMES.test(name)))
  if (frames === null) throw new ClipFault('holds no numbered images any more')
  return frames.map((name) => path.join(folder, name))
}

/** Chosen ones of a list of images, each [size, size, 3], 0..255 (see decodeImage). @throws ClipFault when one cannot be decoded */
export async function* numberedFrames(
  files: readonly string[],
  size: number,
  { first, stride, count }: FrameRange,
): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < count; i++) {
    const file = files[first + i * stride]
    if (file === undefined) return
    const frame = await decodeImage(file, { size, fit: 'cover' })
    if (isUndecodable(frame)) throw new ClipFault(`has a frame ${path.basename(file)} that ${frame.reason}`)
    yield frame
  }
}
