/**
 * @file Parquet files as Hugging Face writes them: an image column of struct {bytes, path} (or of bytes alone), a
 * class label with its names in the file's metadata, a caption column.
 *
 * An image can only be reached through its row group, so row groups are decoded one by one and the last few kept:
 * reading in order costs each group once, reading at random is as fast as the groups are small.
 */

import path from 'node:path'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import {
  type AsyncBuffer,
  type ColumnMetaData,
  type Compressors,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
  parquetSchema,
  type SchemaTree,
} from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import { z } from 'zod'
import type { ImageInput } from '../images/decode.ts'
import { IMAGE_FORMATS } from '../images/scan.ts'
import type { DataSplit } from '../images/source.ts'
import { type Bytes, damaged, openBytes } from './bytes.ts'
import { type Container, listContainers } from './containers.ts'
import { SIDE_KEYS } from './jsonFacts.ts'
import { type ColumnChunk, checkPages } from './parquetPages.ts'
import { expectFew, openLabelled, type ReaderOptions, type UnlabelledRecord } from './records.ts'

/** Largest row group that is decoded at once: 1 GiB. */
const GROUP_BYTES = 2 ** 30
/** Decoded row groups kept, in bytes; the last two are kept whatever their size. */
const KEPT_BYTES = 2 ** 28

const MAGIC = 'PAR1'

/** Most bytes that so many compressed ones are allowed to give. */
const mostBytes = (compressed: number): number => Math.min(GROUP_BYTES, 2 ** 26 + 1100 * compressed)

/** The library's codecs, except that Node's own stand in for two that can loop on damaged data; none exceeds a limit. */
const bounded: Compressors = Object.fromEntries(
  Object.entries({
    ...compressors,
    GZIP: (input: Uint8Array, size: number) => gunzipSync(input, { maxOutputLength: size + 1 }),
    BROTLI: (input: Uint8Array, size: number) => brotliDecompressSync(input, { maxOutputLength: size + 1 }),
  }).map(([codec, decompress]) => [
    codec,
    (input: Uint8Array, size: number): Uint8Array => {
      if (!(size >= 0 && size <= mostBytes(input.length)))
        throw new Error(`a page of ${input.length} bytes asks for ${size}`)
      return size === 0 ? new Uint8Array(0) : decompress(input, size)
    },
  ]),
)

/** An open file. */
interface ParquetFile {
  readonly bytes: Bytes
  readonly buffer: AsyncBuffer
  readonly metadata: FileMetaData
  /** First row of each row group, and at the end the number of all rows. */
  readonly starts: readonly number[]
}

/** The library reads through this, so that what a file claims never reaches past its end. */
const bufferOf = (bytes: Bytes): AsyncBuffer => ({
  byteLength: bytes.size,
  slice: async (from, to = bytes.size) => {
    const piece = await bytes.read(from, to - from)
    return piece.byteLength === piece.buffer.byteLength
      ? (piece.buffer as ArrayBuffer)
      : (piece.slice().buffer as ArrayBuffer)
  },
})

/** Errors of the library become one sentence with file and place; our own already are. */
const explaining = async <T>(
  bytes: Bytes,
  { offset, what }: { readonly offset: number; readonly what: string },
  step: () => Promise<T>,
): Promise<T> => {
  try {
    return await step()
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error)
    if (reason.startsWith(bytes.name)) throw error
    // A value that the library took for another, or a length that no array has, says nothing to anyone.
    const isBlunder = error instanceof TypeError || error instanceof RangeError
    throw damaged(bytes, {
      offset,
      found: `${what} that cannot be read${isBlunder ? '' : ` (${reason})`}`,
      expected: 'an intact one',
    })
  }
}

const numberOf = (value: bigint | number | undefined): number => Number(value ?? Number.NaN)

/** Where the bytes of a column of a row group begin and how many there are. */
const placeOf = (meta: ColumnMetaData | undefined): { readonly start: number; readonly length: number } => {
  // some writers put 0 for no dictionary
  const start = numberOf(meta?.dictionary_page_offset || meta?.data_page_offset)
  return { start, length: numberOf(meta?.total_compressed_size) }
}

/** Checks what the footer says of a row group against the file. */
const checkGroup = (bytes: Bytes, metadata: FileMetaData, group: number): number => {
  const { num_rows, columns } = metadata.row_groups[group]
  const rows = numberOf(num_rows)
  if (!Number.isSafeInteger(rows) || rows < 0 || rows > 8 * bytes.size) {
    throw damaged(bytes, {
      offset: bytes.size - 8,
      found: `a footer with ${rows} rows in row group ${group}`,
      expected: 'a number that fits the file',
    })
  }
  for (const { meta_data } of columns) {
    const { start, length } = placeOf(meta_data)
    const end = start + length
    const values = numberOf(meta_data?.num_values)
    // entries may be more than rows in a list, or take less than a bit each, but not by the thousand
    if (!(values >= 0 && values <= 64 * Math.max(rows, bytes.size))) {
      throw damaged(bytes, {
        offset: bytes.size - 8,
        found: `a footer with ${values} entries in a column of row group ${group}`,
        expected: `a number that fits its ${rows} rows`,
      })
    }
    if (!(start >= 0 && length >= 0 && end <= bytes.size)) {
      throw damaged(bytes, {
        offset: bytes.size - 8,
        found: `a footer that puts a column of row group ${group} at bytes ${start} to ${end}`,
        expected: `a place within the file's ${bytes.size} bytes`,
      })
    }
  }
  return rows
}

/** @throws naming file and byte when the file is cut off, no Parquet or its footer is damaged. */
const openParquet = async (file: string): Promise<ParquetFile> => {
  const bytes = await openBytes(file)
  const textAt = async (offset: number): Promise<string> =>
    Buffer.from(await bytes.read(offset, 4)).toString('latin1')
  for (const offset of bytes.size < 12 ? [] : [0, bytes.size - 4]) {
    const found = await textAt(offset)
    if (found === MAGIC) continue
    const shown = JSON.stringify(found)
    throw damaged(bytes, {
      offset,
      found: shown,
      expected: `"${MAGIC}", which begins and ends a Parquet file`,
    })
  }
  if (bytes.size < 12) {
    const found = `only ${bytes.size} bytes`
    throw damaged(bytes, { offset: bytes.size, found, expected: 'a Parquet file' })
  }
  const buffer = bufferOf(bytes)
  const footer = { offset: bytes.size - 8, what: 'a footer' }
  return explaining(bytes, footer, async () => {
    const metadata = await parquetMetadataAsync(buffer, { geoparquet: false })
    const starts = [0]
    for (const group of metadata.row_groups.keys())
      starts.push(starts[group] + checkGroup(bytes, metadata, group))
    return { bytes, buffer, metadata, starts }
  })
}

/** What Hugging Face's `datasets` keeps in the file about its columns. */
const featuresSchema = z.object({
  info: z.object({
    features: z.record(
      z.string(),
      z.looseObject({ _type: z.string().optional(), names: z.array(z.string()).optional() }).catch({}),
    ),
  }),
})

type Features = z.infer<typeof featuresSchema>['info']['features']

const featuresOf = ({ key_value_metadata }: FileMetaData): Features => {
  const entry = key_value_metadata?.find(({ key }) => key === 'huggingface')
  try {
    return featuresSchema.parse(JSON.parse(entry?.value ?? '')).info.features
  } catch {
    return {} // the names are a help, not a need
  }
}

/** Which columns hold what. */
interface Columns {
  readonly image: string
  readonly label: string | null
  readonly caption: string | null
  /** What says the split. */
  readonly side: string | null
  /** Class names of the label column. */
  readonly names: readonly string[] | null
}

const IMAGE_NAMES = ['image', 'img', 'image', 'photo', 'jpg', 'jpeg', 'png', 'webp', 'bytes', 'image_bytes']
const LABEL_NAMES = ['label', 'labels', 'fine_label', 'class', 'cls', 'target', 'class_name', 'label_name']
const CAPTION_NAMES = ['caption', 'captions', 'text', 'description', 'prompt', 'title']

const isText = ({ element }: SchemaTree): boolean =>
  element.converted_type === 'UTF8' || element.logical_type?.type === 'STRING'

const isStruct = (column: SchemaTree): boolean =>
  column.children.some(({ element }) => element.name === 'bytes')

const isBytes = (column: SchemaTree): boolean =>
  column.children.length === 0 && column.element.type === 'BYTE_ARRAY' && !isText(column)

/** pandas makes floats of whole numbers where one is missing. */
const isNumber = ({ element, children }: SchemaTree): boolean =>
  children.length === 0 && ['INT32', 'INT64', 'FLOAT', 'DOUBLE', 'BOOLEAN'].includes(element.type ?? '')

/** The column that is called by the first of the names among those that fit. */
const called = (
  columns: readonly SchemaTree[],
  names: readonly string[],
  fits: (column: SchemaTree) => boolean,
): string | null => {
  const fitting = columns.filter(fits).map(({ element }) => element.name)
  return names.find((name) => fitting.includes(name)) ?? null
}

/** @throws when there is no column of images. */
const columnsOf = ({ bytes, metadata }: ParquetFile): Columns => {
  const columns = parquetSchema(metadata).children
  const features = featuresOf(metadata)
  const ofType = (type: string): string[] =>
    columns.map(({ element }) => element.name).filter((name) => features[name]?._type === type)
  const images = columns.filter((column) => isStruct(column) || isBytes(column))
  const image =
    ofType('Image')[0] ??
    called(columns, IMAGE_NAMES, isStruct) ??
    called(columns, IMAGE_NAMES, isBytes) ??
    (images.length === 1 ? images[0].element.name : undefined)
  if (image === undefined) {
    throw damaged(bytes, {
      offset: bytes.size - 8,
      found: `columns ${columns.map(({ element }) => element.name).join(', ') || '(none)'}`,
      expected: 'one of images: struct {bytes, path} or bytes, called image',
      todo: 'rename the column or pass other files',
    })
  }
  const labels = ofType('ClassLabel')
  const label =
    LABEL_NAMES.find((name) => labels.includes(name)) ??
    labels[0] ??
    called(columns, LABEL_NAMES, (column) => isNumber(column) || isText(column))
  const names = (label === null ? undefined : features[label]?.names) ?? null
  const caption = called(columns, CAPTION_NAMES, (column) => isText(column) || column.children.length > 0)
  const side = called(columns, SIDE_KEYS, isText)
  return { image, label, caption: caption === label ? null : caption, side, names }
}

/** What a column's pages have to agree with. */
const chunkOf = (metadata: FileMetaData, meta: ColumnMetaData): ColumnChunk => {
  let at = parquetSchema(metadata)
  let [maxDefinition, maxRepetition] = [0, 0]
  for (const name of meta.path_in_schema) {
    const next = at.children.find(({ element }) => element.name === name)
    if (!next) throw new Error(`a column ${meta.path_in_schema.join('.')} that the schema lacks`)
    at = next
    if (at.element.repetition_type !== 'REQUIRED') maxDefinition++
    if (at.element.repetition_type === 'REPEATED') maxRepetition++
  }
  const { codec } = meta
  const decompress = (page: Uint8Array, size: number): Uint8Array => {
    if (codec === 'UNCOMPRESSED') return page
    const known = bounded[codec]
    if (!known) throw new Error(`unknown compression ${codec}`)
    return known(page, size)
  }
  return { values: numberOf(meta.num_values), maxDefinition, maxRepetition, mostBytes, decompress }
}

/** Some columns of one row group. @throws naming file and byte when a page is damaged. */
const readGroup = async (
  { bytes, buffer, metadata, starts }: ParquetFile,
  group: number,
  columns: readonly string[],
): Promise<readonly Readonly<Record<string, unknown>>[]> => {
  const [rowStart, rowEnd] = [starts[group], starts[group + 1]]
  const chunks = metadata.row_groups[group].columns.filter(({ meta_data }) =>
    columns.includes(meta_data?.path_in_schema[0] ?? ''),
  )
  const place = { offset: placeOf(chunks[0]?.meta_data).start, what: `row group ${group}` }
  return explaining(bytes, place, async () => {
    for (const { meta_data } of chunks) {
      const { start, length } = placeOf(meta_data)
      checkPages(await bytes.read(start, length), chunkOf(metadata, meta_data!))
    }
    const file = buffer
    // without utf8: false the bytes of images would be taken for text
    const options = {
      file,
      metadata,
      columns: [...columns],
      rowStart,
      rowEnd,
      compressors: bounded,
      utf8: false,
    }
    const rows = await parquetReadObjects({ ...options, geoparquet: false })
    if (rows.length !== rowEnd - rowStart || rows.includes(undefined as never))
      throw new Error(`${rows.length} rows of ${rowEnd - rowStart}`)
    return rows
  })
}

const sizeOfGroup = ({ metadata }: ParquetFile, group: number, column: string): number =>
  metadata.row_groups[group].columns
    .filter(({ meta_data }) => meta_data?.path_in_schema[0] === column)
    .reduce((sum, { meta_data }) => sum + numberOf(meta_data?.total_uncompressed_size), 0)

/** Image columns of the row groups used last, shared by all files of a set. */
const groupCache = () => {
  interface Kept {
    readonly size: number
    readonly rows: ReturnType<typeof readGroup>
  }
  const kept = new Map<string, Kept>()
  const evict = (): void => {
    const sizes = [...kept.values()].map(({ size }) => size)
    let total = sizes.reduce((a, b) => a + b, 0)
    for (const [key, { size }] of kept) {
      if (total <= KEPT_BYTES || kept.size <= 2) return
      kept.delete(key)
      total -= size
    }
  }
  return (file: ParquetFile, group: number, column: string): ReturnType<typeof readGroup> => {
    const key = `${file.bytes.name}\0${group}`
    const known = kept.get(key)
    kept.delete(key) // a map keeps the order of insertion, so the last used goes to the end
    const entry = known ?? {
      size: sizeOfGroup(file, group, column),
      rows: readGroup(file, group, [column]),
    }
    kept.set(key, entry)
    evict()
    return entry.rows
  }
}

const textOf = (value: unknown): string | null => {
  if (typeof value === 'string') return value
  if (value instanceof Uint8Array) return Buffer.from(value).toString('utf8')
  return Array.isArray(value) ? textOf(value[0]) : null
}

const labelOf = (value: unknown): number | string | null => {
  if (typeof value === 'boolean') return String(value)
  return typeof value === 'bigint' || typeof value === 'number' ? Number(value) : textOf(value)
}

/** The encoded image of a row: its bytes, or those of the struct. */
const imageOf = (value: unknown): ImageInput => {
  if (value instanceof Uint8Array) return value
  const inner = typeof value === 'object' && value !== null && 'bytes' in value ? value.bytes : null
  return inner instanceof Uint8Array ? inner : { reason: 'has no bytes in the file' }
}

type Load = (file: ParquetFile, group: number, column: string) => ReturnType<typeof readGroup>

const recordsOf = async (
  container: Container,
  file: ParquetFile,
  columns: Columns,
  load: Load,
): Promise<UnlabelledRecord[]> => {
  const { image, label, caption, side } = columns
  const records: UnlabelledRecord[] = []
  const known = [label, caption, side].filter((column) => column !== null)
  expectFew(file.bytes, file.starts.at(-1)!)
  for (const group of file.metadata.row_groups.keys()) {
    const size = sizeOfGroup(file, group, image)
    if (!(size <= GROUP_BYTES)) {
      throw damaged(file.bytes, {
        offset: file.bytes.size - 8,
        found: `row group ${group} of ${size} bytes`,
        expected: `no more than ${GROUP_BYTES}`,
        todo: 'write the file again with a few hundred images per row group',
      })
    }
    const rows = known.length > 0 ? await readGroup(file, group, known) : null
    const start = file.starts[group]
    for (let i = 0; i < file.starts[group + 1] - start; i++) {
      records.push({
        id: `${container.id}/${start + i}`,
        label: label === null ? null : labelOf(rows?.[i][label]),
        caption: caption === null ? '' : (textOf(rows?.[i][caption]) ?? '').replace(/\s+/g, ' ').trim(),
        side: side === null ? undefined : (textOf(rows?.[i][side]) ?? undefined),
        half: container.half,
        load: async () => imageOf((await load(file, group, image))[i][image]),
      })
    }
  }
  return records
}

/**
 * Opens Parquet files, one or a folder of them. Classes come from the label column, their names from the `huggingface`
 * metadata where it is there; captions from a caption or text column. Files called train and validation or test are
 * the split, else a tenth of the rows by hash.
 * @throws in one sentence when a file is missing, damaged or cut off, or has no column of images.
 */
export const openParquetImages = async (options: ReaderOptions): Promise<DataSplit> => {
  const listing = await listContainers('parquet', options.path, {
    names: /\.parquet$/i,
    words: '.parquet files',
  })
  const { containers } = listing
  const load = groupCache()
  const records: UnlabelledRecord[] = []
  let names: readonly string[] | null = null
  const labelColumns = new Set<string>()
  for (const container of containers) {
    const file = await openParquet(container.path)
    const columns = columnsOf(file)
    if (names && columns.names && names.join('\n') !== columns.names.join('\n')) {
      throw new Error(
        `${container.path}: found other class names than in the files before it, expected the same ones; pass files of one data set`,
      )
    }
    names ??= columns.names
    if (columns.label !== null) labelColumns.add(columns.label)
    for (const record of await recordsOf(container, file, columns, load)) records.push(record)
  }
  if (records.length === 0) {
    throw new Error(`${path.resolve(options.path)}: found no rows, expected images; pass other files`)
  }
  return openLabelled(
    {
      source: 'parquet',
      ...listing,
      labelledBy: `column ${[...labelColumns].join(', ')}`,
      expected: `intact ${IMAGE_FORMATS} images`,
      files: containers.map((container) => container.path),
      ...{ records, names },
    },
    options,
  )
}
