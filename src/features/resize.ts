/** @file Resizing as feature networks expect it: a Fréchet distance changes with the rule, so each is reproduced exactly. */

/** The rules; `none` takes images of the network's own size only. */
export const resizeRules = ['bilinear-tf1', 'bilinear', 'bicubic-antialias', 'none'] as const
/** How images are brought to a network's size. */
export type ResizeRule = (typeof resizeRules)[number]

/** For each output position: the first input position it reads, and the weights from there on. */
type Taps = readonly { readonly first: number; readonly weights: readonly number[] }[]

/** Two neighbours, the position held at the edges. */
const linearTaps = (size: number, out: number, position: (i: number) => number): Taps =>
  Array.from({ length: out }, (_, i) => {
    const at = Math.max(0, Math.min(size - 1, position(i)))
    const first = Math.min(size - 1, Math.floor(at))
    return { first, weights: first === size - 1 ? [1] : [1 - (at - first), at - first] }
  })

/** Keys' cubic with a = −1/2. */
const cubic = (distance: number): number => {
  const x = Math.abs(distance)
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0
}

/** The cubic widened by the scale where images shrink; cut at the edges and normalised. */
const antialiasedTaps = (size: number, out: number): Taps => {
  const scale = size / out
  const widening = Math.max(1, scale)
  return Array.from({ length: out }, (_, i) => {
    const centre = (i + 0.5) * scale
    const first = Math.max(0, Math.floor(centre - 2 * widening + 0.5))
    const end = Math.min(size, Math.floor(centre + 2 * widening + 0.5))
    const raw = Array.from({ length: end - first }, (_, j) => cubic((first + j + 0.5 - centre) / widening))
    const sum = raw.reduce((a, b) => a + b, 0)
    return { first, weights: raw.map((w) => w / sum) }
  })
}

const tapsOf: Readonly<Record<Exclude<ResizeRule, 'none'>, (size: number, out: number) => Taps>> = {
  'bilinear-tf1': (size, out) => linearTaps(size, out, (i) => (i * size) / out),
  bilinear: (size, out) => linearTaps(size, out, (i) => ((i + 0.5) * size) / out - 0.5),
  'bicubic-antialias': antialiasedTaps,
}

/** Size of images in pixels. */
export interface ImageSize {
  readonly height: number
  readonly width: number
}

/** Size of images, or of clips. */
export interface ClipSize extends ImageSize {
  /** Frames of a clip; absent for images. */
  readonly frames?: number | undefined
}

/**
 * Images at another size; values stay in 0 … 255 and are not rounded.
 * - `bilinear-tf1`: pixel i lies at i, no antialiasing (`tf.image.resize_bilinear` of TensorFlow 1, which the original
 *   Inception graph contains).
 * - `bilinear`: pixel centres at i + ½, no antialiasing (PyTorch's `interpolate` with align_corners=False).
 * - `bicubic-antialias`: Pillow's bicubic filter on float channels, clipped to 0 … 255 (Parmar et al. 2022, arXiv
 *   2104.11222, "clean-fid").
 * @param pixels [N, height, width, 3], bytes or values of an earlier resize
 * @returns [N, to.height, to.width, 3]
 * @throws for rule `none` when the sizes differ
 */
export const resizeImages = (
  pixels: Uint8Array | Float32Array,
  from: ImageSize,
  to: ImageSize,
  rule: ResizeRule,
): Float32Array => {
  if (from.height === to.height && from.width === to.width) return Float32Array.from(pixels)
  if (rule === 'none') {
    throw new Error(
      `features: images of ${from.height}×${from.width}, but the network takes ${to.height}×${to.width} and its sidecar says resize "none"`,
    )
  }
  const [columns, rows] = [tapsOf[rule](from.width, to.width), tapsOf[rule](from.height, to.height)]
  const count = pixels.length / (from.height * from.width * 3)
  const out = new Float32Array(count * to.height * to.width * 3)
  const across = new Float64Array(from.height * to.width * 3)
  for (let n = 0; n < count; n++) {
    const start = n * from.height * from.width
    for (let y = 0; y < from.height; y++) {
      for (const [x, { first, weights }] of columns.entries()) {
        for (let c = 0; c < 3; c++) {
          let sum = 0
          for (let i = 0; i < weights.length; i++) {
            sum += weights[i] * pixels[(start + y * from.width + first + i) * 3 + c]
          }
          across[(y * to.width + x) * 3 + c] = sum
        }
      }
    }
    const line = to.width * 3
    for (const [y, { first, weights }] of rows.entries()) {
      const at = (n * to.height + y) * line
      for (let x = 0; x < line; x++) {
        let sum = 0
        for (let i = 0; i < weights.length; i++) sum += weights[i] * across[(first + i) * line + x]
        out[at + x] = Math.max(0, Math.min(255, sum))
      }
    }
  }
  return out
}
