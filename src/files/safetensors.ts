/** @file Files of tensors in the format safetensors. */
import { closeSync, fstatSync, openSync } from 'node:fs'
import { bytesPerElement, type HostTensor, showShape, sizeOf } from '../engine/host/tensor.ts'
import {
  type ByteSource,
  type Described,
  encodeSafetensors,
  headerIn,
  layoutOf,
  rowsIn,
  type SafetensorsContent,
  tensorsIn,
} from '../stored/safetensors.ts'
import { bytesOf, type SafetensorsHeader } from '../stored/safetensorsHeader.ts'
import { writeFileAtomic, writeFileInParts } from './atomic.ts'
import { readPieces, writePiecesAt } from './pieces.ts'

/**
 * Writes tensors, by name, to one file, atomically.
 * @param metadata strings for the header's `__metadata__`.
 * @throws when a tensor's array does not fit its dtype and shape, or when a tensor is called `__metadata__`.
 */
export const writeSafetensors = (
  path: string,
  tensors: Readonly<Record<string, HostTensor>>,
  metadata: Readonly<Record<string, string>> = {},
): void => writeFileAtomic(path, encodeSafetensors(path, tensors, metadata))

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

const openToRead = (path: string): number => {
  try {
    return openSync(path, 'r')
  } catch (cause) {
    throw new Error(`${path}: cannot be opened (${(cause as NodeJS.ErrnoException).code}); check the path`, {
      cause,
    })
  }
}

/** Does something with the bytes of a file, of which no more are read than are asked for. @throws when it does not open */
export const withBytesOf = <T>(path: string, use: (source: ByteSource) => T): T => {
  const fd = openToRead(path)
  try {
    return use({
      size: fstatSync(fd).size,
      read: (into, position) => readPieces(fd, into, position),
    })
  } finally {
    closeSync(fd)
  }
}

/** The header of a file, as `headerIn` reads it. */
export const inspectSafetensors = (path: string): SafetensorsHeader =>
  withBytesOf(path, (source) => headerIn(path, source))

/** Tensors of a file, as `tensorsIn` reads them. @param wanted which, by name; all when absent */
export const readSafetensors = (path: string, wanted?: (name: string) => boolean): SafetensorsContent =>
  withBytesOf(path, (source) => tensorsIn(path, source, wanted))

/** Rows of a tensor of a file, as `rowsIn` reads them. @param header that of the file (inspectSafetensors) */
export const readRows = (
  path: string,
  header: SafetensorsHeader,
  name: string,
  rows: { readonly first: number; readonly n: number },
): HostTensor => withBytesOf(path, (source) => rowsIn(path, source, header, name, rows))
