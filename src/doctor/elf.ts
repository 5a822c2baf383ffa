/** @file The libraries that a Linux library needs, as its file says. */
import { closeSync, openSync, readSync } from 'node:fs'

const [stringTableTag, neededTag] = [5n, 1n]
/** Program headers of these types: what is loaded where, and the dynamic section. */
const [loadType, dynamicType] = [1, 2]

/** Names in the dynamic section of a 64-bit little-endian ELF file (DT_NEEDED); null for any other file. */
export const neededLibraries = (path: string): string[] | null => {
  const fd = openSync(path, 'r')
  const read = (at: number, length: number): Buffer => {
    const bytes = Buffer.alloc(length)
    return bytes.subarray(0, readSync(fd, bytes, 0, length, at))
  }
  try {
    const head = read(0, 64)
    if (head.length < 64 || head.readUInt32BE(0) !== 0x7f454c46 || head[4] !== 2 || head[5] !== 1) return null
    const [first, size, count] = [
      Number(head.readBigUInt64LE(32)),
      head.readUInt16LE(54),
      head.readUInt16LE(56),
    ]
    const segments = Array.from({ length: count }, (_, i) => {
      const entry = read(first + i * size, 56)
      const [offset, address, bytes] = [8, 16, 32].map((at) => Number(entry.readBigUInt64LE(at)))
      return { type: entry.readUInt32LE(0), offset, address, bytes }
    })
    const dynamic = segments.find(({ type }) => type === dynamicType)
    if (dynamic === undefined) return []
    const section = read(dynamic.offset, dynamic.bytes)
    const entries = Array.from({ length: Math.floor(section.length / 16) }, (_, i) => ({
      tag: section.readBigUInt64LE(16 * i),
      value: Number(section.readBigUInt64LE(16 * i + 8)),
    }))
    const strings = entries.find(({ tag }) => tag === stringTableTag)?.value ?? 0
    const home = segments.find(
      ({ type, address, bytes }) => type === loadType && strings >= address && strings < address + bytes,
    )
    if (home === undefined) return []
    return entries
      .filter(({ tag }) => tag === neededTag)
      .map(({ value }) => {
        const text = read(strings - home.address + home.offset + value, 256)
        return text.subarray(0, text.indexOf(0)).toString('latin1')
      })
  } catch (error) {
    if (error instanceof RangeError) return null // numbers that lead out of the file
    throw error
  } finally {
    closeSync(fd)
  }
}
