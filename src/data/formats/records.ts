/**
 * @file What every kind of data gives, whatever it is stored in: a numbered list of records. From there on one
 * mechanism serves all: classes, the split, packing or streaming, and the naming of what had to be skipped.
 */

import { constants } from 'node:buffer'
import { createHash } from 'node:crypto'
import type { Stats } from 'node:fs'
import { stat } from 'node:fs/promises'
import path from 'node:path'
import { decodeImage, type ImageInput, isUndecodable } from '../images/decode.ts'
import { type ImageItem, type OnProgress, openPack } from '../images/packed.ts'
import { packedSource } from '../images/packedSource.ts'
import { byBytes, type OtherFile, someOf } from '../images/scan.ts'
import type { DataSplit, DataSummary, ImageSource, SkippedFile } from '../images/source.ts'
import { type StreamingOptions, streamingSource } from '../images/streaming.ts'
import { type Bytes, damaged } from './bytes.ts'
import { ignoredKinds } from './containers.ts'
import { hashFraction } from './hashFraction.ts'
import { type Half, type NamedSplit, namedSplit } from './namedSplit.ts'

/** Decoded sets up to this many bytes are held in memory: 2 GiB. */
export const DEFAULT_PACK_BYTES: number = 2 ** 31

/** Share of the images that become validation when the data does not say. */
const VALIDATION_SHARE = 0.1

/** Longest encoded image that is read: 256 MiB. */
const IMAGE_BYTES = 2 ** 28

/** Reads an encoded image out of a container; one that is far too long is none. */
export const readEncoded = async (bytes: Bytes, offset: number, size: number): Promise<ImageInput> =>
  size > IMAGE_BYTES
    ? { reason: `has ${size} bytes, more than the ${IMAGE_BYTES} that an image may have` }
    : bytes.read(offset, size)

/** Images of one file at most: each takes a few hundred bytes while the set is open. */
const MOST_IMAGES = 2 ** 24

/** @throws when a file says that it holds more images than can be numbered */
export const expectFew = (bytes: Pick<Bytes, 'name'>, count: number): void => {
  if (count <= MOST_IMAGES) return
  throw damaged(bytes, {
    offset: 0,
    found: `${count} images`,
    expected: `${MOST_IMAGES} at most`,
    todo: 'check that it is a set of images, or part it into several',
  })
}

/** One image with what is known of it; `load` may be called in any order and several times at once. */
export interface ImageRecord extends ImageItem {
  /** Class index, −1 without classes. */
  readonly label: number
  readonly caption: string
  /** Ignored unless the data has records of both halves. */
  readonly half: Half
  /** What the split hashes: records with the same text stay together. Default `id`. */
  readonly group?: string
}

/** All images of one data set, in an order that depends on its files alone. */
export interface RecordSet {
  /** Kind of data, the start of the pack's file names. */
  readonly source: string
  /** Name for logs, for example the folder's. */
  readonly name: string
  /** How messages call the data, for example `data folder "/photos"`. */
  readonly place: string
  /** What intact images would be, for messages. */
  readonly expected: string
  /** What a record is; an image when left out. */
  readonly thing?: 'image' | 'clip'
  /** What the two halves are called where the data has them. */
  readonly halves: Readonly<Record<Half, string>>
  /** Changes whenever the files change. */
  readonly fingerprint: string
  readonly classes: readonly string[]
  readonly records: readonly ImageRecord[]
  /** What was left out before anything was decoded. */
  readonly skipped: readonly SkippedFile[]
  /** What is known before the images are: the split, where its halves say nothing, is decided by the hash. */
  readonly summary: DataSummary
}

/** How records become images. */
export interface RecordOptions {
  /** Height and width in pixels. */
  readonly size: number
  /** Frames that are read of a clip, for records that are clips. */
  readonly frames?: number
  /** Frames of the clip from one that is read to the next. Default 1. */
  readonly stride?: number
  /** Largest decoded set, in bytes, that is packed; larger ones stream. 0 always streams. */
  readonly packBytes?: number
  readonly cacheDir?: string
  readonly onProgress?: OnProgress
  /** Ends decoding once it is aborted. */
  readonly signal?: AbortSignal
}

/** Which files, and how their records become images. */
export interface ReaderOptions extends RecordOptions {
  /** A file or a folder. */
  readonly path: string
}

/** Sizes and times of files; the time of change too, since a repaired permission leaves the other alone. */
export const filesFingerprint = async (root: string, files: readonly string[]): Promise<string> => {
  const hash = createHash('sha256').update(root)
  const block = 64 // files looked up at once
  for (let from = 0; from < files.length; from += block) {
    const infos = await Promise.all(
      files.slice(from, from + block).map((file): Promise<Stats | null> => stat(file).catch(() => null)),
    )
    for (const info of infos) hash.update(info ? `${info.size},${info.mtimeMs},${info.ctimeMs};` : 'gone;')
  }
  return hash.digest('hex')
}

/** A record whose label is as the file has it: a number, a class name, or null when there is none. */
export type UnlabelledRecord = Omit<ImageRecord, 'label'> & {
  readonly label: number | string | null
  /** What a column of its own says of the split, where there is one. */
  readonly side?: string | undefined
}

/** −1 is how several formats write that there is none. */
const isLabel = (label: number | string | null): label is number | string =>
  typeof label === 'string' || (label !== null && label >= 0)

/** What is measured, as 0.25 is, is no class; NaN is how tables write that there is none. */
const isMeasured = (label: number | string | null): boolean =>
  typeof label === 'number' && !Number.isInteger(label) && !Number.isNaN(label)

/** Classes, and how they were decided. */
interface Classed extends Pick<RecordSet, 'classes' | 'records' | 'skipped'> {
  readonly decided: string
}

/** Numbers for labels: indices into names, or positions among all that occur. */
const classIndex = (
  records: readonly UnlabelledRecord[],
  names: readonly string[] | null,
): { readonly classes: readonly string[]; readonly index: ReadonlyMap<number | string, number> } => {
  const labels = new Set<number | string>()
  for (const { label } of records) if (isLabel(label)) labels.add(label)
  const found = [...labels]
  const numbers = found.filter((label) => typeof label === 'number').sort((a, b) => a - b)
  const words = found.filter((label) => typeof label === 'string').sort(byBytes)
  const classes = names ?? [...numbers.map(String), ...words]
  const index = new Map<number | string, number>()
  if (names) for (const label of numbers) if (label >= 0 && label < names.length) index.set(label, label)
  if (!names) for (const [i, label] of numbers.entries()) index.set(label, i)
  const places = new Map<string, number>()
  for (const [i, name] of classes.entries()) if (!places.has(name)) places.set(name, i)
  for (const word of words) {
    const place = places.get(word)
    if (place !== undefined) index.set(word, place)
  }
  return { classes, index }
}

/**
 * Class names and indices from labels as files have them. With `names` a number is an index into them; without, the
 * numbers (or names) that occur are the classes, in order. Where most of the images to train on have a label, those
 * without a usable one are left out and named; where few have, or labels are not whole numbers, there are no classes.
 * @param by where labels are taken from, in words
 */
export const withClasses = (
  records: readonly UnlabelledRecord[],
  names: readonly string[] | null,
  by = 'label',
): Classed => {
  const trained = records.filter(({ half }) => half === 'train')
  const labelled = trained.filter(({ label }) => isLabel(label)).length
  const measured = records.find(({ label }) => isMeasured(label))
  if (measured !== undefined || labelled === 0 || 2 * labelled <= trained.length) {
    const why =
      measured !== undefined
        ? ` (${by} is not used: ${measured.label} is no whole number)`
        : labelled > 0
          ? ` (only ${labelled} of ${trained.length} images have a ${by})`
          : ''
    const unlabelled = records.map((record) => ({ ...record, label: -1 }))
    return { classes: [], records: unlabelled, skipped: [], decided: `no classes${why}` }
  }
  const { classes, index } = classIndex(records, names)
  const kept: ImageRecord[] = []
  const skipped: SkippedFile[] = []
  for (const record of records) {
    const label = isLabel(record.label) ? index.get(record.label) : undefined
    if (label !== undefined) kept.push({ ...record, label })
    else {
      const reason = isLabel(record.label)
        ? `label ${record.label} is none of the ${classes.length} classes`
        : 'has no label, unlike others'
      skipped.push({ file: record.id, reason })
    }
  }
  const decided = `${classes.length} class${classes.length === 1 ? '' : 'es'} by ${by}`
  return { classes, records: kept, skipped, decided }
}

/** Positions of the two sides. */
interface Sides {
  readonly train: readonly number[]
  readonly validation: readonly number[]
}

/**
 * Parts positions 0..n−1: validation is whose text hashes below a tenth, so that an image's side does not depend on
 * the others; only that with two images or more each side gets at least one, a single image serves as both, and the last
 * image of a class stays in training where that leaves something to validate on.
 * @param labels class of each; all of one when left out
 */
export const splitByHash = (texts: readonly string[], labels: readonly number[] = []): Sides => {
  const all = texts.map((_, i) => i)
  if (all.length < 2) return { train: all, validation: all }
  const at = texts.map(hashFraction)
  const byHash = [...all].sort((a, b) => at[a] - at[b] || a - b)
  const labelOf = (i: number): number => labels[i] ?? 0
  const left = new Map<number, number>()
  for (const i of all) left.set(labelOf(i), (left.get(labelOf(i)) ?? 0) + 1)
  const chosen = new Set<number>()
  for (const i of byHash) {
    const rest = left.get(labelOf(i))! - 1
    if (at[i] >= VALIDATION_SHARE && chosen.size > 0) break
    if (rest === 0) continue
    chosen.add(i)
    left.set(labelOf(i), rest)
  }
  // of classes of one image each, a tenth is held out all the same: images to measure on are needed more
  const share = Math.max(1, at.filter((x) => x < VALIDATION_SHARE).length)
  const held = chosen.size > 0 ? chosen : new Set(byHash.slice(0, Math.min(share, all.length - 1)))
  return { train: all.filter((i) => !held.has(i)), validation: all.filter((i) => held.has(i)) }
}

/** The error of a set of which nothing can be decoded. */
export const allFailed = (
  { place, expected, records, thing = 'image' }: RecordSet,
  first: SkippedFile | undefined,
): Error => {
  const total = records.length
  const example = first ? ` (first: ${first.file}: ${first.reason})` : ''
  const what = total === 1 ? `its only ${thing} cannot` : `none of its ${total} ${thing}s can`
  return new Error(
    `${place}: ${what} be decoded${example}; expected ${expected}, so replace them or pass another`,
  )
}

/** Positions of the two sides among the records that are left. @throws when one of the data's own is left empty. */
export const sidesOf = (set: RecordSet, left: readonly ImageRecord[]): Sides => {
  const own = new Set(set.records.map((record) => record.half))
  if (own.size < 2) {
    return splitByHash(
      left.map(({ id, group }) => group ?? id),
      left.map(({ label }) => label),
    )
  }
  const of = (half: Half): number[] => left.flatMap((record, i) => (record.half === half ? [i] : []))
  for (const half of ['train', 'validation'] as const) {
    if (of(half).length > 0) continue
    throw new Error(
      `${set.place}: ${set.halves[half]} holds no ${set.thing ?? 'image'} that can be decoded; add some, or remove it to have a tenth held out`,
    )
  }
  return { train: of('train'), validation: of('validation') }
}

/** The summary with what is known once the sides are: classes of which too little is left to train on. */
export const summaryWith = (
  { summary, classes, records, thing = 'image' }: RecordSet,
  left: readonly ImageRecord[],
  { train, validation }: Sides,
): DataSummary => {
  const counts = classes.map(() => ({ train: 0, all: 0 }))
  for (const { label } of left) if (label >= 0) counts[label].all++
  for (const i of train) if (left[i].label >= 0) counts[left[i].label].train++
  const named = (is: (count: { train: number; all: number }) => boolean): string[] =>
    classes.filter((_, label) => is(counts[label]))
  const isHashed = new Set(records.map(({ half }) => half)).size < 2
  const single = isHashed ? named(({ train, all }) => all === 1 && train === 1) : []
  const untrained = named(({ train, all }) => all > 0 && train === 0)
  return {
    ...summary,
    split: [
      summary.split,
      ...(validation.length === 1 && train.length === 1 && train[0] === validation[0]
        ? [`the only ${thing} is on both sides`]
        : []),
      ...(single.length > 0 ? [`the only ${thing} of ${someOf(single)} is trained on`] : []),
      ...(untrained.length > 0
        ? [`${someOf(untrained)} without ${thing === 'image' ? 'an image' : 'a clip'} to train on`]
        : []),
    ].join('; '),
  }
}

/**
 * Opens records as training and validation sources: packed in memory when they fit `packBytes` once decoded, else
 * decoded on demand. Images that cannot be decoded are named in `skipped` and left out (packed) or stood in for
 * (streaming).
 * @throws in one sentence when no image of the data or of one of its halves can be decoded, a container is damaged
 * or the cache cannot be written.
 */
export const openRecords = async (set: RecordSet, options: RecordOptions): Promise<DataSplit> => {
  const { size, packBytes = DEFAULT_PACK_BYTES } = options
  const bytes = set.records.length * size * size * 3
  const fits = bytes <= Math.min(packBytes, constants.MAX_LENGTH)
  if (fits) return openPacked(set, options)
  const decode = async (image: ImageItem) => decodeImage(await image.load(), { size, fit: 'cover' })
  return openStreaming(set, { size, decode })
}

/** Records as files have them: labels are numbers or names, and which images they are is told by the files. */
export interface LabelledFiles extends Pick<RecordSet, 'source' | 'name' | 'expected' | 'thing'> {
  readonly folder: string
  /** Absolute paths of everything that the images depend on. */
  readonly files: readonly string[]
  readonly records: readonly UnlabelledRecord[]
  /** Names of the classes that numbers stand for; null where there are none. */
  readonly names: readonly string[] | null
  /** What labels are taken from, in words, as in `2 classes by folder`. */
  readonly labelledBy: string
  /** What the names of files or folders say of the split; null when nothing. */
  readonly split: NamedSplit | null
  /** Files of other kinds, among which may be some that were read after all. */
  readonly others: readonly OtherFile[]
  /** What was left out so far. */
  readonly skipped?: readonly SkippedFile[]
  /** How messages call the data; its path when left out. */
  readonly place?: string
  /** What else is to be said of how images were read. */
  readonly remark?: string | undefined
  /** Things inside of containers that were not read, by kind. */
  readonly ignoredInside?: Readonly<Record<string, number>>
}

/** Records in the halves that a column says, where one does. */
const bySideColumn = (
  records: readonly UnlabelledRecord[],
): { readonly records: readonly UnlabelledRecord[]; readonly split: NamedSplit } | null => {
  if (!records.some(({ side }) => side !== undefined)) return null
  const pathOf = ({ side }: UnlabelledRecord): string[] => (side !== undefined ? [side] : [])
  const split = namedSplit(records.map(pathOf), false)
  if (split === null) return null
  const halved = records.flatMap((record) => {
    const half = split.halfOf(pathOf(record))
    return half === null ? [] : [{ ...record, half }]
  })
  return { records: halved, split }
}

/** Where the half that is held out has not one label, unlike the other, it cannot be: all is for training then. */
const withoutEmptyHalf = (
  given: readonly UnlabelledRecord[],
  { records, ...rest }: Classed,
): Classed & { readonly lost: boolean } => {
  const holds = (half: Half, among: readonly { readonly half: Half }[]): boolean =>
    among.some((record) => record.half === half)
  const lost = holds('validation', given) && !holds('validation', records)
  return { ...rest, lost, records: lost ? records.map((record) => ({ ...record, half: 'train' })) : records }
}

const splitText = (split: NamedSplit | null, isLost: boolean): string => {
  const hash = 'a tenth held out by a hash of names'
  if (split === null) return hash
  const { names, leftOut } = split
  if (isLost) return `${hash}, since nothing in ${names.validation} has a label`
  const unused = leftOut.length === 0 ? '' : `, ${someOf(leftOut)} left out`
  return `trained on ${names.train}, held out ${names.validation}${unused}`
}

/**
 * Opens records with labels as their files have them (see withClasses, openRecords).
 * @param open what makes sources of records; of images when left out
 */
export const openLabelled = async (
  { folder, files, records, names, labelledBy, split, others, skipped = [], ...set }: LabelledFiles,
  options: ReaderOptions,
  open: (set: RecordSet, options: RecordOptions) => Promise<DataSplit> = openRecords,
): Promise<DataSplit> => {
  const column = bySideColumn(records)
  const halved = column?.records ?? records
  const { lost, decided, ...labelled } = withoutEmptyHalf(halved, withClasses(halved, names, labelledBy))
  const { place = `data "${path.resolve(options.path)}"`, ignoredInside = {}, remark, ...rest } = set
  const summary: DataSummary = {
    files: files.length,
    ignored: { ...ignoredKinds(folder, others, files), ...ignoredInside },
    classes: remark === undefined ? decided : `${remark}; ${decided}`,
    split: splitText(column?.split ?? split, lost),
  }
  const halves = (column?.split ?? split)?.names ?? { train: 'train', validation: 'validation' }
  const found = { halves, summary, place, skipped: [...skipped, ...labelled.skipped] }
  const fingerprint = await filesFingerprint(folder, files)
  return open({ ...rest, ...labelled, ...found, fingerprint }, options)
}

const openPacked = async (
  set: RecordSet,
  { size, cacheDir, onProgress, signal }: RecordOptions,
): Promise<DataSplit> => {
  const { source, name, fingerprint, classes, records } = set
  const pack = await openPack({
    source,
    fingerprint,
    images: records,
    size,
    fit: 'cover',
    cacheDir,
    onProgress,
    signal,
  })
  if (pack.kept.length === 0) throw allFailed(set, pack.skipped[0])
  const kept = pack.kept.map((at) => records[at])
  const sides = sidesOf(set, kept)
  const half = (side: Half, rows: readonly number[]): ImageSource => {
    const members = rows.map((row) => {
      const { id, caption, label } = kept[row]
      return { row, id, caption, label }
    })
    return packedSource({
      name: `${name} (${side})`,
      pixels: pack.pixels,
      fingerprint,
      size,
      classes,
      members,
    })
  }
  return {
    train: half('train', sides.train),
    validation: half('validation', sides.validation),
    skipped: [...set.skipped, ...pack.skipped],
    summary: summaryWith(set, kept, sides),
  }
}

/** How records become images or clips as they are read. */
type Decoding = Pick<StreamingOptions, 'frames' | 'decode' | 'size'>

/** Opens records that are decoded as they are read. @throws when none can be */
export const openStreaming = async (set: RecordSet, decoding: Decoding): Promise<DataSplit> => {
  const { name, fingerprint, classes, records } = set
  const skipped: SkippedFile[] = [...set.skipped]
  const sides = sidesOf(set, records)
  const half = (side: Half, rows: readonly number[]): ImageSource => {
    const images = rows.map((row) => records[row])
    return streamingSource({ ...decoding, name: `${name} (${side})`, fingerprint, classes, images, skipped })
  }
  await requireOneDecodable(set, decoding)
  return {
    train: half('train', sides.train),
    validation: half('validation', sides.validation),
    skipped,
    summary: summaryWith(set, records, sides),
  }
}

/** Stops at the first that decodes, so it costs one decoding unless the data is all corrupt. */
const requireOneDecodable = async (set: RecordSet, { decode }: Decoding): Promise<void> => {
  let first: SkippedFile | undefined
  for (const record of set.records) {
    const result = await decode(record, 0)
    if (!isUndecodable(result)) return
    first ??= { file: record.id, reason: result.reason }
  }
  throw allFailed(set, first)
}
