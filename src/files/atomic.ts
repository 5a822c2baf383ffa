/** @file Files that are either the old version or the new one, also after a power cut. */
import { randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, openSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { writePieces } from './pieces.ts'
import { isRunning, thisHost } from './process.ts'
import { systemSentence } from './systemErrors.ts'

/** Start of every temporary name that this folder makes; readers skip what begins with it. */
export const temporaryPrefix = '.tmp-'

/** A sibling of `path` that no other process uses, on the same file system so that a rename is atomic. It names its maker. */
export const temporarySibling = (path: string): string => {
  const maker = `${thisHost}-${process.pid}-${randomBytes(4).toString('hex')}`
  return join(dirname(path), `${temporaryPrefix}${basename(path)}-${maker}`)
}

/** Removes what processes of this machine left in a folder that are gone; others may still be writing theirs. */
export const removeAbandoned = (folder: string): void => {
  for (const name of readdirSync(folder)) {
    const [, host, pid] = /-([0-9a-f]{8})-(\d+)-[0-9a-f]{8}$/.exec(name) ?? []
    const isAbandoned = name.startsWith(temporaryPrefix) && host === thisHost && !isRunning(Number(pid))
    if (isAbandoned) rmSync(join(folder, name), { recursive: true, force: true })
  }
}

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

/** A file under its temporary name. */
interface Draft {
  readonly fd: number
  readonly temporary: string
  /** Gives it its name, once its bytes are on the disk. */
  place(): void
  /** Removes it after a failure. @throws what failed; a system error as one sentence that names the file */
  giveUp(cause: unknown): never
}

const giveUp = (path: string, temporary: string, cause: unknown): never => {
  rmSync(temporary, { force: true })
  const sentence = systemSentence(cause, path)
  throw sentence === null ? cause : new Error(sentence, { cause })
}

const openDraft = (path: string): Draft => {
  const temporary = temporarySibling(path)
  let fd: number
  try {
    fd = openSync(temporary, 'wx')
  } catch (cause) {
    return giveUp(path, temporary, cause)
  }
  let isOpen = true
  const close = (): void => {
    if (isOpen) closeSync(fd)
    isOpen = false
  }
  return {
    fd,
    temporary,
    place: () => {
      fsyncSync(fd)
      close()
      renameSync(temporary, path)
      syncDirectory(dirname(path))
    },
    giveUp: (cause) => {
      close()
      return giveUp(path, temporary, cause)
    },
  }
}

/**
 * Writes a file so that a reader, or a restart after a crash, sees the old content or all of the new content.
 * The parent directory must exist. Several chunks are written without being concatenated.
 * @throws one sentence that names the file; the old file is then untouched and no temporary file is left.
 */
export const writeFileAtomic = (path: string, chunks: Uint8Array | readonly Uint8Array[] | string): void => {
  const list =
    typeof chunks === 'string' ? [Buffer.from(chunks)] : chunks instanceof Uint8Array ? [chunks] : chunks
  const draft = openDraft(path)
  try {
    writePieces(draft.fd, list)
    draft.place()
  } catch (cause) {
    draft.giveUp(cause)
  }
}

/**
 * The same of a file that is written bit by bit.
 * @param write fills it through its descriptor; another process does so through its temporary name, without replacing it
 */
export const writeFileInParts = async (
  path: string,
  write: (fd: number, temporary: string) => Promise<void>,
): Promise<void> => {
  const draft = openDraft(path)
  try {
    await write(draft.fd, draft.temporary)
    draft.place()
  } catch (cause) {
    draft.giveUp(cause)
  }
}
