/**
 * @file Random access to the bytes of a container, a file or what was unpacked from one, with every read checked
 * against its length: what a damaged file claims about itself never decides how much memory is asked for.
 */

import { type FileHandle, open, stat } from 'node:fs/promises'

/** Bytes that are read in pieces; `read` is safe to call several times at once. */
export interface Bytes {
  /** Path for messages. */
  readonly name: string
  readonly size: number
  /** Exactly the bytes offset .. offset+length−1; rejects in one sentence when they are not all there. */
  read(offset: number, length: number): Promise<Uint8Array>
}

/** What is wrong with a container and where. */
export interface Damage {
  readonly offset: number
  readonly found: string
  readonly expected: string
  /** What to do; by default to copy the file again. */
  readonly todo?: string
}

/** The error of a damaged container: one sentence with the file, the place, what was found and what to do. */
export const damaged = (
  { name }: Pick<Bytes, 'name'>,
  { offset, found, expected, todo = 'copy or download the file again' }: Damage,
): Error => new Error(`${name}: byte ${offset}: found ${found}, expected ${expected}; ${todo}`)

const requireInside = (bytes: Pick<Bytes, 'name' | 'size'>, offset: number, length: number): void => {
  if (offset >= 0 && length >= 0 && offset + length <= bytes.size) return
  throw damaged(bytes, {
    offset: Math.max(0, Math.min(offset, bytes.size)),
    found: `the end of the file at byte ${bytes.size}`,
    expected: `${length} bytes from byte ${offset} on`,
  })
}

/**
 * A file that stays open only while something is being read, so that a set of thousands of files needs few handles
 * and nothing has to be closed.
 * @throws in one sentence when it is missing, no file or cannot be opened.
 */
export const openBytes = async (path: string): Promise<Bytes> => {
  const info = await stat(path).catch((error: NodeJS.ErrnoException) => {
    const found = error.code === 'ENOENT' ? 'does not exist' : `cannot be opened (${error.code ?? error})`
    throw new Error(`data file "${path}" ${found}; pass an existing file`, { cause: error })
  })
  if (!info.isFile()) throw new Error(`data file "${path}" is not a file; pass a file`)
  const { size } = info
  let handle: Promise<FileHandle> | null = null
  let readers = 0

  const read = async (offset: number, length: number): Promise<Uint8Array> => {
    requireInside({ name: path, size }, offset, length)
    readers++
    handle ??= open(path, 'r')
    const opened = handle
    try {
      const file = await opened.catch((error: NodeJS.ErrnoException) => {
        throw new Error(`data file "${path}" cannot be opened (${error.code ?? error}); allow reading it`, {
          cause: error,
        })
      })
      const out = new Uint8Array(length)
      for (let at = 0; at < length; ) {
        const { bytesRead } = await file.read(out, at, length - at, offset + at)
        if (bytesRead === 0) {
          throw damaged(
            { name: path },
            {
              offset: offset + at,
              found: 'the end of the file',
              expected: `${size} bytes in all as when it was opened`,
            },
          )
        }
        at += bytesRead
      }
      return out
    } finally {
      if (--readers === 0) {
        handle = null
        await opened.then(
          (file) => file.close(),
          () => {},
        )
      }
    }
  }
  return { name: path, size, read }
}

/** Bytes that lie in memory. Reads are views, not copies. */
export const bytesInMemory = (name: string, data: Uint8Array): Bytes => ({
  name,
  size: data.length,
  read: async (offset, length) => {
    requireInside({ name, size: data.length }, offset, length)
    return data.subarray(offset, offset + length)
  },
})

/** A part of other bytes under a name of its own. @throws when it does not lie within them. */
export const bytesWithin = (whole: Bytes, name: string, offset: number, size: number): Bytes => {
  requireInside(whole, offset, size)
  return {
    name,
    size,
    read: async (from, length) => {
      requireInside({ name, size }, from, length)
      return whole.read(offset + from, length)
    },
  }
}
