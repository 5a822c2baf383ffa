/**
 * @file Writes small Parquet files by the format's specification (https://parquet.apache.org/docs/file-format/): one row group,
 * plain values, nothing compressed. For columns of types that the golden files do not have.
 */

/** Types of columns, by the format's numbers. */
const TYPES = { boolean: 0, int32: 1, int64: 2, float: 4, double: 5, bytes: 6, text: 6 } as const

/** A column; null for a missing value. */
export interface ParquetColumn {
  readonly name: string
  readonly type: keyof typeof TYPES
  readonly values: readonly (boolean | number | string | Uint8Array | null)[]
}

const varint = (value: number): number[] =>
  value < 0x80 ? [value] : [(value % 0x80) | 0x80, ...varint(Math.floor(value / 0x80))]

/** A field of Thrift's compact protocol. */
interface Field {
  readonly type: number
  readonly bytes: Buffer
}

const int = (value: number, type = 6): Field => ({ type, bytes: Buffer.from(varint(2 * value)) })
const int32 = (value: number): Field => int(value, 5)
const binary = (text: string): Field => {
  const bytes = Buffer.from(text)
  return { type: 8, bytes: Buffer.concat([Buffer.from(varint(bytes.length)), bytes]) }
}
const list = (items: readonly Field[]): Field => {
  const head = Buffer.from([(items.length << 4) | items[0].type])
  return { type: 9, bytes: Buffer.concat([head, ...items.map(({ bytes }) => bytes)]) }
}
/** Fields by their numbers. */
const struct = (fields: Readonly<Record<number, Field | undefined>>): Field => {
  let last = 0
  const parts = Object.entries(fields).map(([key, field]) => {
    if (field === undefined) return Buffer.alloc(0)
    const { type, bytes } = field
    const head = Buffer.from([((Number(key) - last) << 4) | type])
    last = Number(key)
    return Buffer.concat([head, bytes])
  })
  return { type: 12, bytes: Buffer.concat([...parts, Buffer.from([0])]) }
}

/** Eight to a byte, lowest first. */
const bits = (values: readonly boolean[]): Buffer => {
  const bytes = Buffer.alloc(Math.ceil(values.length / 8))
  for (const [i, value] of values.entries()) if (value) bytes[i >> 3] |= 1 << (i & 7)
  return bytes
}

const plain = (type: ParquetColumn['type'], value: boolean | number | string | Uint8Array): Buffer => {
  const out = Buffer.alloc(8)
  if (type === 'int32') return out.subarray(0, out.writeInt32LE(Number(value)))
  if (type === 'int64') return out.subarray(0, out.writeBigInt64LE(BigInt(Number(value))))
  if (type === 'float') return out.subarray(0, out.writeFloatLE(Number(value)))
  if (type === 'double') return out.subarray(0, out.writeDoubleLE(Number(value)))
  const bytes = typeof value === 'string' ? Buffer.from(value) : Buffer.from(value as Uint8Array)
  out.writeUInt32LE(bytes.length)
  return Buffer.concat([out.subarray(0, 4), bytes])
}

/** A page with which values are there, and those. */
const page = ({ type, values }: ParquetColumn): Buffer => {
  const there = bits(values.map((value) => value !== null))
  const levels = Buffer.from([...varint(there.length * 2 + 1), ...there])
  const length = Buffer.alloc(4)
  length.writeUInt32LE(levels.length)
  const known = values.filter((value) => value !== null)
  const data = type === 'boolean' ? [bits(known.map(Boolean))] : known.map((value) => plain(type, value))
  const content = Buffer.concat([length, levels, ...data])
  const about = struct({ 1: int32(values.length), 2: int32(0), 3: int32(3), 4: int32(3) })
  const header = struct({ 1: int32(0), 2: int32(content.length), 3: int32(content.length), 5: about })
  return Buffer.concat([header.bytes, content])
}

/** A file of these columns, all of which may have missing values. */
export const parquetFile = (columns: readonly ParquetColumn[]): Buffer => {
  const rows = columns[0].values.length
  let offset = 4
  const pages = columns.map(page)
  const chunks = columns.map(({ name, type }, i) => {
    const size = int(pages[i].length)
    const meta = struct({
      1: int32(TYPES[type]),
      2: list([int32(0)]),
      3: list([binary(name)]),
      4: int32(0),
      5: int(rows),
      6: size,
      7: size,
      9: int(offset),
    })
    const chunk = struct({ 2: int(offset), 3: meta })
    offset += pages[i].length
    return chunk
  })
  const elements = columns.map(({ name, type }) =>
    struct({
      1: int32(TYPES[type]),
      3: int32(1),
      4: binary(name),
      6: type === 'text' ? int32(0) : undefined,
    }),
  )
  const root = struct({ 4: binary('schema'), 5: int32(columns.length) })
  const group = struct({ 1: list(chunks), 2: int(offset - 4), 3: int(rows) })
  const { bytes } = struct({ 1: int32(1), 2: list([root, ...elements]), 3: int(rows), 4: list([group]) })
  const length = Buffer.alloc(4)
  length.writeUInt32LE(bytes.length)
  return Buffer.concat([Buffer.from('PAR1'), ...pages, bytes, length, Buffer.from('PAR1')])
}
