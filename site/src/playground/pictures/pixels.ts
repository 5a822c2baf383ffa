/** @file Pixels as they are drawn, put beside each other and saved. */

/** Bytes [height, width, 3]. */
export interface Pixels {
  readonly pixels: Uint8Array
  readonly width: number
  readonly height: number
}

/** Draws pixels into a canvas, which takes their size. */
export const drawInto = (canvas: HTMLCanvasElement, { pixels, width, height }: Pixels): void => {
  canvas.width = width
  canvas.height = height
  const image = new ImageData(width, height)
  for (let i = 0; i < width * height; i++) {
    image.data.set(pixels.subarray(3 * i, 3 * i + 3), 4 * i)
    image.data[4 * i + 3] = 255
  }
  canvas.getContext('2d')?.putImageData(image, 0, 0)
}

/** Square images in rows of `columns`, white where there is none. */
export const beside = (images: readonly Uint8Array[], size: number, columns: number): Pixels => {
  const rows = Math.ceil(images.length / columns)
  const width = columns * size
  const pixels = new Uint8Array(3 * width * rows * size).fill(255)
  for (const [n, image] of images.entries()) {
    const [left, top] = [(n % columns) * size, Math.floor(n / columns) * size]
    for (let y = 0; y < size; y++)
      pixels.set(image.subarray(3 * y * size, 3 * (y + 1) * size), 3 * ((top + y) * width + left))
  }
  return { pixels, width, height: rows * size }
}

/** Saves pixels as a PNG file, one pixel for one. @throws when the browser makes none */
export const savePng = async (picture: Pixels, name: string): Promise<void> => {
  const canvas = document.createElement('canvas')
  drawInto(canvas, picture)
  const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, 'image/png'))
  if (blob === null) throw new Error(`${name}: the browser could not write the PNG; try a smaller picture`)
  const link = document.createElement('a')
  link.href = URL.createObjectURL(blob)
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000)
}
