/**
 * @file Looks through the page headers of a Parquet column before the library decodes it: the library trusts them,
 * and a single wrong bit there can make it ask for all memory or never end.
 */

import type { PageHeader } from 'hyparquet'
import { parquetHeader } from 'hyparquet/src/column.js'

/** What the footer says of a column of one row group. */
export interface ColumnChunk {
  /** Entries of all pages together. */
  readonly values: number
  /** Most bytes that a page of so many compressed ones may have. */
  mostBytes(compressed: number): number
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

/**
 * Goes from page to page through the bytes of a column.
 * @throws when a header is damaged or the entries are not those that the footer promises.
 */
export const checkPages = (column: Uint8Array, chunk: ColumnChunk): void => {
  const reader = { view: new DataView(column.buffer, column.byteOffset, column.byteLength), offset: 0 }
  let left = chunk.values
  for (let page = 0; left > 0; page++) {
    const header = parquetHeader(reader)
    const fault = faultOf(header, column.length - reader.offset, left, chunk)
    if (fault !== null) throw new Error(`page ${page} has ${fault}`)
    reader.offset += header.compressed_page_size
    left -= header.data_page_header?.num_values ?? header.data_page_header_v2?.num_values ?? 0
  }
}
