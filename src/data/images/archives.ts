/** @file Files that hold other files and are not read as they are: told by their first bytes. */

import { closeSync, openSync, readSync } from 'node:fs'

const KINDS: readonly (readonly [words: string, start: readonly number[]])[] = [
  ['gzip', [0x1f, 0x8b]],
  ['zip', [0x50, 0x4b, 0x03, 0x04]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['7z', [0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c]],
  ['RAR', [0x52, 0x61, 0x72, 0x21]],
]

const headOf = (file: string): Uint8Array => {
  const handle = openSync(file, 'r')
  try {
    const head = new Uint8Array(8)
    return head.subarray(0, readSync(handle, head))
  } finally {
    closeSync(handle)
  }
}

/** What packed a file, by its first bytes; null for any other file. */
export const packedKind = (head: Uint8Array): string | null =>
  KINDS.find(([, start]) => start.every((byte, i) => head[i] === byte))?.[0] ?? null

/** What a packed file is, with what to do: `a gzipped tar; unpack it first with tar xf FILE`; null for any other file. */
export const packedText = (file: string): string | null => {
  const kind = packedKind(headOf(file))
  if (kind === null) return null
  const isTar = /\.(tar\.\w+|t(gz|bz2?|xz|zst))$/i.test(file)
  const what = isTar ? `a tar packed by ${kind}` : `a file packed by ${kind}`
  return `${what}; unpack it first${isTar ? ' (tar xf) and give the folder' : ''}`
}
