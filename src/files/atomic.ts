/** @file Files that are either the old version or the new one, also after a power cut. */
import { randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { writePieces } from './pieces.ts'
import { systemSentence } from './systemErrors.ts'

/** Start of every temporary name that this folder makes; readers skip what begins with it. */
export const temporaryPrefix = '.tmp-'

/** A sibling of `path` that no other process uses, on the same file system so that a rename is atomic. */
export const temporarySibling = (path: string): string =>
  join(dirname(path), `${temporaryPrefix}${basename(path)}-${process.pid}-${randomBytes(4).toString('hex')}`)

/**
 * Makes renames and removals in a directory durable.
 * @throws when the directory cannot be opened.
 */
export const syncDirectory = (path: string): void => {
  if (process.platform === 'win32') return // directories cannot be opened there
  const fd = openSync(path, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** Removes a temporary file after a failure. @throws what failed; a system error as one sentence that names the file */
const giveUp = (path: string, temporary: string, cause: unknown): never => {
  rmSync(temporary, { force: true })
  const sentence = systemSentence(cause, path)
  throw sentence === null ? cause : new Error(sentence, { cause })
}

/**
 * Writes a file so that a reader, or a restart after a crash, sees the old content or all of the new content.
 * The parent directory must exist. Several chunks are written without being concatenated.
 * @throws one sentence that names the file; the old file is then untouched and no temporary file is left.
 */
export const writeFileAtomic = (path: string, chunks: Uint8Array | readonly Uint8Array[] | string): void => {
  const list =
    typeof chunks === 'string' ? [Buffer.from(chunks)] : chunks instanceof Uint8Array ? [chunks] : chunks
  const temporary = temporarySibling(path)
  try {
    const fd = openSync(temporary, 'wx')
    try {
      writePieces(fd, list)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    renameSync(temporary, path)
    syncDirectory(dirname(path))
  } catch (cause) {
    giveUp(path, temporary, cause)
  }
}

/** The same of a file that is written bit by bit. @param write fills it through its descriptor */
export const writeFileInParts = async (path: string, write: (fd: number) => Promise<void>): Promise<void> => {
  const temporary = temporarySibling(path)
  try {
    const fd = openSync(temporary, 'wx')
    try {
      await write(fd)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    renameSync(temporary, path)
    syncDirectory(dirname(path))
  } catch (cause) {
    giveUp(path, temporary, cause)
  }
}
