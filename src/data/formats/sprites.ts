/** @file The bundled emoji cut out, with what each covers, so that they can be laid on anything. */

import sharp from 'sharp'
import type { RawImage } from '../../engine/host/squares.ts'
import type { ImageInput } from '../images/decode.ts'
import { type ImageItem, type OnProgress, openPack } from '../images/packed.ts'
import type { DataSplit, ImageSource } from '../images/source.ts'
import { type EmojiFile, listEmoji, openEmoji } from './emoji.ts'
import { THUMBNAIL } from './emojiSplit.ts'

/** A square picture cut out of its background. */
export interface Sprite {
  /** Code points of the emoji. */
  readonly id: string
  readonly caption: string
  /** Index of its Unicode group. */
  readonly label: number
  /** Height and width in pixels. */
  readonly side: number
  /** Colours times coverage, [side, side, 3], 0..255. */
  readonly colour: Uint8Array
  /** Coverage, 255 where nothing behind is seen, [side, side, 3] with three equal values. */
  readonly cover: Uint8Array
}

/** Sprites of emoji; those held out look like none of the others. */
export interface SpriteSplit {
  readonly train: readonly Sprite[]
  readonly validation: readonly Sprite[]
  readonly groups: readonly string[]
  /** Changes whenever sprites may have changed. */
  readonly version: string
  readonly skipped: DataSplit['skipped']
  /** Number of emoji that sprites were looked for in. */
  readonly files: number
}

/** Choices of the sprites. */
export interface SpriteOptions {
  /** Height and width in pixels, up to the 256 of the files. */
  readonly side: number
  readonly skinTones?: boolean
  readonly cacheDir?: string
  readonly onProgress?: OnProgress
  readonly signal?: AbortSignal
}

/** Raised whenever the images made of a file change. */
const FORMAT = 1

/** RGBA in the middle of a transparent square, as two images: colours times coverage, and coverage. */
const halvesOf = (data: Uint8Array, width: number, height: number): readonly [RawImage, RawImage] => {
  const side = Math.max(width, height)
  const [left, top] = [(side - width) >> 1, (side - height) >> 1]
  const colour = new Uint8Array(side * side * 3)
  const cover = new Uint8Array(side * side)
  for (let i = 0; i < width * height; i++) {
    const to = (top + Math.floor(i / width)) * side + left + (i % width)
    const alpha = data[i * 4 + 3]
    cover[to] = alpha
    for (let c = 0; c < 3; c++) colour[to * 3 + c] = (data[i * 4 + c] * alpha) / 255 + 0.5
  }
  const square = { width: side, height: side }
  return [
    { ...square, channels: 3, pixels: colour },
    { ...square, channels: 1, pixels: cover },
  ]
}

const decodeHalves = async (file: EmojiFile): Promise<readonly [ImageInput, ImageInput]> => {
  const input = await file.load()
  if (typeof input !== 'string') throw new Error(`emoji ${file.id} is no file; install the pinned versions`)
  try {
    const { data, info } = await sharp(input)
      .toColourspace('srgb')
      .ensureAlpha()
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true })
    return halvesOf(data, info.width, info.height)
  } catch (error) {
    const fault = { reason: `cannot be decoded (${error instanceof Error ? error.message : error})` }
    return [fault, fault]
  }
}

/**
 * Each file as two images of a pack, colours and then coverage: packs hold three channels, and means of these two are those of
 * what is seen. A file is decoded once for both; that the second is fetched soon after the first bounds what is held.
 */
const packItems = (files: readonly EmojiFile[]): ImageItem[] => {
  const decoded = new Map<string, Promise<readonly [ImageInput, ImageInput]>>()
  const half = async (file: EmojiFile, which: 0 | 1): Promise<ImageInput> => {
    const known = decoded.get(file.id)
    const halves = known ?? decodeHalves(file)
    if (known) decoded.delete(file.id)
    else decoded.set(file.id, halves)
    return (await halves)[which]
  }
  return files.flatMap((file) => [
    { id: file.id, load: () => half(file, 0) },
    { id: `${file.id} cover`, load: () => half(file, 1) },
  ])
}

/**
 * The emoji of both halves of the bundled set (see openEmoji) as sprites.
 * @throws when the packages are missing or the cache folder cannot be written.
 */
export const openSprites = async (options: SpriteOptions): Promise<SpriteSplit> => {
  const { side, skinTones, cacheDir, onProgress, signal } = options
  // the split depends on no size
  const emoji = await openEmoji({ size: THUMBNAIL, skinTones, cacheDir, onProgress, signal })
  const { files, groups, version } = await listEmoji()
  const pack = await openPack({
    source: 'sprites',
    fingerprint: `${version}+${FORMAT}`,
    images: packItems(files),
    size: side,
    fit: 'contain',
    cacheDir,
    onProgress,
    signal,
  })
  const rowOf = new Map(pack.kept.map((at, row) => [at, row]))
  const fileOf = new Map(files.map(({ id }, at) => [id, at]))
  const each = side * side * 3
  const spritesOf = (half: ImageSource): Sprite[] =>
    Array.from({ length: half.count }, (_, i) => i).flatMap((i) => {
      const at = fileOf.get(half.id(i))! * 2
      const [colour, cover] = [rowOf.get(at), rowOf.get(at + 1)]
      if (colour === undefined || cover === undefined) return []
      const pixelsOf = (row: number): Uint8Array => pack.pixels.subarray(row * each, (row + 1) * each)
      const known = { id: half.id(i), caption: half.caption(i), label: half.label(i) }
      return [{ ...known, side, colour: pixelsOf(colour), cover: pixelsOf(cover) }]
    })
  return {
    train: spritesOf(emoji.train),
    validation: spritesOf(emoji.validation),
    groups,
    version: `${version}+${FORMAT}`,
    skipped: [...emoji.skipped, ...pack.skipped.filter(({ file }) => !file.endsWith(' cover'))],
    files: files.length,
  }
}
