/**
 * @file The safetensors format: named tensors in one file. Layout: header length (u64, little endian), JSON header
 * padded with spaces, then the tensors' bytes (https://github.com/huggingface/safetensors, "Format").
 */
import { closeSync, fstatSync, openSync } from 'node:fs'
import { fromBfloat, fromHalf } from '../engine/host/float16.ts'
import { bytesPerElement, float32, type HostTensor, showShape, sizeOf, zeros } from '../engine/host/tensor.ts'
import { writeFileAtomic, writeFileInParts } from './atomic.ts'
import { readPieces, writePiecesAt } from './pieces.ts'
import { bytesOf, dtypeNames, parseHeader, type SafetensorsHeader, typeName } from './safetensorsHeader.ts'

/** The reference implementation's limit, which keeps a broken length from filling the memory. */
const maxHeaderBytes = 100_000_000

const byCodeUnits = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/** What a header says of a tensor. */
type Described = Pick<HostTensor, 'dtype' | 'shape'>

/**
 * The head of a file and where in it each tensor's bytes begin. The header is sorted by name. The data is too, after element
 * size (largest first), so that every tensor is aligned for programs that map the file into memory.
 */
const layoutOf = (
  tensors: Readonly<Record<string, Described>>,
  metadata: Readonly<Record<string, string>>,
): {
  readonly head: Uint8Array
  readonly dataOrder: readonly string[]
  readonly begins: ReadonlyMap<string, number>
} => {
  const names = Object.keys(tensors).sort(byCodeUnits)
  const width = (name: string): number => bytesPerElement[tensors[name].dtype]
  const dataOrder = [...names].sort((a, b) => width(b) - width(a) || byCodeUnits(a, b))
  const offsets = new Map<string, [number, number]>()
  let end = 0
  for (const name of dataOrder) {
    const begin = end
    end += sizeOf(tensors[name].shape) * width(name)
    offsets.set(name, [begin, end])
  }

  // Written entry by entry: an object would put names such as "10" first and lose "__proto__".
  const fields = names.map((name) => {
    const { dtype, shape } = tensors[name]
    const entry = { dtype: dtypeNames[dtype], shape, data_offsets: offsets.get(name) }
    return `${JSON.stringify(name)}:${JSON.stringify(entry)}`
  })
  if (Object.keys(metadata).length > 0) fields.unshift(`"__metadata__":${JSON.stringify(metadata)}`)
  const json = Buffer.from(`{${fields.join(',')}}`)
  const head = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8, ' ')
  head.writeBigUInt64LE(BigInt(head.length - 8))
  json.copy(head, 8)
  const begins = new Map([...offsets].map(([name, [begin]]) => [name, head.length + begin]))
  return { head, dataOrder, begins }
}

/**
 * Writes tensors, by name, to one file, atomically.
 * @param metadata strings for the header's `__metadata__`.
 * @throws when a tensor's array does not fit its dtype and shape, or when a tensor is called `__metadata__`.
 */
export const writeSafetensors = (
  path: string,
  tensors: Readonly<Record<string, HostTensor>>,
  metadata: Readonly<Record<string, string>> = {},
): void => {
  for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
    if (name === '__metadata__') throw new Error(`${path}: "__metadata__" is not a possible tensor name`)
    const kind = data[Symbol.toStringTag]
    if (kind !== zeros([0], dtype).data[Symbol.toStringTag] || data.length !== sizeOf(shape)) {
      const found = `${data.length} elements of ${kind}`
      throw new Error(`${path}: tensor "${name}" has ${found} for ${dtype} ${showShape(shape)}`)
    }
  }
  const { head, dataOrder } = layoutOf(tensors, metadata)
  writeFileAtomic(path, [head, ...dataOrder.map((name) => bytesOf(tensors[name]))])
}

/** Writes rows of a tensor from number `first` on. */
export type WriteRows = (name: string, first: number, rows: HostTensor) => void

/**
 * Writes the same file as `writeSafetensors`, rows of tensors at a time, so that they need not be in memory together.
 * @param tensors what they will be
 * @param fill writes every row of every tensor
 */
export const writeSafetensorsRows = (
  path: string,
  tensors: Readonly<Record<string, Described>>,
  metadata: Readonly<Record<string, string>>,
  fill: (write: WriteRows) => Promise<void>,
): Promise<void> =>
  writeFileInParts(path, async (fd) => {
    const { head, begins } = layoutOf(tensors, metadata)
    writePiecesAt(fd, head, 0)
    await fill((name, first, rows) => {
      const { dtype, shape } = tensors[name]
      const each = sizeOf(shape.slice(1)) * bytesPerElement[dtype]
      if (rows.dtype !== dtype || rows.data.byteLength !== rows.shape[0] * each) {
        throw new Error(
          `${path}: rows of tensor "${name}" are ${rows.dtype} ${showShape(rows.shape)}; they belong to ${dtype} ${showShape(shape)}`,
        )
      }
      writePiecesAt(fd, bytesOf(rows), begins.get(name)! + first * each)
    })
  })

const readHeader = (path: string, fd: number): SafetensorsHeader => {
  const fileBytes = fstatSync(fd).size
  const start = Buffer.alloc(8)
  if (fileBytes < 8 || readPieces(fd, start, 0) < 8) {
    throw new Error(`${path}: truncated at byte ${fileBytes}, before the end of the header length`)
  }
  const headerBytes = start.readBigUInt64LE()
  if (headerBytes > maxHeaderBytes) {
    throw new Error(
      `${path}: this is not a safetensors file: header length ${headerBytes} at byte 0 is over ${maxHeaderBytes}`,
    )
  }
  const dataStart = 8 + Number(headerBytes)
  const text = Buffer.alloc(Math.min(dataStart, fileBytes) - 8)
  if (dataStart > fileBytes || readPieces(fd, text, 8) < text.length) {
    throw new Error(`${path}: truncated at byte ${fileBytes}, inside the header of ${headerBytes} bytes`)
  }
  return parseHeader(path, text, fileBytes - dataStart)
}

const openToRead = (path: string): number => {
  try {
    return openSync(path, 'r')
  } catch (cause) {
    throw new Error(`${path}: cannot be opened (${(cause as NodeJS.ErrnoException).code}); check the path`, {
      cause,
    })
  }
}

const withFile = <T>(path: string, use: (fd: number) => T): T => {
  const fd = openToRead(path)
  try {
    return use(fd)
  } finally {
    closeSync(fd)
  }
}

/**
 * Reads and checks the header, including its fit to the file's length, without reading any tensor.
 * @throws one sentence that names the file, the tensor and the byte when the file is malformed.
 */
export const inspectSafetensors = (path: string): SafetensorsHeader =>
  withFile(path, (fd) => readHeader(path, fd))

/**
 * Reads tensors, each straight into its own array. Files may be larger than 2 GiB.
 * @param wanted which tensors to read, by name; all when absent
 * @throws one sentence that names the file, the tensor and the byte when the file is malformed.
 */
export const readSafetensors = (
  path: string,
  wanted: (name: string) => boolean = () => true,
): { tensors: Record<string, HostTensor>; metadata: Record<string, string> } =>
  withFile(path, (fd) => {
    const { entries, foreign, metadata, dataStart } = readHeader(path, fd)
    const [odd] = [...foreign].filter(([name]) => wanted(name))
    if (odd !== undefined)
      throw new Error(
        `${path}: tensor "${odd[0]}" has unknown dtype "${odd[1].storedAs}" in the header at byte 8`,
      )
    const own = [...entries].filter(([name]) => wanted(name))
    const tensors = own.map(([name, { dtype, shape, begin }]): [string, HostTensor] => {
      const tensor = zeros(shape, dtype)
      const bytes = bytesOf(tensor)
      const got = readPieces(fd, bytes, dataStart + begin)
      if (got < bytes.length) {
        throw new Error(`${path}: truncated at byte ${dataStart + begin + got}, inside tensor "${name}"`)
      }
      return [name, tensor]
    })
    return { tensors: Object.fromEntries(tensors), metadata }
  })

/** Reads one number, by the format's name of its type. */
const floatReaders: ReadonlyMap<string, (view: DataView, index: number) => number> = new Map([
  ['F64', (view, i) => view.getFloat64(8 * i, true)],
  ['F16', (view, i) => fromHalf(view.getUint16(2 * i, true))],
  // the upper half of a float32
  ['BF16', (view, i) => fromBfloat(view.getUint16(2 * i, true))],
])

/** Bytes of numbers of a type as float32; null when it is none of floats. */
const floatsOf = (storedAs: string, bytes: Uint8Array, count: number): Float32Array | null => {
  if (storedAs === 'F32') return new Float32Array(bytes.buffer, bytes.byteOffset, count)
  const read = floatReaders.get(storedAs)
  if (read === undefined) return null
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return Float32Array.from({ length: count }, (_, i) => read(view, i))
}

/**
 * Rows `first` to `first + n − 1` of one tensor of floats of any width as float32: [n, …].
 * @param header that of the file (inspectSafetensors)
 * @throws one sentence when there are no such tensor or rows, they are no floats, or the file is cut off.
 */
export const readRows = (
  path: string,
  { entries, foreign, dataStart }: SafetensorsHeader,
  name: string,
  { first, n }: { readonly first: number; readonly n: number },
): HostTensor =>
  withFile(path, (fd) => {
    const entry = entries.get(name) ?? foreign.get(name)
    if (entry === undefined || first + n > (entry.shape[0] ?? 0))
      throw new Error(`${path}: there are no rows ${first} to ${first + n - 1} of a tensor "${name}"`)
    const each = (entry.end - entry.begin) / entry.shape[0]
    const bytes = new Uint8Array(n * each)
    if (readPieces(fd, bytes, dataStart + entry.begin + each * first) < bytes.length)
      throw new Error(`${path}: truncated inside tensor "${name}"; copy the file again`)
    const shape = [n, ...entry.shape.slice(1)]
    const numbers = floatsOf(typeName(entry), bytes, sizeOf(shape))
    if (numbers === null)
      throw new Error(`${path}: tensor "${name}" is stored as ${typeName(entry)}; save it as float32`)
    return float32(shape, numbers)
  })
