/** @file Bytes of pixels as a PNG file: 8 bits, RGB, no filter. */
import { zlibSync } from 'fflate'

/** CRC-32 of ISO 3309, as PNG has it (RFC 2083, section 15). */
const crcTable = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n
  for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1
  return c
})

const crcOf = (bytes: Uint8Array): number => {
  let c = 0xffffffff
  for (const byte of bytes) c = crcTable[(c ^ byte) & 0xff] ^ (c >>> 8)
  return ~c >>> 0
}

const chunk = (type: string, content: Uint8Array): Uint8Array => {
  const bytes = new Uint8Array(12 + content.length)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, content.length)
  bytes.set(new TextEncoder().encode(type), 4)
  bytes.set(content, 8)
  view.setUint32(8 + content.length, crcOf(bytes.subarray(4, 8 + content.length)))
  return bytes
}

/** The pieces of a PNG file. @param rgb [height, width, 3] */
export const pngOf = (
  rgb: Uint8Array,
  { width, height }: Readonly<Record<'width' | 'height', number>>,
): Uint8Array[] => {
  const head = new Uint8Array(13)
  const view = new DataView(head.buffer)
  view.setUint32(0, width)
  view.setUint32(4, height)
  head.set([8, 2], 8) // 8 bits, RGB
  const row = 3 * width
  const lines = new Uint8Array(height * (row + 1))
  for (let y = 0; y < height; y++) lines.set(rgb.subarray(y * row, (y + 1) * row), y * (row + 1) + 1)
  return [
    Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a),
    chunk('IHDR', head),
    chunk('IDAT', zlibSync(lines)),
    chunk('IEND', new Uint8Array(0)),
  ]
}
