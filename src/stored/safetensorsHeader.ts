/** @file The JSON header of a safetensors file: what it says, and whether it fits the file. */
import {
  bytesPerElement,
  type DType,
  type HostTensor,
  type Shape,
  showShape,
  sizeOf,
} from '../engine/host/tensor.ts'

/** Where a tensor lies. */
export interface TensorEntry {
  readonly dtype: DType
  readonly shape: Shape
  /** First byte and byte after the last, counted from the end of the header. */
  readonly begin: number
  readonly end: number
}

/** Where a tensor lies whose elements are of a type that the graph does not know. */
export interface ForeignEntry extends Omit<TensorEntry, 'dtype'> {
  /** The format's name of the type. */
  readonly storedAs: string
}

/** A checked header. */
export interface SafetensorsHeader {
  readonly entries: ReadonlyMap<string, TensorEntry>
  /** Tensors of other types, which other programs wrote. */
  readonly foreign: ReadonlyMap<string, ForeignEntry>
  readonly metadata: Record<string, string>
  /** Position in the file of the first tensor byte. */
  readonly dataStart: number
}

/** The format's names of the dtypes. */
export const dtypeNames: Readonly<Record<DType, string>> = {
  float32: 'F32',
  float16: 'F16',
  int32: 'I32',
  int64: 'I64',
  bool: 'BOOL',
}

/** The bytes of a tensor as they lie in a file. */
export const bytesOf = ({ data }: HostTensor): Uint8Array =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength)

const dtypesByName = new Map(Object.entries(dtypeNames).map(([dtype, name]) => [name, dtype as DType]))

/** The format's other types, with the bytes of an element. */
const foreignBytes: ReadonlyMap<string, number> = new Map([
  ...(['U8', 'I8', 'F8_E4M3', 'F8_E5M2', 'F8_E8M0'] as const).map((name) => [name, 1] as const),
  ...(['U16', 'I16', 'BF16'] as const).map((name) => [name, 2] as const),
  ...(['U32'] as const).map((name) => [name, 4] as const),
  ...(['U64', 'F64', 'C64'] as const).map((name) => [name, 8] as const),
])

const isSize = (x: unknown): x is number => Number.isSafeInteger(x) && (x as number) >= 0

const isRecord = (x: unknown): x is Record<string, unknown> =>
  typeof x === 'object' && x !== null && !Array.isArray(x)

const parseMetadata = (path: string, value: unknown): Record<string, string> => {
  const pairs = isRecord(value) ? Object.entries(value) : null
  if (!pairs?.every((pair): pair is [string, string] => typeof pair[1] === 'string')) {
    throw new Error(`${path}: "__metadata__" in the header at byte 8 is not an object of strings`)
  }
  return Object.fromEntries(pairs)
}

const parseEntry = (where: string, value: unknown): TensorEntry | ForeignEntry => {
  const { dtype: dtypeName, shape, data_offsets: offsets } = isRecord(value) ? value : {}
  const dtype = dtypesByName.get(dtypeName as string)
  const storedAs = String(dtypeName)
  if (dtype === undefined && !foreignBytes.has(storedAs)) {
    throw new Error(`${where} has unknown dtype ${JSON.stringify(dtypeName)} in the header at byte 8`)
  }
  if (!Array.isArray(shape) || !shape.every(isSize)) {
    throw new Error(`${where} has invalid shape ${JSON.stringify(shape)} in the header at byte 8`)
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize)) {
    throw new Error(`${where} has invalid data_offsets ${JSON.stringify(offsets)} in the header at byte 8`)
  }
  const place = { shape, begin: offsets[0], end: offsets[1] }
  return dtype === undefined ? { storedAs, ...place } : { dtype, ...place }
}

const isForeign = (entry: TensorEntry | ForeignEntry): entry is ForeignEntry => 'storedAs' in entry

const elementBytes = (entry: TensorEntry | ForeignEntry): number =>
  isForeign(entry) ? foreignBytes.get(entry.storedAs)! : bytesPerElement[entry.dtype]

/** The format's name of an entry's type. */
export const typeName = (entry: TensorEntry | ForeignEntry): string =>
  isForeign(entry) ? entry.storedAs : dtypeNames[entry.dtype]

/** Checks that the entries' bytes follow each other from the first data byte to the last, without gap or overlap. */
const checkLayout = (path: string, header: SafetensorsHeader, dataBytes: number): void => {
  const { dataStart } = header
  const entries: [string, TensorEntry | ForeignEntry][] = [...header.entries, ...header.foreign]
  let end = 0
  const ordered = entries.sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end)
  for (const [name, entry] of ordered) {
    const where = `${path}: tensor "${name}" at byte ${dataStart + entry.begin}`
    const bytes = entry.end - entry.begin
    const expected = sizeOf(entry.shape) * elementBytes(entry)
    if (bytes !== expected) {
      const what = `${typeName(entry)} ${showShape(entry.shape)}`
      throw new Error(`${where} has ${bytes} bytes, but ${what} takes ${expected}`)
    }
    if (entry.end > dataBytes) {
      throw new Error(`${where} ends at byte ${dataStart + entry.end}, after the end of the file`)
    }
    if (entry.begin < end)
      throw new Error(`${where} overlaps the tensor that ends at byte ${dataStart + end}`)
    if (entry.begin > end) throw new Error(`${where} leaves a gap after byte ${dataStart + end}`)
    end = entry.end
  }
  if (end < dataBytes) {
    throw new Error(`${path}: ${dataBytes - end} bytes from byte ${dataStart + end} on belong to no tensor`)
  }
}

/**
 * Parses and checks a header.
 * @param path the file's name for messages.
 * @param json the header's bytes, without the length before them.
 * @param dataBytes bytes of the file after the header.
 * @throws one sentence that names the file, the tensor and the byte in the file when something does not fit.
 */
export const parseHeader = (path: string, json: Uint8Array, dataBytes: number): SafetensorsHeader => {
  let fields: unknown
  try {
    fields = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json))
  } catch {
    throw new Error(`${path}: the header at byte 8 is not valid JSON in UTF-8`)
  }
  if (!isRecord(fields)) throw new Error(`${path}: the header at byte 8 is not a JSON object`)
  const { __metadata__: metadata = {}, ...rest } = fields
  const all = Object.entries(rest).map(
    ([name, value]) => [name, parseEntry(`${path}: tensor "${name}"`, value)] as const,
  )
  const entries = new Map(all.flatMap(([name, entry]) => (isForeign(entry) ? [] : [[name, entry] as const])))
  const foreign = new Map(all.flatMap(([name, entry]) => (isForeign(entry) ? [[name, entry] as const] : [])))
  const header = { entries, foreign, metadata: parseMetadata(path, metadata), dataStart: 8 + json.length }
  checkLayout(path, header, dataBytes)
  return header
}
