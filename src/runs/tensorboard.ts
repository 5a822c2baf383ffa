/**
 * @file TensorBoard event files: TFRecord framing around Event messages (tensorflow/core/util/event.proto and
 * summary.proto), with scalars only.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { openAppender } from '../files/append.ts'
import { writeFileAtomic } from '../files/atomic.ts'

/** An open event file. */
export interface EventWriter {
  /** Path of the file. */
  readonly path: string
  /** Adds one number; stored as float32. */
  scalar(tag: string, value: number, step: number): void
  /** Returns when all numbers would survive a power cut. */
  sync(): void
  /** Closes the file. */
  close(): void
}

const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  return crc
})

/** CRC-32C (Castagnoli, RFC 3720 appendix B.4) as an unsigned 32-bit number. */
export const crc32c = (bytes: Uint8Array): number => {
  let crc = 0xffffffff
  for (const byte of bytes) crc = (crc >>> 8) ^ crcTable[(crc ^ byte) & 0xff]
  return ~crc >>> 0
}

/** TFRecord's rotation and offset, which keep the checksum of data that holds checksums from degenerating. */
const maskedCrc32c = (bytes: Uint8Array): number => {
  const crc = crc32c(bytes)
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0
}

const record = (data: Uint8Array): Uint8Array[] => {
  const head = Buffer.alloc(12)
  head.writeBigUInt64LE(BigInt(data.length))
  head.writeUInt32LE(maskedCrc32c(head.subarray(0, 8)), 8)
  const tail = Buffer.alloc(4)
  tail.writeUInt32LE(maskedCrc32c(data))
  return [head, data, tail]
}

/** The records of a file that are whole, as they lie in it. */
const wholeRecords = (file: Buffer): Uint8Array[] => {
  const found: Uint8Array[] = []
  for (let at = 0; at + 16 <= file.length; ) {
    const head = file.subarray(at, at + 8)
    const end = at + 16 + Number(file.readBigUInt64LE(at))
    // Where the next record begins is only known by a length that is right.
    if (file.readUInt32LE(at + 8) !== maskedCrc32c(head) || end > file.length) break
    if (file.readUInt32LE(end - 4) === maskedCrc32c(file.subarray(at + 12, end - 4)))
      found.push(file.subarray(at, end))
    at = end
  }
  return found
}

const eventsPrefix = 'events.out.tfevents.'

/**
 * Takes records that were cut off or damaged out of the event files of a directory: TensorBoard would show nothing of what
 * follows them in a file.
 * @param warn told of each such file
 */
export const dropDamagedEvents = (directory: string, warn: (text: string) => void): void => {
  if (!existsSync(directory)) return
  for (const name of readdirSync(directory).filter((name) => name.startsWith(eventsPrefix))) {
    const path = join(directory, name)
    const file = readFileSync(path)
    const whole = wholeRecords(file)
    const bytes = file.length - whole.reduce((sum, { length }) => sum + length, 0)
    if (bytes === 0) continue
    writeFileAtomic(path, whole)
    warn(`${path}: ${bytes} bytes are no whole records; they are left out`)
  }
}

const varint = (x: number): number[] => {
  const bytes: number[] = []
  // Division, not shifts: steps may pass 2³².
  for (; x >= 128; x = Math.floor(x / 128)) bytes.push((x % 128) | 128)
  return [...bytes, x]
}

// Protobuf fields: a key (number · 8 + wire type), then the value.
const varintField = (field: number, x: number): Uint8Array => Uint8Array.from([field * 8, ...varint(x)])

const doubleField = (field: number, x: number): Uint8Array => {
  const bytes = Buffer.alloc(9)
  bytes[0] = field * 8 + 1
  bytes.writeDoubleLE(x, 1)
  return bytes
}

const floatField = (field: number, x: number): Uint8Array => {
  const bytes = Buffer.alloc(5)
  bytes[0] = field * 8 + 5
  bytes.writeFloatLE(x, 1)
  return bytes
}

const bytesField = (field: number, ...parts: Uint8Array[]): Uint8Array => {
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  return Buffer.concat([Uint8Array.from([field * 8 + 2, ...varint(length)]), ...parts])
}

const stringField = (field: number, text: string): Uint8Array => bytesField(field, Buffer.from(text))

/** Files opened by this process. */
let opened = 0

/**
 * Starts a new event file in a directory, which is made where it does not exist; TensorBoard merges all files of a
 * directory.
 * @param options.firstStep TensorBoard forgets what earlier files of the directory say about this step and later ones
 * @param options.now clock in seconds since 1970, for tests.
 */
export const openEvents = (
  directory: string,
  options: { readonly firstStep: number; readonly now?: () => number },
): EventWriter => {
  const { firstStep, now = () => Date.now() / 1000 } = options
  mkdirSync(directory, { recursive: true })
  // The process id and the count keep writers that start within a second of each other from meeting in one file.
  const second = String(Math.floor(now())).padStart(10, '0')
  const path = join(directory, `${eventsPrefix}${second}.${hostname()}.${process.pid}.${opened++}`)
  const file = openAppender(path)

  const write = (...fields: Uint8Array[]): void =>
    file.append(record(Buffer.concat([doubleField(1, now()), ...fields])))
  write(stringField(3, 'brain.Event:2'))
  // session_log with status START = 1. In every file: TensorBoard passes over the first START of a directory, and at
  // each later one forgets all tags from its step on.
  write(varintField(2, firstStep), bytesField(7, varintField(1, 1)))
  return {
    path,
    scalar: (tag, value, step) =>
      write(varintField(2, step), bytesField(5, bytesField(1, stringField(1, tag), floatField(2, value)))),
    sync: file.sync,
    close: file.close,
  }
}
