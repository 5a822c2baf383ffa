/** @file Files that are only appended to: every piece is there whole, or not at all. */
import { closeSync, fstatSync, fsyncSync, ftruncateSync, openSync } from 'node:fs'
import { writePieces } from './pieces.ts'

/** A file open at its end. */
export interface Appender {
  /**
   * Adds the chunks as one piece.
   * @throws one sentence when it does not fit; the file is then as it was
   */
  append(chunks: readonly Uint8Array[]): void
  /** Returns when all that was added would survive a power cut. */
  sync(): void
  /** Closes the file; nothing must be added afterwards. */
  close(): void
}

/** Opens a file at its end, or makes it. */
export const openAppender = (path: string): Appender => {
  const fd = openSync(path, 'a')
  return {
    append: (chunks) => {
      const { size } = fstatSync(fd)
      try {
        writePieces(fd, chunks)
      } catch (cause) {
        ftruncateSync(fd, size)
        const { code } = cause as NodeJS.ErrnoException
        throw new Error(
          `${path}: cannot be written on (${code}); free space and run the same command again`,
          {
            cause,
          },
        )
      }
    },
    sync: () => fsyncSync(fd),
    close: () => closeSync(fd),
  }
}
