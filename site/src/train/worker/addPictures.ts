/** @file Image files as pictures to train on: decoded by the browser one after the other, cropped to their centre, made small. */
import type { OwnPicture } from '../../../../src/tab/page.ts'
import { squareImage } from '../../playground/engine/squareImage.ts'

/** Pictures of a run at most. */
const mostPictures = 20_000
/** Bytes of a file at most; pixels are bounded by what the browser decodes. */
const mostBytes = 2 ** 28
/** Decodes files. @returns those that are pictures, and those that are not, with the reason @throws when fewer than two are, and the signal's reason */
export const addPictures = async (
  files: readonly File[],
  size: number,
  told: (done: number, of: number) => void,
  signal: AbortSignal,
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
    signal.throwIfAborted()
    try {
      if (file.size > mostBytes)
        throw new Error(`it has ${file.size} bytes, more than the ${mostBytes} that a picture may have`)
      pictures.push({ name: file.name, pixels: (await squareImage(file, size, 'crop')).pixels })
    } catch (error) {
      leftOut.push({ file: file.name, reason: (error as Error).message })
    }
    told(i + 1, files.length)
  }
  if (pictures.length >= 2) return { pictures, leftOut }
  const first = leftOut[0] === undefined ? '' : ` (${leftOut[0].file}: ${leftOut[0].reason})`
  throw new Error(
    `${pictures.length} of ${files.length} files can be trained on${first}; give two pictures at least: PNG, JPEG, WebP, AVIF or GIF`,
  )
}
