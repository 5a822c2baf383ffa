/**
 * @file A file of lines as it grows: what was read is not read again, half a line waits for its end, and a file that was written
 * anew is read anew.
 */
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { setImmediate } from 'node:timers/promises'

/** What is done with whole lines, each with its end. A piece without any end is a part of a line that is too long. */
export type TakeLines = (lines: Buffer, bytesLeft: number) => Promise<void> | void

/** A file, and how far it was read. */
export interface GrowingFile {
  /**
   * Reads the whole lines that have come since, piece by piece; others get their turn in between.
   * @param take given a piece, which is its own until it ends, and the bytes from its beginning to the end of the file
   * @param anew called before the first piece, and where there is none, of a file that is not the one read so far
   * @throws what the file system and `take` throw; the piece under way is then given again the next time
   */
  readOn(take: TakeLines, anew?: () => void): Promise<void>
  /** Begins again: the next time, all of it is read. */
  forget(): void
}

/** Bytes before the end of what was read by which a file is known again. */
const endBytes = 64

const newline = 10

/** Bytes of whole lines that were read, the last of them, and the number of the file. */
interface Place {
  readonly at: number
  readonly end: Buffer
  readonly inode: bigint
}

const beginning = (inode: bigint): Place => ({ at: 0, end: Buffer.alloc(0), inode })

/** Whether a file begins as the one that was read. */
const isSame = async (file: FileHandle, { at, end }: Place): Promise<boolean> => {
  const { buffer } = await file.read(Buffer.alloc(end.length), 0, end.length, at - end.length)
  return buffer.equals(end)
}

/** @param piece what it is read into, and nothing else meanwhile; a line of more than half its bytes may be given in parts */
export const growingFile = (path: string, piece: Buffer): GrowingFile => {
  let place = beginning(0n)
  const readTo = async (file: FileHandle, size: number, take: TakeLines): Promise<void> => {
    while (place.at < size) {
      const { bytesRead } = await file.read(piece, 0, Math.min(piece.length, size - place.at), place.at)
      if (bytesRead === 0) return
      const whole = piece.subarray(0, bytesRead).lastIndexOf(newline) + 1
      if (whole === 0 && bytesRead < piece.length / 2) return
      const lines = piece.subarray(0, whole === 0 ? bytesRead : whole)
      await take(lines, size - place.at)
      const end = Buffer.from(lines.subarray(Math.max(0, lines.length - endBytes)))
      place = { ...place, at: place.at + lines.length, end }
      await setImmediate()
    }
  }
  return {
    readOn: async (take, anew) => {
      const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK) // a pipe would wait for its writer
      try {
        const info = await file.stat({ bigint: true })
        if (!info.isFile()) throw new Error(`${path}: this is no file`)
        const size = Number(info.size)
        if (info.ino !== place.inode || size < place.at || !(await isSame(file, place))) {
          place = beginning(info.ino)
          anew?.()
        }
        await readTo(file, size, take)
      } finally {
        await file.close()
      }
    },
    forget: () => {
      place = beginning(0n)
    },
  }
}
