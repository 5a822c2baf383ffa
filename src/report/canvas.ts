/** @file Grids of images as bytes: rows of images, originals above their reconstructions, on white. */
import { framesOf } from '../engine/host/clips.ts'
import { quantiseImages } from '../engine/host/pixels.ts'
import { examplesOf, type HostTensor, showShape } from '../engine/host/tensor.ts'

/** How a grid looks. */
export interface GridOptions {
  /** Screen pixels per image pixel, an integer; pixels are repeated, never blended. Default 1. */
  readonly scale?: number
  /** White pixels between images; between pairs it is three times as much. Default 2. */
  readonly gap?: number
  /** Text to the left of each row; of each row of the pair in pairGrid, repeated. */
  readonly labels?: readonly string[]
}

/** A row of images, each [1,3,H,W], with white pixels above it and text to the left. */
export interface Row {
  readonly images: readonly HostTensor[]
  readonly gapAbove: number
  readonly label: string
}

/** Splits [N,3,H,W] into N views [1,3,H,W]. Clips [N,3,T,H,W] are their frames, with a row for each clip. */
export const unstack = (
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

export const inRows = (images: readonly HostTensor[], columns: number): HostTensor[][] => {
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

/** Height and width of every image of a grid. */
export interface TileSize {
  readonly height: number
  readonly width: number
}

/** Rows drawn on white: bytes [height, width, 3]. */
export interface Canvas extends TileSize {
  readonly rgb: Uint8Array
  /** Where each row begins. */
  readonly tops: readonly number[]
}

/** Draws rows. @param margin white pixels to the left @throws when scale or gap is not a count */
export const drawnRows = (
  rows: readonly Row[],
  size: TileSize,
  { scale = 1, gap = 2, margin = 0 }: GridOptions & { readonly margin?: number },
): Canvas => {
  if (!Number.isInteger(scale) || scale < 1) throw new Error(`image: scale ${scale}; pass 1, 2, 3, …`)
  if (!Number.isInteger(gap) || gap < 0) throw new Error(`image: gap ${gap}; pass 0, 1, 2, …`)
  const [tileHeight, tileWidth] = [size.height * scale, size.width * scale]
  const columns = Math.max(...rows.map((row) => row.images.length))
  const width = margin + columns * (tileWidth + gap) - gap
  const height = rows.reduce((sum, row) => sum + row.gapAbove + tileHeight, 0)
  const canvas = { rgb: new Uint8Array(3 * width * height).fill(255), width }
  const tops: number[] = []
  let end = 0
  for (const { images, gapAbove } of rows) {
    const top = end + gapAbove
    images.forEach((image, column) => {
      const left = margin + column * (tileWidth + gap)
      paste(canvas, quantiseImages(image), { left, top, width: size.width, scale })
    })
    tops.push(top)
    end = top + tileHeight
  }
  return { ...canvas, height, tops }
}

/**
 * Originals and, right below each, their reconstructions, both [N,3,H,W], or clips, a row each. Three gaps separate one pair of
 * rows from the next; `labels` holds the text of the upper and of the lower row.
 * @throws when the two shapes differ
 */
export const pairRows = (
  originals: HostTensor,
  reconstructions: HostTensor,
  columns: number,
  { gap = 2, labels = [] }: GridOptions,
): { readonly rows: readonly Row[]; readonly size: TileSize } => {
  const [upper, lower] = [unstack(originals, columns), unstack(reconstructions, columns)]
  if (showShape(originals.shape) !== showShape(reconstructions.shape)) {
    const shapes = `${showShape(originals.shape)} and ${showShape(reconstructions.shape)}`
    throw new Error(`image: originals and reconstructions have shapes ${shapes}; pass equal ones`)
  }
  const below = inRows(lower.images, upper.columns)
  const rows = inRows(upper.images, upper.columns).flatMap((row, r): Row[] => [
    { images: row, gapAbove: r === 0 ? 0 : 3 * gap, label: labels[0] ?? '' },
    { images: below[r], gapAbove: gap, label: labels[1] ?? '' },
  ])
  return { rows, size: { height: upper.height, width: upper.width } }
}
