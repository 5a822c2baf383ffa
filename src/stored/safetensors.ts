/**
 * @file The safetensors format: named tensors in one file. Layout: header length (u64, little endian), JSON header
 * padded with spaces, then the tensors' bytes (https://github.com/huggingface/safetensors, "Format").
 */
import { fromBfloat, fromHalf } from '../engine/host/float16.ts'
import { bytesPerElement, float32, type HostTensor, showShape, sizeOf, zeros } from '../engine/host/tensor.ts'
import { bytesOf, dtypeNames, parseHeader, type SafetensorsHeader, typeName } from './safetensorsHeader.ts'

/** The reference implementation's limit, which keeps a broken length from filling the memory. */
const maxHeaderBytes = 100_000_000

const byCodeUnits = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/** What a header says of a tensor. */
export type Described = Pick<HostTensor, 'dtype' | 'shape'>

/**
 * The head of a file and where in it each tensor's bytes begin. The header is sorted by name. The data is too, after element
 * size (largest first), so that every tensor is aligned for programs that map the file into memory.
 */
export const layoutOf = (
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
  const json = new TextEncoder().encode(`{${fields.join(',')}}`)
  const head = new Uint8Array(8 + Math.ceil(json.length / 8) * 8).fill(0x20)
  new DataView(head.buffer).setBigUint64(0, BigInt(head.length - 8), true)
  head.set(json, 8)
  const begins = new Map([...offsets].map(([name, [begin]]) => [name, head.length + begin]))
  return { head, dataOrder, begins }
}

/**
 * The bytes of a file of tensors, in pieces that follow each other.
 * @param name the file's, for messages
 * @param metadata strings for the header's `__metadata__`
 * @throws when a tensor's array does not fit its dtype and shape, or when a tensor is called `__metadata__`.
 */
export const encodeSafetensors = (
  name: string,
  tensors: Readonly<Record<string, HostTensor>>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array[] => {
  for (const [tensor, { dtype, shape, data }] of Object.entries(tensors)) {
    if (tensor === '__metadata__') throw new Error(`${name}: "__metadata__" is not a possible tensor name`)
    const kind = data[Symbol.toStringTag]
    if (kind !== zeros([0], dtype).data[Symbol.toStringTag] || data.length !== sizeOf(shape)) {
      const found = `${data.length} elements of ${kind}`
      throw new Error(`${name}: tensor "${tensor}" has ${found} for ${dtype} ${showShape(shape)}`)
    }
  }
  const { head, dataOrder } = layoutOf(tensors, metadata)
  return [head, ...dataOrder.map((tensor) => bytesOf(tensors[tensor]))]
}

/** The bytes of a file, wherever they lie. */
export interface ByteSource {
  readonly size: number
  /** Fills `into` with the bytes at `position`. @returns how many there were: fewer only at the end */
  read(into: Uint8Array, position: number): number
}

/** Bytes in memory. */
export const sourceOf = (bytes: Uint8Array): ByteSource => ({
  size: bytes.length,
  read: (into, position) => {
    const part = bytes.subarray(position, position + into.length)
    into.set(part)
    return part.length
  },
})

/**
 * Reads and checks the header, including its fit to the file's length, without reading any tensor.
 * @throws one sentence that names the file, the tensor and the byte when the file is malformed.
 */
export const headerIn = (name: string, source: ByteSource): SafetensorsHeader => {
  const fileBytes = source.size
  const start = new Uint8Array(8)
  if (fileBytes < 8 || source.read(start, 0) < 8) {
    throw new Error(`${name}: truncated at byte ${fileBytes}, before the end of the header length`)
  }
  const headerBytes = new DataView(start.buffer).getBigUint64(0, true)
  if (headerBytes > maxHeaderBytes) {
    throw new Error(
      `${name}: this is not a safetensors file: header length ${headerBytes} at byte 0 is over ${maxHeaderBytes}`,
    )
  }
  const dataStart = 8 + Number(headerBytes)
  const text = new Uint8Array(Math.min(dataStart, fileBytes) - 8)
  if (dataStart > fileBytes || source.read(text, 8) < text.length) {
    throw new Error(`${name}: truncated at byte ${fileBytes}, inside the header of ${headerBytes} bytes`)
  }
  return parseHeader(name, text, fileBytes - dataStart)
}

/** Tensors by name, and the header's strings. */
export interface SafetensorsContent {
  readonly tensors: Record<string, HostTensor>
  readonly metadata: Record<string, string>
}

/**
 * Reads tensors, each straight into its own array. Files may be larger than 2 GiB.
 * @param wanted which tensors to read, by name; all when absent
 * @throws one sentence that names the file, the tensor and the byte when the file is malformed.
 */
export const tensorsIn = (
  name: string,
  source: ByteSource,
  wanted: (tensor: string) => boolean = () => true,
): SafetensorsContent => {
  const { entries, foreign, metadata, dataStart } = headerIn(name, source)
  const [odd] = [...foreign].filter(([tensor]) => wanted(tensor))
  if (odd !== undefined)
    throw new Error(
      `${name}: tensor "${odd[0]}" has unknown dtype "${odd[1].storedAs}" in the header at byte 8`,
    )
  const own = [...entries].filter(([tensor]) => wanted(tensor))
  const tensors = own.map(([tensor, { dtype, shape, begin }]): [string, HostTensor] => {
    const read = zeros(shape, dtype)
    const bytes = bytesOf(read)
    const got = source.read(bytes, dataStart + begin)
    if (got < bytes.length) {
      throw new Error(`${name}: truncated at byte ${dataStart + begin + got}, inside tensor "${tensor}"`)
    }
    return [tensor, read]
  })
  return { tensors: Object.fromEntries(tensors), metadata }
}

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
 * @param header that of the file (headerIn)
 * @throws one sentence when there are no such tensor or rows, they are no floats, or the file is cut off.
 */
export const rowsIn = (
  name: string,
  source: ByteSource,
  { entries, foreign, dataStart }: SafetensorsHeader,
  tensor: string,
  { first, n }: { readonly first: number; readonly n: number },
): HostTensor => {
  const entry = entries.get(tensor) ?? foreign.get(tensor)
  if (entry === undefined || first + n > (entry.shape[0] ?? 0))
    throw new Error(`${name}: there are no rows ${first} to ${first + n - 1} of a tensor "${tensor}"`)
  const each = (entry.end - entry.begin) / entry.shape[0]
  const bytes = new Uint8Array(n * each)
  if (source.read(bytes, dataStart + entry.begin + each * first) < bytes.length)
    throw new Error(`${name}: truncated inside tensor "${tensor}"; copy the file again`)
  const shape = [n, ...entry.shape.slice(1)]
  const numbers = floatsOf(typeName(entry), bytes, sizeOf(shape))
  if (numbers === null)
    throw new Error(`${name}: tensor "${tensor}" is stored as ${typeName(entry)}; save it as float32`)
  return float32(shape, numbers)
}
