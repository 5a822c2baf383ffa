/**
 * @file CIFAR-10 and CIFAR-100 in their binary version: records of one label byte (CIFAR-100: coarse, then fine) and
 * 32×32 pixels, first all red, then all green, then all blue.
 */

import path from 'node:path'
import type { RawImage } from '../../engine/host/squares.ts'
import type { DataSplit } from '../images/source.ts'
import { type Bytes, damaged, openBytes } from './bytes.ts'
import { type Container, listContainers, readClassNames } from './containers.ts'
import { type ImageRecord, openLabelled, type ReaderOptions } from './records.ts'

const SIDE = 32
const PLANE = SIDE * SIDE
/** Records looked through at once for their labels. */
const AT_ONCE = 512

/** What differs between the two sets. */
interface Variant {
  readonly name: string
  /** Bytes before the pixels, the last of which is the label. */
  readonly lead: number
  readonly classes: number
  readonly namesFiles: readonly string[]
}

const CIFAR10: Variant = { name: 'CIFAR-10', lead: 1, classes: 10, namesFiles: ['batches.meta.txt'] }
const CIFAR100: Variant = { name: 'CIFAR-100', lead: 2, classes: 100, namesFiles: ['fine_label_names.txt'] }

/** Planes to interleaved pixels. */
const interleave = (planes: Uint8Array): RawImage => {
  const pixels = new Uint8Array(PLANE * 3)
  for (let i = 0; i < PLANE; i++) {
    for (let c = 0; c < 3; c++) pixels[i * 3 + c] = planes[c * PLANE + i]
  }
  return { width: SIDE, height: SIDE, channels: 3, pixels }
}

/** By name, since 3073·3074 bytes could be either; a file of another name by its size. */
const variantOf = (id: string, size: number): Variant => {
  const name = path.posix.basename(id).toLowerCase()
  if (name === 'train.bin' || name === 'test.bin') return CIFAR100
  if (/^(data_batch_\d+|test_batch)\.bin$/.test(name)) return CIFAR10
  return size % (CIFAR10.lead + 3 * PLANE) !== 0 && size % (CIFAR100.lead + 3 * PLANE) === 0
    ? CIFAR100
    : CIFAR10
}

/** Labels of all records. @throws naming the byte of a partial record or an impossible label. */
const readLabels = async (bytes: Bytes, { name, lead, classes }: Variant): Promise<Uint8Array> => {
  const each = lead + 3 * PLANE
  const count = Math.floor(bytes.size / each)
  if (bytes.size === 0 || bytes.size % each !== 0) {
    throw damaged(bytes, {
      offset: count * each,
      found: `${bytes.size - count * each} bytes before the end`,
      expected: `a whole ${name} record of ${each} bytes`,
    })
  }
  const labels = new Uint8Array(count)
  for (let from = 0; from < count; from += AT_ONCE) {
    const block = await bytes.read(from * each, Math.min(AT_ONCE, count - from) * each)
    for (let i = 0; i * each < block.length; i++) {
      const label = block[i * each + lead - 1]
      if (label >= classes) {
        throw damaged(bytes, {
          offset: (from + i) * each + lead - 1,
          found: `label ${label}`,
          expected: `0 to ${classes - 1} in the binary version of ${name}`,
        })
      }
      labels[from + i] = label
    }
  }
  return labels
}

const recordsOf = (container: Container, bytes: Bytes, lead: number, labels: Uint8Array): ImageRecord[] =>
  Array.from(labels, (label, i) => ({
    id: `${container.id}/${i}`,
    label,
    caption: '',
    half: container.half,
    load: async () => interleave(await bytes.read(i * (lead + 3 * PLANE) + lead, 3 * PLANE)),
  }))

/**
 * Opens CIFAR-10 (`data_batch_*.bin`, `test_batch.bin`) or CIFAR-100 (`train.bin`, `test.bin`, fine labels): a folder
 * of these files or one of them. The test file is validation; alone, a tenth of its records is. Class names come from
 * `batches.meta.txt` or `fine_label_names.txt` beside the files where present.
 * @throws in one sentence when a file is missing, cut off or holds an impossible label, or both sets are there.
 */
export const openCifar = async (options: ReaderOptions): Promise<DataSplit> => {
  const { containers, ...listing } = await listContainers('cifar', options.path, {
    names: /^(data_batch_\d+|test_batch|train|test)\.bin$/i,
    words: 'the binary version of CIFAR: data_batch_*.bin and test_batch.bin, or train.bin and test.bin',
  })
  const opened = await Promise.all(
    containers.map(async (container) => {
      const bytes = await openBytes(container.path)
      return { container, bytes, variant: variantOf(container.id, bytes.size) }
    }),
  )
  const { variant } = opened[0]
  if (opened.some((file) => file.variant !== variant)) {
    throw new Error(
      `data folder "${listing.folder}" holds CIFAR-10 and CIFAR-100 files; pass a folder with one of them`,
    )
  }
  const records: ImageRecord[] = []
  for (const { container, bytes } of opened) {
    const labels = await readLabels(bytes, variant)
    for (const record of recordsOf(container, bytes, variant.lead, labels)) records.push(record)
  }
  const beside = path.dirname(containers[0].path)
  const names = await readClassNames(beside, variant.namesFiles)
  if (names && names.length !== variant.classes) {
    throw new Error(
      `${path.join(beside, variant.namesFiles[0])}: found ${names.length} names, expected ${variant.classes}, one a line; correct or remove the file`,
    )
  }
  return openLabelled(
    {
      source: 'cifar',
      ...listing,
      expected: 'whole records',
      labelledBy: `label of ${variant.name}`,
      files: containers.map((container) => container.path),
      names: names ?? Array.from({ length: variant.classes }, (_, i) => String(i)),
      records,
    },
    options,
  )
}
