/**
 * @file Decodes one image file of any kind to a square of 8-bit sRGB.
 *
 * libvips has no area kernel (its `resize` is a box shrink followed by a triangle or wider filter), so sharp only
 * decodes, turns, flattens and converts, and the area average is taken by `resizeSquare`. Images far larger than
 * needed are first reduced by libvips to four times the wanted side (which lets JPEG and WebP skip most of the
 * decoding); images up to `EXACT_SIDE` pixels never are, so that their box means are exact.
 */

import sharp, { type OutputInfo } from 'sharp'
import {
  cropToSquare,
  padToSquare,
  type RawImage,
  type RgbImage,
  rawToRgb,
  resizeSquare,
} from '../../engine/host/squares.ts'
import { faultOf, pathFault } from './fault.ts'

// Every image is read once, so libvips' cache only costs memory; parallelism comes from images, not from rows.
sharp.cache(false)
sharp.concurrency(1)

/** Images up to this side (pixels) are decoded whole before the area average. */
const EXACT_SIDE = 320

/** Pixels up to which images are decoded that must be in memory whole: interlaced or progressive ones, and WebP, AVIF and GIF. */
const WHOLE_PIXELS = 2 ** 26
/** Pixels of others at most, which pass through memory line by line. */
const MOST_PIXELS = 2 ** 28
/** Seconds that an image of more than WHOLE_PIXELS may take. */
const MOST_SECONDS = 5

/** How an image that is not square becomes one: `cover` crops its centre, `contain` pads it with white. */
export type Fit = 'cover' | 'contain'

/** What an image is decoded from: the path of a file, the bytes of one, pixels as they are, or the reason for none. */
export type ImageInput = string | Uint8Array | RawImage | Undecodable

/** What to decode to. */
export interface DecodeOptions {
  /** Height and width in pixels. */
  readonly size: number
  readonly fit: Fit
}

/** Why a file is no image, in words. */
export interface Undecodable {
  readonly reason: string
}

/** Whether decoding failed. */
export const isUndecodable = (result: object): result is Undecodable => 'reason' in result

/** Any channel count to RGB: libvips answers with 3 after the conversion to sRGB, but odd TIFF-like input may not. */
const toRgb = (data: Uint8Array, info: OutputInfo): RgbImage => {
  const { width, height, channels } = info
  const count = width * height
  if (channels === 3) return { width, height, pixels: data }
  const pixels = new Uint8Array(count * 3)
  const [g, b] = channels < 3 ? [0, 0] : [1, 2]
  for (let i = 0; i < count; i++) {
    pixels[i * 3] = data[i * channels]
    pixels[i * 3 + 1] = data[i * channels + g]
    pixels[i * 3 + 2] = data[i * channels + b]
  }
  return { width, height, pixels }
}

const isRaw = (input: string | Uint8Array | RawImage): input is RawImage =>
  typeof input === 'object' && 'pixels' in input

/**
 * Decodes a file (path), its bytes or raw pixels to a square of at least `size` pixels a side where the image has them:
 * first page only, turned by its EXIF orientation, alpha flattened on white, sRGB by its colour profile.
 * Never rejects: a file that is missing, truncated or no image gives a reason.
 * One call into libvips after a look at the path: decoding goes on while the main thread is busy.
 */
export const decodeSquare = async (
  input: ImageInput,
  { size, fit }: DecodeOptions,
): Promise<RgbImage | Undecodable> => {
  if (typeof input === 'object' && isUndecodable(input)) return input
  if (isRaw(input)) return fit === 'cover' ? cropToSquare(rawToRgb(input)) : padToSquare(rawToRgb(input))
  const fault = typeof input === 'string' ? await pathFault(input) : null
  if (fault !== null) return { reason: fault }
  try {
    return await decodeWithin(input, { size, fit }, WHOLE_PIXELS)
  } catch (error) {
    // Most images are told to be small enough by decoding them; only then is the header read by itself.
    if (!/exceeds pixel limit/.test(String(error))) return { reason: await faultOf(input, error) }
  }
  try {
    const tooLarge = await faultOfLarge(input)
    return tooLarge === null ? await decodeWithin(input, { size, fit }, MOST_PIXELS) : { reason: tooLarge }
  } catch (error) {
    return { reason: await faultOf(input, error) }
  }
}

/** Formats that libvips reads line by line, unless they are interlaced. */
const inLines: ReadonlySet<string | undefined> = new Set(['png', 'jpeg', 'tiff'])

/** Why an image of more than WHOLE_PIXELS is not decoded, or null where it is. @throws what libvips says */
const faultOfLarge = async (input: string | Uint8Array): Promise<string | null> => {
  const header = await sharp(input, { limitInputPixels: false }).metadata()
  const { width, height, format, isProgressive } = header
  const isWhole = isProgressive || !inLines.has(format)
  const most = isWhole ? WHOLE_PIXELS : MOST_PIXELS
  if (width * height <= most) return null
  const kind = isProgressive ? 'an interlaced or progressive image' : `an image (${format})`
  return `has ${width}×${height} pixels, more than the ${most} that ${kind} may have; save it smaller${isWhole ? ', or as a plain PNG or JPEG' : ''}`
}

/** @throws what libvips says, and when the image has more pixels than the limit */
const decodeWithin = async (
  input: string | Uint8Array,
  { size, fit }: DecodeOptions,
  limitInputPixels: number,
): Promise<RgbImage> => {
  const side = Math.max(4 * size, EXACT_SIDE)
  // 'error' also refuses truncated files, but not harmless oddities such as stray bytes between JPEG markers
  const { data, info } = await sharp(input, { failOn: 'error', autoOrient: true, limitInputPixels })
    .timeout({ seconds: limitInputPixels > WHOLE_PIXELS ? MOST_SECONDS : 0 })
    .flatten({ background: '#ffffff' })
    .resize({
      width: side,
      height: side,
      fit: fit === 'cover' ? 'cover' : 'inside',
      kernel: 'linear',
      withoutEnlargement: true,
      fastShrinkOnLoad: false,
    })
    .toColourspace('srgb')
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true })
  const image = toRgb(data, info)
  return fit === 'cover' ? cropToSquare(image) : padToSquare(image)
}

/**
 * Decodes a file (path), its bytes or raw pixels to [size, size, 3] bytes, see `decodeSquare`; smaller images are enlarged.
 * Never rejects.
 */
export const decodeImage = async (
  input: ImageInput,
  options: DecodeOptions,
): Promise<Uint8Array | Undecodable> => {
  const square = await decodeSquare(input, options)
  return isUndecodable(square) ? square : resizeSquare(square, options.size)
}
