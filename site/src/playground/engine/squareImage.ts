/** @file An image file decoded by the browser and made square and small as `ul` does it. */
import { cropToSquare, padToSquare, type RawImage, rawToRgb, resizeSquare } from 'unified-latents'
import type { SquareImage } from './protocol.ts'

/** Pixels of a side at most; the browser shrinks what is larger before the area average. */
const mostSide = 4096

/** The pixels of an image file, turned as its EXIF data says. @throws one sentence when the browser cannot decode it */
const decoded = async (image: Blob): Promise<RawImage & { readonly was: readonly [number, number] }> => {
  const bitmap = await createImageBitmap(image).catch(() => {
    const kind = image.type === '' ? 'no kind that is known' : image.type
    throw new Error(
      `the file (${kind}, ${image.size} bytes) cannot be read as an image; give a PNG, JPEG, WebP, AVIF or GIF that is whole`,
    )
  })
  const was = [bitmap.width, bitmap.height] as const
  const shrink = Math.min(1, mostSide / Math.max(...was))
  const [width, height] = was.map((side) => Math.max(1, Math.round(side * shrink)))
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true })
  if (context === null) throw new Error('the browser gives no canvas to read the image with; reload the page')
  context.imageSmoothingQuality = 'high'
  context.drawImage(bitmap, 0, 0, width, height)
  bitmap.close()
  const { data } = context.getImageData(0, 0, width, height)
  return { width, height, channels: 4, pixels: new Uint8Array(data.buffer), was }
}

/** Decodes an image to [size, size, 3]: centre crop, or padded with white. @throws when it is none */
export const squareImage = async (image: Blob, size: number, fit: 'crop' | 'pad'): Promise<SquareImage> => {
  const raw = await decoded(image)
  const square = (fit === 'crop' ? cropToSquare : padToSquare)(rawToRgb(raw))
  return { pixels: resizeSquare(square, size), width: raw.was[0], height: raw.was[1] }
}
