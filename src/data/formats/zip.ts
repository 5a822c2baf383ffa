/** @file The members of a zip file (.npz): stored ones are read in place, deflated ones unpacked within bounds. */

import { Readable } from 'node:stream'
import { crc32, createInflateRaw } from 'node:zlib'
import { type Bytes, bytesInMemory, bytesWithin, damaged } from './bytes.ts'
import { mostUnpacked, UNPACKED_BYTES, unpack } from './gzip.ts'

/** One member; opening a deflated one unpacks it. */
export interface ZipMember {
  readonly name: string
  /** @throws naming file and byte when it is damaged. */
  open(): Promise<Bytes>
}

const END = 0x06054b50
const END64_LOCATOR = 0x07064b50
const END64 = 0x06064b50
const ENTRY = 0x02014b50
const LOCAL = 0x04034b50
/** Of the end record without its comment, and the longest comment. */
const END_BYTES = 22
const COMMENT_BYTES = 65535
/** Longest directory that is read: room for half a million members. */
const DIRECTORY_BYTES = 2 ** 26

/** Most members of a zip: an array of images and one of labels each, and room for more. */
const MOST_MEMBERS = 2 ** 12
/** Bytes of packed data read at once. */
const PIECE = 2 ** 20

/** A part of a file as a stream. */
const piecesOf = (bytes: Bytes, start: number, length: number): Readable =>
  Readable.from(
    (async function* () {
      for (let at = 0; at < length; at += PIECE) yield bytes.read(start + at, Math.min(PIECE, length - at))
    })(),
  )

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

const readView = async (bytes: Bytes, offset: number, length: number): Promise<DataView> =>
  viewOf(await bytes.read(offset, length))

/** Where the directory lies and how long it is. */
const findDirectory = async (bytes: Bytes): Promise<{ readonly offset: number; readonly size: number }> => {
  const tail = Math.min(bytes.size, END_BYTES + COMMENT_BYTES)
  const view = await readView(bytes, bytes.size - tail, tail)
  for (let at = tail - END_BYTES; at >= 0; at--) {
    if (view.getUint32(at, true) !== END) continue
    const [size, offset] = [view.getUint32(at + 12, true), view.getUint32(at + 16, true)]
    const end = bytes.size - tail + at
    if (size !== 0xffffffff && offset !== 0xffffffff) return { offset, size }
    const locator = await readView(bytes, end - 20, 20)
    if (locator.getUint32(0, true) !== END64_LOCATOR) break
    const end64 = await readView(bytes, Number(locator.getBigUint64(8, true)), 56)
    if (end64.getUint32(0, true) !== END64) break
    return { size: Number(end64.getBigUint64(40, true)), offset: Number(end64.getBigUint64(48, true)) }
  }
  throw damaged(bytes, {
    offset: bytes.size,
    found: 'the end of the file',
    expected: 'the directory that ends a zip file',
  })
}

/** What the directory says of a member. */
interface Entry {
  readonly name: string
  readonly method: number
  readonly encrypted: boolean
  readonly crc: number
  readonly packed: number
  readonly size: number
  /** Of the member's own header. */
  readonly offset: number
}

/** Sizes and offset from the zip64 field where the short ones are full. */
const longNumbers = (view: DataView, extra: number, end: number, short: readonly number[]): number[] => {
  const numbers = [...short]
  for (let at = extra; at + 4 <= end; at += 4 + view.getUint16(at + 2, true)) {
    if (view.getUint16(at, true) !== 1) continue
    let from = at + 4
    for (const [i, value] of short.entries()) {
      if (value !== 0xffffffff || from + 8 > end) continue
      numbers[i] = Number(view.getBigUint64(from, true))
      from += 8
    }
  }
  return numbers
}

const readEntries = (bytes: Bytes, start: number, directory: Uint8Array): Entry[] => {
  const view = viewOf(directory)
  const entries: Entry[] = []
  for (let at = 0; at < directory.length; ) {
    const whole = at + 46 <= directory.length
    const lengths = whole ? [28, 30, 32].map((field) => view.getUint16(at + field, true)) : []
    const next = at + 46 + lengths.reduce((a, b) => a + b, 0)
    if (!whole || view.getUint32(at, true) !== ENTRY || next > directory.length) {
      throw damaged(bytes, {
        offset: start + at,
        found: 'something else',
        expected: 'an entry of the zip directory',
      })
    }
    const name = Buffer.from(directory.subarray(at + 46, at + 46 + lengths[0])).toString('utf8')
    const extra = at + 46 + lengths[0]
    const short = [24, 20, 42].map((field) => view.getUint32(at + field, true))
    const [size, packed, offset] = longNumbers(view, extra, extra + lengths[1], short)
    entries.push({
      name,
      method: view.getUint16(at + 10, true),
      encrypted: (view.getUint16(at + 8, true) & 1) === 1,
      crc: view.getUint32(at + 16, true),
      packed,
      size,
      offset,
    })
    at = next
  }
  return entries
}

const openEntry = async (bytes: Bytes, entry: Entry): Promise<Bytes> => {
  const { method, encrypted, crc, packed, size, offset } = entry
  const name = `${bytes.name} (${entry.name})`
  const local = await readView(bytes, offset, 30)
  if (local.getUint32(0, true) !== LOCAL || encrypted || (method !== 0 && method !== 8)) {
    const odd = encrypted ? 'an encrypted member' : `compression method ${method}`
    throw damaged(bytes, {
      offset,
      found: local.getUint32(0, true) === LOCAL ? odd : 'something else',
      expected: 'a stored or deflated member of the zip',
    })
  }
  const start = offset + 30 + local.getUint16(26, true) + local.getUint16(28, true)
  if (method === 0) return bytesWithin(bytes, name, start, packed)
  if (size > mostUnpacked(packed)) {
    throw damaged(
      { name },
      {
        offset: 0,
        found: `a member that asks for ${size} bytes`,
        expected: `no more than ${mostUnpacked(packed)}, which is what so small a member or the memory can hold`,
        todo: 'save the arrays uncompressed (numpy.savez), or copy the file again',
      },
    )
  }
  const { data, complete } = await unpack(piecesOf(bytes, start, packed), createInflateRaw(), size).catch(
    (error: Error) => {
      const found = `deflated data with a fault (${error.message})`
      throw damaged(bytes, { offset: start, found, expected: `${size} intact bytes` })
    },
  )
  if (!complete || data.length !== size || crc32(data) !== crc) {
    const found = !complete
      ? 'more bytes'
      : data.length === size
        ? 'another checksum'
        : `${data.length} bytes`
    throw damaged(bytes, { offset: start, found, expected: `the ${size} bytes that were saved` })
  }
  return bytesInMemory(name, data)
}

/**
 * The members of a zip file, also beyond 4 GiB.
 * @throws naming file and byte when the directory is missing or damaged.
 */
export const openZip = async (bytes: Bytes): Promise<readonly ZipMember[]> => {
  const { offset, size } = await findDirectory(bytes)
  if (size > DIRECTORY_BYTES) {
    throw damaged(bytes, { offset, found: `a zip directory of ${size} bytes`, expected: 'a shorter one' })
  }
  const entries = readEntries(bytes, offset, await bytes.read(offset, size))
  if (entries.length > MOST_MEMBERS) {
    throw damaged(bytes, {
      offset,
      found: `${entries.length} members`,
      expected: `${MOST_MEMBERS} at most`,
      todo: 'save the arrays in fewer files, with many images each',
    })
  }
  // What small members that lie over each other unpack to is bounded together.
  const unpacked = entries.reduce((sum, { method, size }) => sum + (method === 0 ? 0 : size), 0)
  return entries.map((entry) => ({
    name: entry.name,
    open: async () => {
      const isAlone = entry.size > mostUnpacked(entry.packed) // which is refused by its own name
      if (unpacked <= UNPACKED_BYTES || isAlone) return openEntry(bytes, entry)
      throw damaged(bytes, {
        offset,
        found: `members that unpack to ${unpacked} bytes`,
        expected: `${UNPACKED_BYTES} at most`,
        todo: 'save the arrays uncompressed (numpy.savez)',
      })
    },
  }))
}
