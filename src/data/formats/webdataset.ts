/**
 * @file WebDataset shards: tar files in which the members of one key, `000123.jpg` and `000123.cls`, are one image.
 *
 * The usual way is to stream shards through a shuffle buffer, since tar has no index. Here the headers are scanned
 * once, stepping over the contents, and an image is (shard, offset, length) from then on. That costs a second or two
 * per hundred thousand members and gives what a buffer cannot: a true permutation of all images every epoch, decided
 * by the seed alone, and a resumed run that sees exactly what an unbroken one would have seen.
 */

import path from 'node:path'
import { IMAGE_FORMATS } from '../images/scan.ts'
import type { DataSplit, SkippedFile } from '../images/source.ts'
import { type Bytes, damaged, openBytes } from './bytes.ts'
import { listContainers, readClassNames } from './containers.ts'
import { factsInJson, labelOf, oneLine } from './jsonFacts.ts'
import { openLabelled, type ReaderOptions, readEncoded, type UnlabelledRecord } from './records.ts'

const BLOCK = 512
/** Read at once while scanning: labels and captions mostly lie in the same piece as the next header. */
const WINDOW = 1 << 14
/** Longest long name, pax header, label, caption or JSON member that is read. */
const TEXT_BYTES = 1 << 20

/** A regular file in a tar. */
export interface TarMember {
  readonly name: string
  /** Where its contents begin. */
  readonly offset: number
  readonly size: number
}

/** A few blocks of the file, the last ones read, so that small members cost no call each. */
const windowed = (bytes: Bytes): Bytes['read'] => {
  let start = 0
  let held: Uint8Array = new Uint8Array(0)
  return async (offset, length) => {
    if (offset < start || offset + length > start + held.length) {
      const most = Math.min(Math.max(length, WINDOW), bytes.size - offset)
      // a read that does not fit is let through to say so
      held = await bytes.read(offset, Math.max(length, most))
      start = offset
    }
    return held.subarray(offset - start, offset - start + length)
  }
}

const text = (bytes: Uint8Array): string => {
  const end = bytes.indexOf(0)
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString('utf8')
}

/** A number of a header: octal digits, or big-endian bytes when the first bit is set (GNU, sizes from 8 GiB on). */
const tarNumber = (field: Uint8Array): number => {
  if (field[0] & 0x80) return field.subarray(1).reduce((sum, byte) => sum * 256 + byte, field[0] & 0x7f)
  const digits = text(field).trim()
  return digits === '' ? 0 : /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number.NaN
}

/** Whether the header's sum is right: of its bytes, with the field of the sum itself taken as spaces. */
const sumFits = (header: Uint8Array): boolean => {
  let sum = 8 * 32
  for (let i = 0; i < BLOCK; i++) if (i < 148 || i >= 156) sum += header[i]
  return sum === tarNumber(header.subarray(148, 156))
}

/** The records `length key=value\n` of a pax header. */
const paxFields = (content: Uint8Array): Map<string, string> => {
  const fields = new Map<string, string>()
  for (let at = 0; at < content.length; ) {
    const space = content.indexOf(0x20, at)
    const length =
      space < 0 ? Number.NaN : Number(Buffer.from(content.subarray(at, space)).toString('latin1'))
    if (!Number.isInteger(length) || length <= space - at || at + length > content.length) break
    const [key, ...rest] = Buffer.from(content.subarray(space + 1, at + length - 1))
      .toString('utf8')
      .split('=')
    fields.set(key, rest.join('='))
    at += length
  }
  return fields
}

/**
 * Every regular file of a tar in order: ustar with prefixes, GNU long names and sizes, pax paths and sizes. Contents
 * are stepped over; `visit` may read some with the given function, which is fast near the member.
 * @throws naming the file and the byte when a header is damaged, a member reaches past the end, or the end is missing.
 */
export const scanTar = async (
  bytes: Bytes,
  visit: (member: TarMember, read: Bytes['read']) => void | Promise<void>,
): Promise<void> => {
  const read = windowed(bytes)
  let longName: string | undefined
  let pax = new Map<string, string>()
  let at = 0
  while (true) {
    if (at + BLOCK > bytes.size) {
      const found = at === bytes.size ? 'the end of the file' : `only ${bytes.size - at} more bytes`
      throw damaged(bytes, {
        offset: at,
        found,
        expected: 'another header or the empty blocks that end a tar',
      })
    }
    const header = await read(at, BLOCK)
    if (header.every((byte) => byte === 0)) return
    const gzipped = at === 0 && header[0] === 0x1f && header[1] === 0x8b
    if (gzipped || !sumFits(header)) {
      throw damaged(bytes, {
        offset: at,
        found: gzipped ? 'gzip data' : 'a header whose checksum is wrong',
        expected: 'a tar header',
        todo: gzipped ? 'unpack the file with gunzip first' : undefined,
      })
    }
    const type = String.fromCharCode(header[156])
    // the size in a pax header stands for that of the file itself
    const extended = type !== 'x' && type !== 'g' ? pax.get('size') : undefined
    const size = extended === undefined ? tarNumber(header.subarray(124, 136)) : Number(extended)
    const offset = at + BLOCK
    if (!Number.isSafeInteger(size) || size < 0 || offset + size > bytes.size) {
      throw damaged(bytes, {
        offset: at,
        found: `a member of ${size} bytes, of which ${bytes.size - offset} are there`,
        expected: 'all of it',
      })
    }
    if (type === 'L' || type === 'x') {
      if (size > TEXT_BYTES) {
        throw damaged(bytes, { offset: at, found: `a name of ${size} bytes`, expected: 'a shorter one' })
      }
      const content = await read(offset, size)
      if (type === 'L') longName = text(content)
      else pax = paxFields(content)
    } else if (type !== 'g' && type !== 'K') {
      if (type === '0' || type === '\0' || type === '7') {
        const isUstar = text(header.subarray(257, 262)) === 'ustar'
        // GNU's own format has times where ustar has the prefix
        const isGnu = header[262] === 0x20
        const prefix = isUstar && !isGnu ? text(header.subarray(345, 500)) : ''
        const short = text(header.subarray(0, 100))
        const name = pax.get('path') ?? longName ?? (prefix === '' ? short : `${prefix}/${short}`)
        await visit({ name, offset, size }, read)
      }
      longName = undefined
      pax = new Map()
    }
    at = offset + Math.ceil(size / BLOCK) * BLOCK
  }
}

const IMAGE_ENDINGS = new Set(['png', 'jpg', 'jpeg', 'webp', 'avif', 'gif'])

/** `dir/a.b.jpg` → [`dir/a`, `b.jpg`]: the key is the path up to the first dot of its last part. */
const keyOf = (name: string): readonly [key: string, ending: string] | null => {
  const match = /^(?:\.\/)?((?:.*\/)?[^./][^./]*)\.([^/]+)$/.exec(name)
  return match ? [match[1], match[2].toLowerCase()] : null
}

/** What the members of one key said so far. */
interface Sample {
  image?: { readonly ending: string; readonly offset: number; readonly size: number }
  label: number | string | null
  caption: string
  /** Why it cannot be used. */
  fault?: string
}

const readJson = (sample: Sample, content: string): void => {
  let value: unknown
  try {
    value = JSON.parse(content)
  } catch {
    sample.fault = 'its .json cannot be read'
    return
  }
  if (typeof value !== 'object' || value === null) return
  const { label, caption } = factsInJson(value)
  sample.label ??= label ?? null
  if (sample.caption === '') sample.caption = caption ?? ''
}

const addMember = async (
  sample: Sample,
  ending: string,
  member: TarMember,
  read: Bytes['read'],
): Promise<void> => {
  if (IMAGE_ENDINGS.has(ending.split('.').at(-1)!)) {
    // `jpg` is the image, `mask.jpg` only where nothing else is
    const { image } = sample
    const better = image?.ending.includes('.') === true && !ending.includes('.')
    // of two members of the same name the later counts, as when a tar is unpacked
    if (!image || better || image.ending === ending)
      sample.image = { ending, offset: member.offset, size: member.size }
    return
  }
  if (ending !== 'cls' && ending !== 'txt' && ending !== 'json') return
  if (member.size > TEXT_BYTES) {
    sample.fault = `its .${ending} has ${member.size} bytes`
    return
  }
  const content = Buffer.from(await read(member.offset, member.size)).toString('utf8')
  if (ending === 'cls') sample.label = content.trim() === '' ? null : labelOf(content)
  else if (ending === 'txt') sample.caption = oneLine(content)
  else readJson(sample, content)
}

/** The samples of a shard by key, in order of first appearance. */
const indexShard = async (bytes: Bytes): Promise<ReadonlyMap<string, Sample>> => {
  const samples = new Map<string, Sample>()
  await scanTar(bytes, async (member, read) => {
    const split = keyOf(member.name)
    if (!split) return
    const [key, ending] = split
    let sample = samples.get(key)
    if (!sample) {
      sample = { label: null, caption: '' }
      samples.set(key, sample)
    }
    await addMember(sample, ending, member, read)
  })
  return samples
}

/**
 * Opens WebDataset shards: a .tar file or a folder of them. The image of a key is its .jpg, .png, .webp, .avif or
 * .gif; `.cls`, or the label or class name in `.json`, is its class, `.txt` or the caption in `.json` its caption.
 * `classnames.txt` or `classes.txt` beside the shards names the classes. Shards called train and val or test are the
 * split, else a tenth of the keys by hash.
 * @throws in one sentence when a shard is missing, damaged or cut off, or no image can be decoded.
 */
export const openWebDataset = async (options: ReaderOptions): Promise<DataSplit> => {
  const listing = await listContainers('webdataset', options.path, { names: /\.tar$/i, words: '.tar files' })
  const { folder, containers } = listing
  const records: UnlabelledRecord[] = []
  const skipped: SkippedFile[] = []
  let others = 0
  for (const { id, path: where, half } of containers) {
    const bytes = await openBytes(where)
    for (const [key, { image, label, caption, fault }] of await indexShard(bytes)) {
      const record = `${id}/${key}`
      if (!image) others++
      else if (fault !== undefined) skipped.push({ file: record, reason: fault })
      else {
        const { offset, size } = image
        records.push({ id: record, label, caption, half, load: () => readEncoded(bytes, offset, size) })
      }
    }
  }
  if (records.length === 0) {
    throw new Error(
      `${path.resolve(options.path)}: found ${others + skipped.length} keys without a usable image, expected ${IMAGE_FORMATS} members; pass other shards`,
    )
  }
  return openLabelled(
    {
      source: 'webdataset',
      ...listing,
      labelledBy: 'label beside the image',
      expected: `intact ${IMAGE_FORMATS} members`,
      files: containers.map((container) => container.path),
      ...{ records, skipped },
      names: await readClassNames(folder, ['classnames.txt', 'classes.txt']),
    },
    options,
  )
}
