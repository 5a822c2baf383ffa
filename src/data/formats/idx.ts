/** @file The IDX format of MNIST and its relatives: grey images in one file, labels in another, plain or gzipped. */

import { stat } from 'node:fs/promises'
import path from 'node:path'
import type { DataSplit } from '../images/source.ts'
import { type Bytes, damaged } from './bytes.ts'
import { listContainers, readClassNames } from './containers.ts'
import { openMaybeGzipped } from './gzip.ts'
import { expectFew, openLabelled, type ReaderOptions, type UnlabelledRecord } from './records.ts'

/** Unsigned bytes, by the third byte of the magic number. */
const UBYTE = 8

/** Length of the header of an array of so many dimensions. */
const headerBytes = (dimensions: number): number => 4 + 4 * dimensions

/**
 * The shape in a header.
 * @throws naming the byte when the magic number is not of an array of bytes of so many dimensions.
 */
const readShape = (bytes: Pick<Bytes, 'name'>, header: Uint8Array, dimensions: number): number[] => {
  const magic = Buffer.from(header.subarray(0, 4)).toString('hex')
  const expected = `0000${UBYTE.toString(16).padStart(2, '0')}0${dimensions}`
  if (header.length < headerBytes(dimensions) || magic !== expected) {
    throw damaged(bytes, {
      offset: 0,
      found:
        header.length < headerBytes(dimensions) ? `only ${header.length} bytes` : `magic number ${magic}`,
      expected: `${expected}, an IDX file of bytes with ${dimensions} dimension${dimensions === 1 ? '' : 's'}`,
      todo: 'check that images and labels are not swapped, or copy the file again',
    })
  }
  const view = new DataView(header.buffer, header.byteOffset)
  return Array.from({ length: dimensions }, (_, i) => view.getUint32(4 + 4 * i))
}

/** An IDX file whose length fits its header. */
interface IdxFile {
  readonly bytes: Bytes
  readonly shape: readonly number[]
}

const openIdx = async (file: string, dimensions: number): Promise<IdxFile> => {
  const lead = headerBytes(dimensions)
  const sizeOf = (shape: readonly number[]): number => lead + shape.reduce((a, b) => a * b, 1)
  const bytes = await openMaybeGzipped(file, lead, (head) =>
    sizeOf(readShape({ name: file }, head, dimensions)),
  )
  const shape = readShape(bytes, await bytes.read(0, Math.min(lead, bytes.size)), dimensions)
  const size = sizeOf(shape)
  if (bytes.size !== size || size === lead) {
    throw damaged(bytes, {
      offset: Math.min(bytes.size, size),
      found: `${bytes.size} bytes in all`,
      expected: size === lead ? 'at least one entry' : `${size} for a shape of ${shape.join('×')}`,
    })
  }
  return { bytes, shape }
}

/** `train-images-idx3-ubyte.gz` → the same with labels and idx1, with or without .gz. */
const labelNames = (images: string): string[] => {
  const plain = images
    .replace(/images?/i, 'labels')
    .replace(/idx3/i, 'idx1')
    .replace(/\.gz$/i, '')
  return [plain, `${plain}.gz`]
}

const findLabels = async (images: string): Promise<string | null> => {
  for (const name of labelNames(path.basename(images))) {
    const file = path.join(path.dirname(images), name)
    if (file !== images && (await stat(file).catch(() => null))?.isFile()) return file
  }
  return null
}

/**
 * Opens IDX images: an images file (`…images-idx3-ubyte`, also .gz) or a folder of them, each with its labels file
 * beside it, whose name has `labels` and `idx1` instead. `t10k-…` or `test-…` is validation, else a tenth by hash;
 * `classes.txt` beside the files names the classes.
 * @throws in one sentence when a file is missing, damaged or cut off, or the counts of images and labels differ.
 */
export const openIdxImages = async (options: ReaderOptions): Promise<DataSplit> => {
  const listing = await listContainers('idx', options.path, {
    names: /idx3[-_.]ubyte(\.gz)?$/i,
    words: 'IDX files such as train-images-idx3-ubyte.gz',
  })
  const { folder, containers } = listing
  const records: UnlabelledRecord[] = []
  const files: string[] = []
  for (const { id, path: where, half } of containers) {
    const images = await openIdx(where, 3)
    const [count, height, width] = images.shape
    expectFew(images.bytes, count)
    const labelsFile = await findLabels(where)
    const labels = labelsFile === null ? null : await openIdx(labelsFile, 1)
    files.push(where, ...(labelsFile === null ? [] : [labelsFile]))
    if (labels && labels.shape[0] !== count) {
      throw damaged(labels.bytes, {
        offset: 4,
        found: `${labels.shape[0]} labels`,
        expected: `${count}, one for each image of ${where}`,
        todo: 'put the files that belong together beside each other',
      })
    }
    const values = labels ? await labels.bytes.read(headerBytes(1), count) : null
    const plane = height * width
    for (let i = 0; i < count; i++) {
      records.push({
        id: `${id}/${i}`,
        label: values ? values[i] : null,
        caption: '',
        half,
        load: async () => {
          const pixels = await images.bytes.read(headerBytes(3) + i * plane, plane)
          return { width, height, channels: 1, pixels }
        },
      })
    }
  }
  return openLabelled(
    {
      source: 'idx',
      ...listing,
      expected: 'whole images',
      labelledBy: 'number in the labels file',
      ...{ files, records },
      names: await readClassNames(folder, ['classes.txt', 'classnames.txt']),
    },
    options,
  )
}
