/**
 * @file Looks through the pages of a Parquet column before the library decodes it: the library trusts what they say
 * of themselves, and a single wrong bit there can make it ask for all memory or never end.
 */

import type { PageHeader } from 'hyparquet'
import { parquetHeader } from 'hyparquet/src/column.js'

/** What the footer says of a column of one row group. */
export interface ColumnChunk {
  /** Entries of all pages together. */
  readonly values: number
  /** Deepest nesting of optional and of repeated parts. */
  readonly maxDefinition: number
  readonly maxRepetition: number
  /** Most bytes that a page of so many compressed ones may have. */
  mostBytes(compressed: number): number
  decompress(page: Uint8Array, size: number): Uint8Array
}

const isCount = (n: unknown, most: number): n is number =>
  Number.isSafeInteger(n) && Number(n) >= 0 && Number(n) <= most

/** What is wrong with the header of a page with `left` entries to come; null when nothing is. */
const faultOf = (header: PageHeader, room: number, left: number, chunk: ColumnChunk): string | null => {
  const { type, compressed_page_size: packed, uncompressed_page_size: size } = header
  if (!isCount(packed, room)) return `${packed} bytes where ${room} are left`
  if (!isCount(size, chunk.mostBytes(packed))) return `${packed} bytes that ask for ${size}`
  if (type === 'DICTIONARY_PAGE') {
    const entries = header.dictionary_page_header?.num_values
    return isCount(entries, chunk.values) ? null : `a dictionary of ${entries} entries`
  }
  const data = type === 'DATA_PAGE' ? header.data_page_header : header.data_page_header_v2
  if (!data?.encoding || (type !== 'DATA_PAGE' && type !== 'DATA_PAGE_V2')) return 'an unknown kind'
  if (!isCount(data.num_values, left)) return `${data.num_values} entries where ${left} are left`
  const v2 = type === 'DATA_PAGE_V2' ? header.data_page_header_v2 : undefined
  if (!v2) return null
  const { num_nulls, num_rows, definition_levels_byte_length: d, repetition_levels_byte_length: r } = v2
  const fits = isCount(num_nulls, v2.num_values) && isCount(num_rows, v2.num_values)
  return fits && isCount(d, packed) && isCount(r, packed - d) && d + r <= size ? null : 'impossible lengths'
}

/** Bits of the levels 0..most. */
const levelBits = (most: number): number => 32 - Math.clz32(most)

/** Goes through run lengths without unrolling them. @throws when a run is far longer than all `count` entries. */
const checkRuns = (data: Uint8Array, bits: number, count: number): void => {
  for (let at = 0, seen = 0; seen < count && at < data.length; ) {
    let header = 0
    let shift = 0
    let byte = 0x80
    while (byte & 0x80 && at < data.length) {
      byte = data[at++]
      header += (byte & 0x7f) * 2 ** shift
      shift += 7
    }
    const packed = header % 2 === 1
    const run = Math.floor(header / 2) * (packed ? 8 : 1)
    // writers fill the last run up, but not by more than this
    if (run > 2 * count + 512) throw new Error(`a run of ${run} entries where there are ${count}`)
    at += packed ? (run / 8) * bits : Math.ceil(bits / 8)
    seen += run
  }
}

/** Checks the runs of a data page: levels, and indices into a dictionary. */
const checkData = (page: Uint8Array, header: PageHeader, chunk: ColumnChunk): void => {
  const v2 = header.data_page_header_v2
  const { num_values: count, encoding } = v2 ?? header.data_page_header!
  let at = 0
  const levels = (most: number, length: number | undefined): void => {
    if (most === 0) return
    const prefix = length === undefined ? 4 : 0
    const view = new DataView(page.buffer, page.byteOffset + at)
    const bytes = length ?? view.getUint32(0, true)
    // not up to `bytes`: the library does not heed it while entries are missing
    checkRuns(page.subarray(at + prefix), levelBits(most), count)
    at += prefix + bytes
  }
  levels(chunk.maxRepetition, v2?.repetition_levels_byte_length)
  levels(chunk.maxDefinition, v2?.definition_levels_byte_length)
  const levelBytes = v2 ? v2.repetition_levels_byte_length + v2.definition_levels_byte_length : 0
  const rest = page.subarray(v2 ? levelBytes : at)
  const values =
    v2 && v2.is_compressed !== false
      ? chunk.decompress(rest, header.uncompressed_page_size - levelBytes)
      : rest
  if (encoding === 'RLE_DICTIONARY' || encoding === 'PLAIN_DICTIONARY')
    checkRuns(values.subarray(1), values[0], count)
}

/**
 * Goes from page to page through the bytes of a column.
 * @throws when a page is damaged in a way that the library would not survive, or the entries are not those that the
 * footer promises.
 */
export const checkPages = (column: Uint8Array, chunk: ColumnChunk): void => {
  const reader = { view: new DataView(column.buffer, column.byteOffset, column.byteLength), offset: 0 }
  let left = chunk.values
  for (let page = 0; left > 0; page++) {
    const header = parquetHeader(reader)
    const fault = faultOf(header, column.length - reader.offset, left, chunk)
    if (fault !== null) throw new Error(`page ${page} has ${fault}`)
    const data = column.subarray(reader.offset, reader.offset + header.compressed_page_size)
    if (header.type === 'DATA_PAGE')
      checkData(chunk.decompress(data, header.uncompressed_page_size), header, chunk)
    else if (header.type === 'DATA_PAGE_V2') checkData(data, header, chunk)
    reader.offset += data.length
    left -= header.data_page_header?.num_values ?? header.data_page_header_v2?.num_values ?? 0
  }
}
