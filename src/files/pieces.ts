/** @file Whole-buffer reads and writes on open files, in pieces that the operating system accepts. */
import { readSync, writeSync, writevSync } from 'node:fs'

/** Linux moves at most 2³¹ − 4096 bytes and 1024 buffers per call, and Node refuses lengths above 2³¹ − 1. */
const pieceBytes = 2 ** 30
const piecesPerCall = 1024

/**
 * Writes all chunks one after the other at the file's current position, without concatenating them.
 * @param limit largest number of bytes per system call.
 * @throws what `writev` throws, for example when the disk is full.
 */
export const writePieces = (fd: number, chunks: readonly Uint8Array[], limit: number = pieceBytes): void => {
  let chunk = 0
  let offset = 0 // bytes of chunks[chunk] that are on disk
  while (chunk < chunks.length) {
    const call: Uint8Array[] = []
    let room = limit
    for (let i = chunk; i < chunks.length && call.length < piecesPerCall && room > 0; i++) {
      const from = i === chunk ? offset : 0
      const piece = chunks[i].subarray(from, from + room)
      call.push(piece)
      room -= piece.length
    }
    offset += writevSync(fd, call)
    // A call may stop anywhere, so the position is found from the number of bytes, not from the pieces.
    while (chunk < chunks.length && offset >= chunks[chunk].length) offset -= chunks[chunk++].length
  }
}

/** Writes all bytes at `position` (bytes from the start of the file). @throws what the file system throws */
export const writePiecesAt = (
  fd: number,
  bytes: Uint8Array,
  position: number,
  limit: number = pieceBytes,
): void => {
  for (let done = 0; done < bytes.length; ) {
    done += writeSync(fd, bytes, done, Math.min(limit, bytes.length - done), position + done)
  }
}

/**
 * Fills `into` with the bytes at `position` (bytes from the start of the file).
 * @param limit largest number of bytes per system call.
 * @returns the number of bytes read: less than `into.length` only when the file ends before.
 */
export const readPieces = (
  fd: number,
  into: Uint8Array,
  position: number,
  limit: number = pieceBytes,
): number => {
  let done = 0
  while (done < into.length) {
    const length = Math.min(limit, into.length - done)
    const got = readSync(fd, into, done, length, position + done)
    if (got === 0) break
    done += got
  }
  return done
}
