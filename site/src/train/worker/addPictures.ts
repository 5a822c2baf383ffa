/** @file Image files as pictures to train on: decoded by the browser one after the other, cropped to their centre, made small. */
import { cropToSquare, resizeSquare } from '../../../../src/engine/host/squares.ts'
import type { OwnPicture } from '../../../../src/tab/pictures.ts'

/** Pictures of a run at most. */
const mostPictures = 20_000
/** Bytes of a file at most; pixels are bounded by what the browser decodes. */
const mostBytes = 2 ** 28
/** A picture's square goes through a canvas of at least that many pixels a side, before the area average. */
const exactSide = 320

/** The centre of an image file, [size, size, 3], on white where it is transparent. @throws why it is none, as the end of a sentence */
const decoded = async (file: File, size: number): Promise<Uint8Array> => {
  if (file.size > mostBytes)
    throw new Error(`has ${file.size} bytes, more than the ${mostBytes} that a picture may have`)
  const bitmap = await createImageBitmap(file).catch(() => {
    throw new Error('is no image that this browser decodes, or is damaged')
  })
  try {
    const square = Math.min(bitmap.width, bitmap.height)
    const [left, top] = [(bitmap.width - square) >> 1, (bitmap.height - square) >> 1]
    const side = Math.min(square, Math.max(4 * size, exactSide))
    const context = new OffscreenCanvas(side, side).getContext('2d', { willReadFrequently: true })
    if (context === null) throw new Error('cannot be drawn by this browser')
    context.fillStyle = '#fff'
    context.fillRect(0, 0, side, side)
    context.imageSmoothingQuality = 'high'
    context.drawImage(bitmap, left, top, square, square, 0, 0, side, side)
    const rgba = context.getImageData(0, 0, side, side).data
    const pixels = new Uint8Array(side * side * 3)
    for (let i = 0; i < pixels.length; i++) pixels[i] = rgba[4 * Math.floor(i / 3) + (i % 3)]
    return resizeSquare(cropToSquare({ width: side, height: side, pixels }), size)
  } finally {
    bitmap.close()
  }
}

/** Decodes files. @returns those that are pictures, and those that are not, with the reason @throws when fewer than two are */
export const addPictures = async (
  files: readonly File[],
  size: number,
  told: (done: number, of: number) => void,
): Promise<{
  readonly pictures: readonly OwnPicture[]
  readonly leftOut: readonly { readonly file: string; readonly reason: string }[]
}> => {
  if (files.length > mostPictures)
    throw new Error(
      `${files.length} files were given, and a run in a tab takes ${mostPictures} at most; give fewer, or train on them with ul train`,
    )
  const pictures: OwnPicture[] = []
  const leftOut: { file: string; reason: string }[] = []
  for (const [i, file] of files.entries()) {
    try {
      pictures.push({ name: file.name, pixels: await decoded(file, size) })
    } catch (error) {
      leftOut.push({ file: file.name, reason: (error as Error).message })
    }
    told(i + 1, files.length)
  }
  if (pictures.length >= 2) return { pictures, leftOut }
  const first = leftOut[0] === undefined ? '' : ` (${leftOut[0].file} ${leftOut[0].reason})`
  throw new Error(
    `${pictures.length} of ${files.length} files can be trained on${first}; give two pictures at least: PNG, JPEG, WebP, AVIF or GIF`,
  )
}
