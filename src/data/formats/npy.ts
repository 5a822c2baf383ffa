/** @file Images in NumPy arrays: .npy files, or the arrays of an .npz. */

import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { fromHalf } from '../../engine/host/float16.ts'
import type { ImageInput } from '../images/decode.ts'
import type { DataSplit } from '../images/source.ts'
import { type Bytes, damaged, openBytes } from './bytes.ts'
import { type ContainerListing, listContainers, readClassNames, withHalves } from './containers.ts'
import { expectFew, openLabelled, type ReaderOptions, type UnlabelledRecord } from './records.ts'
import { openZip } from './zip.ts'

/** Longest header that is read; NumPy's own are a few hundred bytes. */
const HEADER_BYTES = 1 << 16

/** An array in C order: entry (i, j, …) begins at `start` plus its position in the array times `item`. */
interface NpyArray {
  readonly bytes: Bytes
  /** `u`, `i`, `f`, `U` (4-byte characters) or `S` (bytes). */
  readonly kind: string
  readonly little: boolean
  /** Bytes of one entry. */
  readonly item: number
  readonly shape: readonly number[]
  readonly start: number
}

const magicFault = (bytes: Bytes, found: string): Error =>
  damaged(bytes, { offset: 0, found, expected: 'a NumPy array (\\x93NUMPY)' })

/** What is wrong with an array that is intact but of another kind. */
const unsuitable = (bytes: Bytes, offset: number, found: string, expected: string, todo: string): Error =>
  damaged(bytes, { offset, found, expected, todo })

/**
 * Reads the header, versions 1 to 3, and checks it against the length.
 * @throws naming file and byte when it is damaged, cut off, pickled or in Fortran order.
 */
const openNpy = async (bytes: Bytes): Promise<NpyArray> => {
  if (bytes.size < 12) throw magicFault(bytes, `only ${bytes.size} bytes`)
  const lead = Buffer.from(await bytes.read(0, 12))
  const version = lead[6]
  if (lead.toString('latin1', 0, 6) !== '\x93NUMPY' || version < 1 || version > 3) {
    throw magicFault(bytes, `${lead.toString('hex', 0, 8)}`)
  }
  const [lengthBytes, length] = version === 1 ? [2, lead.readUInt16LE(8)] : [4, lead.readUInt32LE(8)]
  const start = 8 + lengthBytes + length
  if (length > HEADER_BYTES || start > bytes.size) {
    throw damaged(bytes, {
      offset: 8,
      found: `a header of ${length} bytes`,
      expected: 'a short one that is all there',
    })
  }
  const header = Buffer.from(await bytes.read(8 + lengthBytes, length)).toString('latin1')
  const descr = /'descr':\s*'([<>|=]?)([a-zA-Z])(\d*)'/.exec(header)
  const shapeText = /'shape':\s*\(([\d\s,]*)\)/.exec(header)
  const fortran = /'fortran_order':\s*(True|False)/.exec(header)
  if (!shapeText || !fortran || !descr || descr[2] === 'O') {
    const structured = /'descr':\s*\[/.test(header)
    throw unsuitable(
      bytes,
      8 + lengthBytes,
      descr?.[2] === 'O'
        ? 'a pickled array of objects'
        : structured
          ? 'a structured array'
          : 'another header',
      'a plain array of numbers',
      'save it again with numpy.save(file, numpy.ascontiguousarray(a)), or copy the file again',
    )
  }
  const shape = shapeText[1].split(',').flatMap((n) => (n.trim() === '' ? [] : [Number(n)]))
  if (fortran[1] === 'True' && shape.length > 1) {
    const todo = 'save it again with numpy.save(file, numpy.ascontiguousarray(a))'
    throw unsuitable(bytes, 8 + lengthBytes, 'an array in Fortran order', 'C order', todo)
  }
  const kind = descr[2]
  const item = Number(descr[3] || '1') * (kind === 'U' ? 4 : 1)
  if (item === 0) {
    const todo = 'save an array of entries that take bytes'
    throw unsuitable(bytes, 8 + lengthBytes, `entries of no size (${kind}0)`, 'at least one byte', todo)
  }
  const size = start + shape.reduce((a, b) => a * b, item)
  if (size !== bytes.size) {
    throw damaged(bytes, {
      offset: Math.min(size, bytes.size),
      found: `${bytes.size} bytes in all`,
      expected: `${size} for shape (${shape.join(', ')}) of ${item}-byte entries`,
    })
  }
  return { bytes, kind, little: descr[1] !== '>', item, shape, start }
}

/** Reads one entry at a byte offset, by kind and width; the types that there are. */
const entryReaders: Readonly<Record<string, (view: DataView, at: number, little: boolean) => number>> = {
  u1: (view, at) => view.getUint8(at),
  i1: (view, at) => view.getInt8(at),
  b1: (view, at) => view.getUint8(at),
  u2: (view, at, little) => view.getUint16(at, little),
  i2: (view, at, little) => view.getInt16(at, little),
  u4: (view, at, little) => view.getUint32(at, little),
  i4: (view, at, little) => view.getInt32(at, little),
  u8: (view, at, little) => Number(view.getBigUint64(at, little)),
  i8: (view, at, little) => Number(view.getBigInt64(at, little)),
  f2: (view, at, little) => fromHalf(view.getUint16(at, little)),
  f4: (view, at, little) => view.getFloat32(at, little),
  f8: (view, at, little) => view.getFloat64(at, little),
}

/** How images lie in an array. */
interface ImageLayout {
  /** What whole numbers are multiplied by: 255 for masks of 0 and 1. */
  readonly unit: 1 | 255
  readonly count: number
  readonly height: number
  readonly width: number
  readonly channels: 1 | 3 | 4
  /** Whether an image is [channels, height, width] rather than [height, width, channels]. */
  readonly planes: boolean
}

/** Images looked at, evenly, to tell masks of 0 and 1 from images of 0 to 255. */
const LOOKED_AT = 256

/** Whether an array of bytes holds nothing above 1, as far as a look at it tells. */
const isMask = async (
  { bytes, start }: NpyArray,
  { count, height, width, channels }: Omit<ImageLayout, 'unit'>,
): Promise<boolean> => {
  const each = height * width * channels
  let any = false
  for (let k = 0; k < Math.min(LOOKED_AT, count); k++) {
    const index = Math.floor((k * count) / Math.min(LOOKED_AT, count))
    const image = await bytes.read(start + index * each, each)
    if (image.some((value) => value > 1)) return false
    any ||= image.includes(1)
  }
  return any
}

const isChannels = (n: number | undefined): n is 1 | 3 | 4 => n === 1 || n === 3 || n === 4

/** @param isLabelled whether there is a label for each of what the first dimension counts @throws when the array is not of images. */
const layoutOf = ({ bytes, kind, item, shape }: NpyArray, isLabelled: boolean): Omit<ImageLayout, 'unit'> => {
  const shown = `shape (${shape.join(', ')})`
  const wanted = '[N, H, W], [N, H, W, 1, 3 or 4] or [N, 3, H, W]'
  const [count, a, b, c] = shape
  if (`${kind}${item}` !== 'u1' && kind !== 'f' && kind !== 'b') {
    const found = `entries of type ${kind}${item}`
    throw unsuitable(
      bytes,
      8,
      found,
      'uint8, bool, or floats from 0 to 1',
      'convert the array and save it again',
    )
  }
  const todo = 'reshape the array and save it again'
  if (shape.length < 3 || shape.length > 4 || shape.includes(0)) {
    throw unsuitable(bytes, 8, shown, wanted, todo)
  }
  if (shape.length === 3) {
    // one RGB image would pass for many of three columns
    if (isChannels(b) && a !== b) throw unsuitable(bytes, 8, `${shown}, one image`, wanted, todo)
    if (isChannels(count) && count > 1 && !isLabelled) {
      const found = `${shown}, one image of ${count} planes or ${count} grey images`
      throw unsuitable(bytes, 8, found, wanted, `${todo}, grey images as (${count}, ${a}, ${b}, 1)`)
    }
    return { count, height: a, width: b, channels: 1, planes: false }
  }
  if (isChannels(c)) return { count, height: a, width: b, channels: c, planes: false }
  if (isChannels(a)) return { count, height: b, width: c, channels: a, planes: true }
  throw unsuitable(bytes, 8, shown, wanted, todo)
}

/** How far a float may lie outside 0..1 by rounding. */
const TOLERANCE = 1e-3

/** Image `index` of an array. */
const readImage = async (array: NpyArray, layout: ImageLayout, index: number): Promise<ImageInput> => {
  const { bytes, kind, item, little, start } = array
  const { height, width, channels, planes, unit } = layout
  const count = height * width * channels
  const at = start + index * count * item
  const data = await bytes.read(at, count * item)
  let values: Uint8Array = data
  if (kind === 'f') {
    values = new Uint8Array(count)
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
    const entry = entryReaders[`f${item}`]
    for (let i = 0; i < count; i++) {
      const value = entry(view, i * item, little)
      // not(…) so that NaN is caught too
      if (!(value >= -TOLERANCE && value <= 1 + TOLERANCE)) {
        return { reason: `value ${value} at byte ${at + i * item} of ${bytes.name} is not from 0 to 1` }
      }
      values[i] = Math.round(255 * Math.min(1, Math.max(0, value)))
    }
  }
  if (unit !== 1) {
    const odd = data.findIndex((value) => value > 1)
    if (odd >= 0)
      return { reason: `value ${data[odd]} at byte ${at + odd} of ${bytes.name}, where others are 0 and 1` }
    values = data.map((value) => value * unit)
  }
  if (!planes || channels === 1) return { height, width, channels, pixels: values }
  const pixels = new Uint8Array(count)
  const plane = height * width
  for (let i = 0; i < plane; i++) {
    for (let c = 0; c < channels; c++) pixels[i * channels + c] = values[c * plane + i]
  }
  return { height, width, channels, pixels }
}

/** Labels as numbers or class names. @throws when the array is no list of `count` whole numbers or texts. */
const readLabels = async (array: NpyArray, count: number): Promise<(number | string)[]> => {
  const { bytes, kind, item, little, shape, start } = array
  const textual = kind === 'U' || kind === 'S'
  const entry = entryReaders[`${kind}${item}`]
  const flat = shape.length === 1 || (shape.length === 2 && shape[1] === 1)
  if (!flat || shape[0] !== count || (!textual && !entry)) {
    throw unsuitable(
      bytes,
      8,
      `shape (${shape.join(', ')}) of ${kind}${item}`,
      `${count} labels, whole numbers or texts, one for each image`,
      'save the labels that belong to the images',
    )
  }
  const data = Buffer.from(await bytes.read(start, count * item))
  if (!textual) {
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
    return Array.from({ length: count }, (_, i) => entry(view, i * item, little))
  }
  return Array.from({ length: count }, (_, i) => {
    const piece = data.subarray(i * item, (i + 1) * item)
    if (kind === 'S') return piece.toString('utf8').replace(/\0+$/, '')
    const codes = Array.from({ length: item / 4 }, (_, k) =>
      little ? piece.readUInt32LE(4 * k) : piece.readUInt32BE(4 * k),
    )
    const end = codes.indexOf(0)
    const used = end < 0 ? codes : codes.slice(0, end)
    return String.fromCodePoint(...used.map((code) => (code > 0x10ffff ? 0xfffd : code)))
  })
}

/** Arrays by name: the path without .npy, in an .npz the path of that and the array's name. */
type Arrays = Map<string, () => Promise<Bytes>>

const PICTURE_NAME = /(^|[^a-z])(images?|imgs?|x|data|arr_0)([^a-z0-9]|$)/i
const LABEL_NAME = /(^|[^a-z])(labels?|y|targets?|arr_1)([^a-z0-9]|$)/i

/** The name that says what an array is: that of the file where the array in it has none of its own (`arr_0`). */
const sayingName = (name: string): string => {
  const base = path.posix.basename(name)
  const file = path.posix.basename(path.posix.dirname(name))
  return base === 'arr_0' && file !== '.' ? file.replace(/\.npz$/i, '') : base
}

/** Names that the labels of an array may have, likeliest first: `x_train` → `y_train`, `images` → `labels`, … */
const labelNames = (name: string): string[] => {
  const [folder, base] = [path.posix.dirname(name), path.posix.basename(name)]
  const swap = (from: RegExp, to: string): string[] => (from.test(base) ? [base.replace(from, to)] : [])
  const swapped = [
    ...swap(/images?/i, 'labels'),
    ...swap(/images?/i, 'label'),
    ...swap(/imgs?/i, 'labels'),
    ...swap(/(?<![a-z])x(?![a-z])/, 'y'),
    ...swap(/(?<![a-z])X(?![a-z])/, 'y'),
    ...swap(/(?<![a-z])data(?![a-z])/i, 'labels'),
    ...swap(/^arr_0$/, 'arr_1'),
  ]
  const near = [`${base}_labels`, `${base}-labels`, `${base}.labels`, `${base}_y`, 'labels', 'label', 'y']
  // two files of one array each: `train-imgs.npz`, `train-labels.npz`
  const files = base === 'arr_0' && folder !== '.' ? labelNames(folder).map((file) => `${file}/${base}`) : []
  return [...[...swapped, ...near].map((base) => (folder === '.' ? base : `${folder}/${base}`)), ...files]
}

const withoutNpy = (name: string): string => name.replace(/\.npy$/i, '')

/** All arrays that the path names, and those beside a single file, which may be its labels. */
const gather = async (
  options: ReaderOptions,
): Promise<{
  readonly listing: ContainerListing
  readonly files: string[]
  readonly arrays: Arrays
  /** Names that may be images. */
  readonly given: string[]
}> => {
  const listing = await listContainers('npy', options.path, {
    names: /\.np[yz]$/i,
    words: '.npy or .npz files',
  })
  const { folder, name, containers } = listing
  const arrays: Arrays = new Map()
  const add = async (id: string, where: string): Promise<void> => {
    if (!/\.npz$/i.test(id)) {
      arrays.set(withoutNpy(id), () => openBytes(where))
      return
    }
    for (const member of await openZip(await openBytes(where)))
      if (/\.npy$/i.test(member.name)) arrays.set(`${id}/${withoutNpy(member.name)}`, member.open)
  }
  for (const { id, path: where } of containers) await add(id, where)
  const given = [...arrays.keys()]
  const files = containers.map((container) => container.path)
  if (files.length === 1 && files[0] === path.resolve(options.path)) {
    const isArchive = /\.npz$/i.test(name)
    const labels = new Set(isArchive ? labelNames(name) : [])
    for (const file of (await readdir(folder)).sort()) {
      const isBeside = isArchive ? labels.has(file) : /\.npy$/i.test(file)
      if (!isBeside || file === name) continue
      files.push(path.join(folder, file))
      await add(file, path.join(folder, file))
    }
  }
  return { listing, files, arrays, given }
}

/** Which of the names are images: by their names, or those that are not called like labels. */
const imageNames = (given: readonly string[]): readonly string[] => {
  if (given.length === 1) return given
  const others = given.filter((name) => !LABEL_NAME.test(sayingName(name)))
  const called = others.filter((name) => PICTURE_NAME.test(sayingName(name)))
  return called.length > 0 ? called : others
}

/**
 * Opens NumPy arrays of images, an .npy, an .npz or a folder of them: [N, H, W], [N, H, W, 1 | 3 | 4] or
 * [N, 3, H, W], uint8 or floats from 0 to 1. Labels are the array that is called alike, `labels` for `images`,
 * `y_train` for `x_train`, `arr_1` for `arr_0`: whole numbers or class names. Arrays called train and val or test are
 * the split, else a tenth by hash; `classes.txt` beside the files names the classes.
 * @throws in one sentence when a file is missing, damaged, cut off or holds arrays of another kind.
 */
export const openNpyImages = async (options: ReaderOptions): Promise<DataSplit> => {
  const { listing, files, arrays, given } = await gather(options)
  const place = `data "${path.resolve(options.path)}"`
  const { kept: wanted, split } = withHalves(
    imageNames(given).map((key) => ({ key })),
    ({ key }) => key,
  )
  if (wanted.length === 0) {
    throw new Error(
      `${place}: found arrays called ${given.join(', ') || '(none)'}, expected one called images, x or arr_0; rename it`,
    )
  }
  const records: UnlabelledRecord[] = []
  const masks: string[] = []
  for (const { key, half } of wanted) {
    const array = await openNpy(await arrays.get(key)!())
    const labelsName = labelNames(key).find((candidate) => candidate !== key && arrays.has(candidate))
    const labelArray = labelsName === undefined ? null : await openNpy(await arrays.get(labelsName)!())
    const shape = layoutOf(array, labelArray?.shape[0] === array.shape[0])
    expectFew(array.bytes, shape.count)
    const isBinary = array.kind === 'b' || (array.kind === 'u' && (await isMask(array, shape)))
    if (isBinary) masks.push(key)
    const layout: ImageLayout = { ...shape, unit: isBinary ? 255 : 1 }
    const labels = labelArray === null ? null : await readLabels(labelArray, layout.count)
    for (let i = 0; i < layout.count; i++) {
      const label = labels ? labels[i] : null
      const load = (): Promise<ImageInput> => readImage(array, layout, i)
      records.push({ id: `${key}/${i}`, label, caption: '', half, load })
    }
  }
  return openLabelled(
    {
      source: 'npy',
      ...listing,
      labelledBy: 'label in the array beside it',
      expected: 'uint8 or floats from 0 to 1',
      ...{ files, records, split },
      remark: masks.length > 0 ? `${masks.join(', ')}: 0 and 1 read as black and white` : undefined,
      names: await readClassNames(listing.folder, ['classes.txt', 'classnames.txt']),
    },
    options,
  )
}
