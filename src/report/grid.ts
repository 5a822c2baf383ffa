/** @file Images for people: grids of samples, and originals above their reconstructions, as PNG. */
import sharp, { type Sharp } from 'sharp'
import { framesOf } from '../engine/host/clips.ts'
import { quantiseImages } from '../engine/host/pixels.ts'
import { examplesOf, type HostTensor, showShape } from '../engine/host/tensor.ts'
import { escapeMarkup, shortened } from './escape.ts'

/** How a grid looks. */
export interface GridOptions {
  /** Screen pixels per image pixel, an integer; pixels are repeated, never blended. Default 1. */
  readonly scale?: number
  /** White pixels between images; between pairs it is three times as much. Default 2. */
  readonly gap?: number
  /** Text to the left of each row; of each row of the pair in pairGrid, repeated. */
  readonly labels?: readonly string[]
}

/** Pixels that an image should have on the screen, so that a person sees it. */
export const visibleSize = 64

/** A scale at which images [N,3,H,W], or frames of clips, are easily seen: small ones are enlarged by whole pixels. */
export const visibleScale = ({ shape }: HostTensor, size: number = visibleSize): number =>
  Math.max(1, Math.round(size / Math.max(...shape.slice(-2))))

/** A row of images, each [1,3,H,W], with white pixels above it and text to the left. */
interface Row {
  readonly images: readonly HostTensor[]
  readonly gapAbove: number
  readonly label: string
}

/** Characters of a label at most. */
const longestLabel = 60

/** Splits [N,3,H,W] into N views [1,3,H,W]. Clips [N,3,T,H,W] are their frames, with a row for each clip. */
const unstack = (
  stack: HostTensor,
  columns: number,
): { images: HostTensor[]; columns: number; height: number; width: number } => {
  if (stack.shape.length === 5) return unstack(framesOf(stack), stack.shape[2])
  const [N, C, height, width] = stack.shape as [number, number, number, number]
  if (stack.shape.length !== 4 || C !== 3 || N * height * width === 0) {
    throw new Error(`image: pass at least one image as [N,3,H,W], not ${showShape(stack.shape)}`)
  }
  const images = Array.from({ length: N }, (_, n) => examplesOf(stack, n, 1))
  return { images, columns: Math.min(columns, N), height, width }
}

const inRows = (images: readonly HostTensor[], columns: number): HostTensor[][] => {
  if (!Number.isInteger(columns) || columns < 1) throw new Error(`image: ${columns} columns; pass 1 or more`)
  const rows = Math.ceil(images.length / columns)
  return Array.from({ length: rows }, (_, r) => images.slice(r * columns, (r + 1) * columns))
}

/** Copies an image of bytes [H,W,3] into the canvas, every pixel as a square of `scale`. */
const paste = (
  canvas: { readonly rgb: Uint8Array; readonly width: number },
  pixels: Uint8Array,
  place: { readonly left: number; readonly top: number; readonly width: number; readonly scale: number },
): void => {
  const { left, top, width, scale } = place
  const height = pixels.length / (3 * width)
  for (let y = 0; y < height; y++) {
    const start = 3 * ((top + y * scale) * canvas.width + left)
    for (let x = 0; x < width * scale; x++) {
      const from = 3 * (y * width + Math.floor(x / scale))
      for (let channel = 0; channel < 3; channel++)
        canvas.rgb[start + 3 * x + channel] = pixels[from + channel]
    }
    // The first line of the squares is drawn; the others are copies of it.
    for (let line = 1; line < scale; line++) {
      canvas.rgb.copyWithin(start + 3 * line * canvas.width, start, start + 3 * width * scale)
    }
  }
}

const drawRows = (
  rows: readonly Row[],
  size: { readonly height: number; readonly width: number },
  { scale = 1, gap = 2 }: GridOptions,
): Sharp => {
  if (!Number.isInteger(scale) || scale < 1) throw new Error(`image: scale ${scale}; pass 1, 2, 3, …`)
  if (!Number.isInteger(gap) || gap < 0) throw new Error(`image: gap ${gap}; pass 0, 1, 2, …`)
  const [tileHeight, tileWidth] = [size.height * scale, size.width * scale]
  const fontSize = Math.max(9, Math.min(15, Math.round(tileHeight / 3)))
  const labels = rows.map(({ label }) => shortened(label, longestLabel))
  const longest = Math.max(...labels.map((label) => [...label].length))
  // 0.6 em is a generous mean width of sans-serif letters; half an em lies on either side.
  const labelWidth = longest === 0 ? 0 : Math.ceil(fontSize * (0.6 * longest + 1))
  const columns = Math.max(...rows.map((row) => row.images.length))
  const width = labelWidth + columns * (tileWidth + gap) - gap
  const height = rows.reduce((sum, row) => sum + row.gapAbove + tileHeight, 0)

  const canvas = { rgb: new Uint8Array(3 * width * height).fill(255), width }
  const texts: string[] = []
  let top = 0
  for (const [r, { images, gapAbove }] of rows.entries()) {
    top += gapAbove
    images.forEach((image, column) => {
      const left = labelWidth + column * (tileWidth + gap)
      const pixels = quantiseImages(image)
      paste(canvas, pixels, { left, top, width: size.width, scale })
    })
    // Central baselines are not drawn the same everywhere; 0.35 em is half the height of capitals.
    const baseline = top + tileHeight / 2 + 0.35 * fontSize
    texts.push(`<text x="${labelWidth - fontSize / 2}" y="${baseline}">${escapeMarkup(labels[r])}</text>`)
    top += tileHeight
  }
  const image = sharp(canvas.rgb, { raw: { width, height, channels: 3 } })
  if (labelWidth > 0) {
    const style = `font-family="sans-serif" font-size="${fontSize}" fill="#333" text-anchor="end"`
    const xmlns = 'http://www.w3.org/2000/svg'
    const svg = `<svg xmlns="${xmlns}" width="${labelWidth}" height="${height}"><g ${style}>${texts.join('')}</g></svg>`
    image.composite([{ input: Buffer.from(svg), left: 0, top: 0 }]).removeAlpha()
  }
  return image
}

/**
 * Images [N,3,H,W] in [-1, 1] row by row, or clips [N,3,T,H,W] with their frames in a row each, in three channels of bytes. Image n has its top left corner at
 * x = label width + (n mod columns)·(W·scale + gap), y = ⌊n / columns⌋·(H·scale + gap); the rest is white.
 * @throws when the tensor is not float32 [N,3,H,W] with N ≥ 1, or columns, scale or gap is not a count.
 */
export const gridImage = (stack: HostTensor, columns: number, options: GridOptions = {}): Sharp => {
  const { images, columns: across, ...size } = unstack(stack, columns)
  const { gap = 2, labels = [] } = options
  const rows = inRows(images, across).map(
    (row, r): Row => ({ images: row, gapAbove: r === 0 ? 0 : gap, label: labels[r] ?? '' }),
  )
  return drawRows(rows, size, options)
}

/** The same as PNG bytes. @throws as gridImage */
export const gridPng = async (
  stack: HostTensor,
  columns: number,
  options: GridOptions = {},
): Promise<Uint8Array> => gridImage(stack, columns, options).png().toBuffer()

/**
 * Originals and, right below each, their reconstructions, both [N,3,H,W] (or clips, a row each) in [-1, 1], as PNG bytes. Three gaps
 * separate one pair of rows from the next; `labels` holds the text of the upper and of the lower row.
 * @throws as gridPng, and when the two shapes differ.
 */
export const pairGrid = async (
  originals: HostTensor,
  reconstructions: HostTensor,
  columns: number,
  options: GridOptions = {},
): Promise<Uint8Array> => {
  const [upper, lower] = [unstack(originals, columns), unstack(reconstructions, columns)]
  if (showShape(originals.shape) !== showShape(reconstructions.shape)) {
    const shapes = `${showShape(originals.shape)} and ${showShape(reconstructions.shape)}`
    throw new Error(`image: originals and reconstructions have shapes ${shapes}; pass equal ones`)
  }
  const { gap = 2, labels = [] } = options
  const below = inRows(lower.images, upper.columns)
  const rows = inRows(upper.images, upper.columns).flatMap((row, r): Row[] => [
    { images: row, gapAbove: r === 0 ? 0 : 3 * gap, label: labels[0] ?? '' },
    { images: below[r], gapAbove: gap, label: labels[1] ?? '' },
  ])
  return drawRows(rows, upper, options).png().toBuffer()
}
