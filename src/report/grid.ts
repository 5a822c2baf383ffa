/** @file Images for people: grids of samples, and originals above their reconstructions, as PNG. */
import sharp, { type Sharp } from 'sharp'
import type { HostTensor } from '../engine/host/tensor.ts'
import { drawnRows, type GridOptions, inRows, pairRows, type Row, type TileSize, unstack } from './canvas.ts'
import { escapeMarkup, shortened } from './escape.ts'

/** Pixels that an image should have on the screen, so that a person sees it. */
export const visibleSize = 64

/** A scale at which images [N,3,H,W], or frames of clips, are easily seen: small ones are enlarged by whole pixels. */
export const visibleScale = ({ shape }: HostTensor, size: number = visibleSize): number =>
  Math.max(1, Math.round(size / Math.max(...shape.slice(-2))))

/** Characters of a label at most. */
const longestLabel = 60

const drawRows = (rows: readonly Row[], size: TileSize, options: GridOptions): Sharp => {
  const tileHeight = size.height * (options.scale ?? 1)
  const fontSize = Math.max(9, Math.min(15, Math.round(tileHeight / 3)))
  const labels = rows.map(({ label }) => shortened(label, longestLabel))
  const longest = Math.max(...labels.map((label) => [...label].length))
  // 0.6 em is a generous mean width of sans-serif letters; half an em lies on either side.
  const labelWidth = longest === 0 ? 0 : Math.ceil(fontSize * (0.6 * longest + 1))
  const { rgb, width, height, tops } = drawnRows(rows, size, { ...options, margin: labelWidth })
  const texts = tops.map((top, r) => {
    // Central baselines are not drawn the same everywhere; 0.35 em is half the height of capitals.
    const baseline = top + tileHeight / 2 + 0.35 * fontSize
    return `<text x="${labelWidth - fontSize / 2}" y="${baseline}">${escapeMarkup(labels[r])}</text>`
  })
  const image = sharp(rgb, { raw: { width, height, channels: 3 } })
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

/** Originals above their reconstructions (pairRows), both in [-1, 1], as PNG bytes. @throws as gridPng, and when the two shapes differ */
export const pairGrid = async (
  originals: HostTensor,
  reconstructions: HostTensor,
  columns: number,
  options: GridOptions = {},
): Promise<Uint8Array> => {
  const { rows, size } = pairRows(originals, reconstructions, columns, options)
  return drawRows(rows, size, options).png().toBuffer()
}
