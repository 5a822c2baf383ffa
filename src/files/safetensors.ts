/**
 * @file The safetensors format: named tensors in one file. Layout: header length (u64, little endian), JSON header
 * padded with spaces, then the tensors' bytes (https://github.com/huggingface/safetensors, "Format").
 */
import { closeSync, fstatSync, openSync } from 'node:fs'
import { bytesPerElement, type HostTensor, showShape, sizeOf, zeros } from '../engine/host/tensor.ts'
import { writeFileAtomic } from './atomic.ts'
import { readPieces } from './pieces.ts'
import { bytesOf, dtypeNames, parseHeader, type SafetensorsHeader } from './safetensorsHeader.ts'

/** The reference implementation's limit, which keeps a broken length from filling the memory. */
const maxHeaderBytes = 100_000_000

const byCodeUnits = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/**
 * Writes tensors, by name, to one file, atomically. The header is sorted by name. The data is too, after element
 * size (largest first), so that every tensor is aligned for programs that map the file into memory.
 * @param metadata strings for the header's `__metadata__`.
 * @throws when a tensor's array does not fit its dtype and shape, or when a tensor is called `__metadata__`.
 */
export const writeSafetensors = (
  path: string,
  tensors: Readonly<Record<string, HostTensor>>,
  metadata: Readonly<Record<string, string>> = {},
): void => {
  const names = Object.keys(tensors).sort(byCodeUnits)
  for (const name of names) {
    const { dtype, shape, data } = tensors[name]
    if (name === '__metadata__') throw new Error(`${path}: "__metadata__" is not a possible tensor name`)
    const kind = data[Symbol.toStringTag]
    if (kind !== zeros([0], dtype).data[Symbol.toStringTag] || data.length !== sizeOf(shape)) {
      const found = `${data.length} elements of ${kind}`
      throw new Error(`${path}: tensor "${name}" has ${found} for ${dtype} ${showShape(shape)}`)
    }
  }
  const width = (name: string): number => bytesPerElement[tensors[name].dtype]
  const dataOrder = [...names].sort((a, b) => width(b) - width(a) || byCodeUnits(a, b))
  const offsets = new Map<string, [number, number]>()
  let end = 0
  for (const name of dataOrder) {
    const begin = end
    end += tensors[name].data.byteLength
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
  writeFileAtomic(path, [head, ...dataOrder.map((name) => bytesOf(tensors[name]))])
}

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
    const { entries, metadata, dataStart } = readHeader(path, fd)
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
