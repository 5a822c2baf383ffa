/** @file Square crops, white padding and area-exact resizing of 8-bit RGB images held in memory. */

/** An image as bytes: [height, width, 3] row-major, 0..255. */
export interface RgbImage {
  readonly width: number
  readonly height: number
  readonly pixels: Uint8Array
}

/** Pixels as some formats store them: [height, width, channels] row-major, 0..255; grey, RGB or RGB with alpha. */
export interface RawImage {
  readonly width: number
  readonly height: number
  readonly channels: 1 | 3 | 4
  readonly pixels: Uint8Array
}

/** Grey and alpha to RGB as libvips does it: a grey value three times, alpha on white, rounded down. */
export const rawToRgb = ({ width, height, channels, pixels }: RawImage): RgbImage => {
  if (channels === 3) return { width, height, pixels }
  const out = new Uint8Array(width * height * 3)
  for (let i = 0; i < out.length; i++) {
    const at = Math.floor(i / 3) * channels
    if (channels === 1) out[i] = pixels[at]
    else {
      const alpha = pixels[at + 3]
      out[i] = Math.floor((pixels[at + (i % 3)] * alpha + 255 * (255 - alpha)) / 255)
    }
  }
  return { width, height, pixels: out }
}

/** The largest centred square of an image; an odd pixel over is left at the right or bottom. [side, side, 3] */
export const cropToSquare = (image: RgbImage): RgbImage => {
  const { width, height, pixels } = image
  if (width === height) return image
  const side = Math.min(width, height)
  const left = (width - side) >> 1
  const top = (height - side) >> 1
  const out = new Uint8Array(side * side * 3)
  for (let y = 0; y < side; y++) {
    const from = ((top + y) * width + left) * 3
    out.set(pixels.subarray(from, from + side * 3), y * side * 3)
  }
  return { width: side, height: side, pixels: out }
}

/** The smallest square that holds the image, centred on white. [side, side, 3] */
export const padToSquare = (image: RgbImage): RgbImage => {
  const { width, height, pixels } = image
  if (width === height) return image
  const side = Math.max(width, height)
  const left = (side - width) >> 1
  const top = (side - height) >> 1
  const out = new Uint8Array(side * side * 3).fill(255)
  for (let y = 0; y < height; y++) {
    out.set(pixels.subarray(y * width * 3, (y + 1) * width * 3), ((top + y) * side + left) * 3)
  }
  return { width: side, height: side, pixels: out }
}

/** For each output cell the first input cell it reads and the weight (sum 1) of each cell from there on. */
interface Taps {
  readonly first: Int32Array
  /** [out, reach] */
  readonly weights: Float32Array
  /** Input cells per output cell, the last ones possibly of weight 0. */
  readonly reach: number
}

/** Weight of an input cell = length of its overlap with the output cell. */
const areaTaps = (from: number, to: number): Taps => {
  const ratio = from / to
  const reach = from % to === 0 ? ratio : Math.ceil(ratio) + 1
  const first = new Int32Array(to)
  const weights = new Float32Array(to * reach)
  for (let o = 0; o < to; o++) {
    // (o·from)/to rather than o·ratio: whole ratios then have whole borders
    const start = (o * from) / to
    const end = ((o + 1) * from) / to
    first[o] = Math.min(Math.floor(start), from - reach)
    for (let k = 0; k < reach; k++) {
      const cell = first[o] + k
      weights[o * reach + k] = Math.max(0, Math.min(end, cell + 1) - Math.max(start, cell)) / ratio
    }
  }
  return { first, weights, reach }
}

/** Two taps between the centres of the nearest input cells; the border is repeated. */
const linearTaps = (from: number, to: number): Taps => {
  const first = new Int32Array(to)
  const weights = new Float32Array(to * 2)
  for (let o = 0; o < to; o++) {
    const centre = Math.min(Math.max(((o + 0.5) * from) / to - 0.5, 0), from - 1)
    first[o] = Math.min(Math.floor(centre), from - 2)
    weights[o * 2 + 1] = centre - first[o]
    weights[o * 2] = 1 - weights[o * 2 + 1]
  }
  return { first, weights, reach: 2 }
}

/**
 * Resizes a square image to `size` × `size`: area averaging (each output pixel is the mean of the rectangle it
 * covers, borders weighted by overlap) when shrinking, bilinear when enlarging; the means are taken of the sRGB
 * values as stored. Returns [size, size, 3], 0..255, rounded to nearest.
 */
export const resizeSquare = (image: RgbImage, size: number): Uint8Array => {
  const { width: side, pixels } = image
  if (side === size) return pixels
  const out = new Uint8Array(size * size * 3)
  if (side === 1) {
    for (let i = 0; i < out.length; i++) out[i] = pixels[i % 3]
    return out
  }
  const taps = size < side ? areaTaps(side, size) : linearTaps(side, size)
  const narrow = shrinkRows(pixels, side, size, taps)
  const { first, weights, reach } = taps
  const row = new Float32Array(size * 3)
  for (let y = 0; y < size; y++) {
    row.fill(0)
    for (let k = 0; k < reach; k++) {
      const weight = weights[y * reach + k]
      const from = (first[y] + k) * size * 3
      for (let i = 0; i < row.length; i++) row[i] += weight * narrow[from + i]
    }
    for (let i = 0; i < row.length; i++) out[y * size * 3 + i] = row[i] + 0.5
  }
  return out
}

/** Applies the taps along every row: [side, side, 3] → [side, size, 3]. */
const shrinkRows = (pixels: Uint8Array, side: number, size: number, taps: Taps): Float32Array => {
  const { first, weights, reach } = taps
  const out = new Float32Array(side * size * 3)
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < size; x++) {
      let from = (y * side + first[x]) * 3
      let [r, g, b] = [0, 0, 0]
      for (let k = x * reach; k < (x + 1) * reach; k++) {
        const weight = weights[k]
        r += weight * pixels[from]
        g += weight * pixels[from + 1]
        b += weight * pixels[from + 2]
        from += 3
      }
      const to = (y * size + x) * 3
      out[to] = r
      out[to + 1] = g
      out[to + 2] = b
    }
  }
  return out
}
