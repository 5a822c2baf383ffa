/**
 * @file WebDataset shards: tar files in which the members of one key, `000123.jpg` and `000123.cls`, are one image.
 *
 * The usual way is to stream shards through a shuffle buffer, since tar has no index. Here the headers are scanned
 * once, stepping over the contents, and an image is (shard, offset, length) from then on. That costs a second or two
 * per hundred thousand members and gives what a buffer cannot: a true permutation of all images every epoch, decided
 * by the seed alone, and a resumed run that sees exactly what an unbroken one would have seen.
 */

import path from 'node:path'
import type { ImageInput } from '../images/decode.ts'
import { IMAGE_ENDINGS, IMAGE_FORMATS, kindsText } from '../images/scan.ts'
import type { DataSplit, SkippedFile } from '../images/source.ts'
import { type Bytes, damaged, openBytes } from './bytes.ts'
import { CLIP_ENDINGS, openClipRecords } from './clipRecords.ts'
import { listContainers, readClassNames } from './containers.ts'
import { factsInJson, labelOf, oneLine } from './jsonFacts.ts'
import { openLabelled, type ReaderOptions, readEncoded, type UnlabelledRecord } from './records.ts'

const BLOCK = 512
/** Read at once while scanning: labels and captions mostly lie in the same piece as the next header. */
const WINDOW = 1 << 14
/** Longest long name, pax header, label, caption or JSON member that is read. */
const TEXT_BYTES = 1 << 20

/** A regular file in a tar, or a link to one. */
export interface TarMember {
  readonly name: string
  /** Where its contents begin; none of a link. */
  readonly offset: number
  readonly size: number
  /** Name of the member that a link stands for. */
  readonly link?: string
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
 * Every regular file and link of a tar in order: ustar with prefixes, GNU long names and sizes, pax paths and sizes. Contents
 * are stepped over; `visit` may read some with the given function, which is fast near the member.
 * @throws naming the file and the byte when a header is damaged, a member reaches past the end, or the end is missing.
 */
export const scanTar = async (
  bytes: Bytes,
  visit: (member: TarMember, read: Bytes['read']) => void | Promise<void>,
): Promise<void> => {
  const read = windowed(bytes)
  let longName: string | undefined
  let longLink: string | undefined
  let pax = new Map<string, string>()
  let at = 0
  while (true) {
    if (at + BLOCK > bytes.size) {
      const rest = bytes.size - at
      const found =
        rest > 0
          ? `only ${rest} more bytes`
          : rest === 0
            ? 'the end of the file'
            : `the end of the file ${-rest} bytes before, within what fills up the last member`
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
    if (type === 'L' || type === 'K' || type === 'x') {
      if (size > TEXT_BYTES) {
        throw damaged(bytes, { offset: at, found: `a name of ${size} bytes`, expected: 'a shorter one' })
      }
      const content = await read(offset, size)
      if (type === 'L') longName = text(content)
      else if (type === 'K') longLink = text(content)
      else pax = paxFields(content)
    } else if (type !== 'g') {
      const isLink = type === '1' || type === '2'
      if (type === '0' || type === '\0' || type === '7' || isLink) {
        const isUstar = text(header.subarray(257, 262)) === 'ustar'
        // GNU's own format has times where ustar has the prefix
        const isGnu = header[262] === 0x20
        const prefix = isUstar && !isGnu ? text(header.subarray(345, 500)) : ''
        const short = text(header.subarray(0, 100))
        const name = pax.get('path') ?? longName ?? (prefix === '' ? short : `${prefix}/${short}`)
        if (!isLink) await visit({ name, offset, size }, read)
        else {
          const given = pax.get('linkpath') ?? longLink ?? text(header.subarray(157, 257))
          // a hard link names a member, a symbolic one a place beside its own
          const link = type === '1' ? given : path.posix.join(path.posix.dirname(name), given)
          await visit({ name, offset, size: 0, link }, read)
        }
      }
      longName = undefined
      longLink = undefined
      pax = new Map()
    }
    at = offset + Math.ceil(size / BLOCK) * BLOCK
  }
}

/** What a name says: `dir/a.b.jpg` is of key `dir/a`, the path up to the first dot of its last part, and of stem `dir/a.b`. */
interface Named {
  readonly key: string
  readonly stem: string
  /** `jpg`; of another letter case alike. */
  readonly ending: string
}

const partsOf = (name: string): Named | null => {
  const match = /^(?:\.\/)?((?:.*\/)?[^./][^./]*)((?:\.[^/]*)?)\.([^./]+)$/.exec(name)
  return match ? { key: match[1], stem: match[1] + match[2], ending: match[3].toLowerCase() } : null
}

/** What the members of one stem said so far. */
interface Sample {
  readonly stem: string
  image: { readonly ending: string; readonly offset: number; readonly size: number } | null
  label: number | string | null
  caption: string
  side: string | undefined
}

/** Counts of what is in a shard and not used, by kind. */
type Unused = Map<string, number>

const count = (unused: Unused, kind: string): void => {
  unused.set(kind, (unused.get(kind) ?? 0) + 1)
}

/** JSON as Python writes it, which knows NaN and Infinity, and as some editors do, with a mark at its start. */
const parseJson = (content: string): unknown => {
  const plain = content.replace(/^\uFEFF/, '')
  try {
    return JSON.parse(plain)
  } catch {
    return JSON.parse(
      plain.replace(/"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b/g, (token) =>
        token.startsWith('"') ? token : 'null',
      ),
    )
  }
}

/** @returns whether it could be read */
const readJson = (sample: Sample, content: string): boolean => {
  try {
    const value = parseJson(content)
    if (typeof value !== 'object' || value === null) return true
    const { label, caption, side } = factsInJson(value)
    sample.label ??= label ?? null
    sample.side ??= side
    if (sample.caption === '') sample.caption = caption ?? ''
    return true
  } catch {
    return false
  }
}

/** What is looked for in shards. */
interface Wanted {
  /** Of names of images or clips, without the dot. */
  readonly endings: ReadonlySet<string>
  readonly thing: 'image' | 'clip'
}

/** Takes a member into its sample. @param content reads it */
const addMember = async (
  sample: Sample,
  ending: string,
  member: TarMember,
  { read, unused, endings, thing }: Pick<ShardIndex, 'unused'> & Wanted & { readonly read: Bytes['read'] },
): Promise<void> => {
  if (endings.has(ending)) {
    // of two members of the same name the later counts, as when a tar is unpacked
    if (sample.image !== null && sample.image.ending !== ending) count(unused, `second ${thing} (.${ending})`)
    else sample.image = { ending, offset: member.offset, size: member.size }
    return
  }
  if (ending !== 'cls' && ending !== 'txt' && ending !== 'json') return count(unused, `.${ending}`)
  if (member.size > TEXT_BYTES) return count(unused, `.${ending} of more than ${TEXT_BYTES} bytes`)
  const content = Buffer.from(await read(member.offset, member.size)).toString('utf8')
  if (ending === 'cls') sample.label = content.trim() === '' ? null : labelOf(content)
  else if (ending === 'txt') sample.caption = oneLine(content)
  else if (!readJson(sample, content)) count(unused, 'unreadable .json')
}

/** Members by name. */
const membersNamed = async (bytes: Bytes, names: ReadonlySet<string>): Promise<Map<string, TarMember>> => {
  const found = new Map<string, TarMember>()
  await scanTar(bytes, (member) => {
    if (names.has(member.name)) found.set(member.name, member)
  })
  return found
}

/** Where links lead, over other links; null for one that leads nowhere. */
const linkEnds = async (
  bytes: Bytes,
  links: readonly TarMember[],
): Promise<readonly (TarMember | null)[]> => {
  const byName = new Map(links.map((member) => [member.name, member]))
  const endOf = (member: TarMember): string | null => {
    let at: TarMember | undefined = member
    for (let steps = 0; steps < 8 && at?.link !== undefined; steps++) {
      const next = byName.get(at.link)
      if (next === undefined) return at.link
      at = next
    }
    return null
  }
  const ends = links.map(endOf)
  const members = await membersNamed(bytes, new Set(ends.filter((name) => name !== null)))
  return ends.map((name) => (name === null ? null : (members.get(name) ?? null)))
}

/** What a shard holds: the samples of each key in order of first appearance. */
interface ShardIndex {
  readonly keys: ReadonlyMap<string, readonly Sample[]>
  readonly unused: Unused
  readonly skipped: readonly SkippedFile[]
}

const indexShard = async (bytes: Bytes, wanted: Wanted): Promise<ShardIndex> => {
  const keys = new Map<string, Sample[]>()
  const samples = new Map<string, Sample>()
  const unused: Unused = new Map()
  const skipped: SkippedFile[] = []
  const links: TarMember[] = []
  const add = async (member: TarMember, place: TarMember, read: Bytes['read']): Promise<void> => {
    const parts = partsOf(member.name)
    if (!parts) return count(unused, 'without ending')
    const { key, stem, ending } = parts
    let sample = samples.get(stem)
    if (!sample) {
      sample = { stem, image: null, label: null, caption: '', side: undefined }
      samples.set(stem, sample)
      const others = keys.get(key)
      if (others) others.push(sample)
      else keys.set(key, [sample])
    }
    await addMember(sample, ending, place, { ...wanted, read, unused })
  }
  await scanTar(bytes, (member, read) =>
    member.link === undefined ? add(member, member, read) : void links.push(member),
  )
  if (links.length > 0) {
    for (const [i, end] of (await linkEnds(bytes, links)).entries()) {
      if (end !== null) await add(links[i], end, bytes.read)
      else skipped.push({ file: links[i].name, reason: `is a link to ${links[i].link}, which is not there` })
    }
  }
  return { keys, unused, skipped }
}

/** A sample with its image, under the name that it goes by. */
type Usable = Sample & { readonly image: NonNullable<Sample['image']>; readonly name: string }

const usable = (name: string, sample: Sample, { image }: Sample = sample): Usable[] =>
  image === null ? [] : [{ ...sample, image, name }]

/**
 * The images of a key. `a.mask.png` is a companion of `a.png`, or the image where there is no other; but where all names
 * have a further dot (`cat.0001.jpg`, `cat.0002.jpg`), the dots are part of the names.
 */
const imagesOf = (key: string, samples: readonly Sample[], unused: Unused): Usable[] => {
  const plain = samples.find(({ stem }) => stem === key)
  if (plain === undefined && samples.length > 1) return samples.flatMap((one) => usable(one.stem, one))
  const own = plain ?? samples[0]
  const others = samples.filter(({ image }) => image !== null)
  const shown = own.image === null ? others[0] : own
  for (const other of others)
    if (other !== shown)
      count(unused, `${other.stem.slice(key.length)}.${other.image?.ending} beside another`)
  return shown === undefined ? [] : usable(key, own, shown)
}

/** What an image or clip of a shard is loaded by: the bytes of the one, and where in the shard the other lies. */
const loadingOf = (
  bytes: Bytes,
  { offset, size, ending }: Usable['image'],
  { thing }: Wanted,
): Pick<UnlabelledRecord, 'load' | 'within'> => {
  const read = (): Promise<ImageInput> => readEncoded(bytes, offset, size)
  return thing === 'image'
    ? { load: read }
    : { load: () => bytes.name, within: { offset, size, ending, read } }
}

/**
 * Opens WebDataset shards: a .tar file or a folder of them. The image of a key is its .jpg, .png, .webp, .avif, .gif or
 * .tif, also by a link; where frames are more than one its clip is its .mp4, .webm, .gif and so on. `.cls`, or the label or class
 * name in `.json`, is its class, `.txt` or the caption in `.json` its caption.
 * `classnames.txt` or `classes.txt` beside the shards names the classes. Shards called train and val or test are the
 * split, else a tenth of the keys by hash.
 * @throws in one sentence when a shard is missing, damaged or cut off, or nothing can be decoded.
 */
export const openWebDataset = async (options: ReaderOptions): Promise<DataSplit> => {
  const listing = await listContainers('webdataset', options.path, { names: /\.tar$/i, words: '.tar files' })
  const { folder, containers } = listing
  const isOfClips = (options.frames ?? 1) > 1
  const wanted: Wanted = isOfClips
    ? { endings: CLIP_ENDINGS, thing: 'clip' }
    : { endings: IMAGE_ENDINGS, thing: 'image' }
  const formats = isOfClips ? 'mp4, webm, gif …' : IMAGE_FORMATS
  const records: UnlabelledRecord[] = []
  const skipped: SkippedFile[] = []
  const unused: Unused = new Map()
  for (const { id, path: where, half } of containers) {
    const bytes = await openBytes(where)
    const index = await indexShard(bytes, wanted)
    for (const [kind, times] of index.unused) unused.set(kind, (unused.get(kind) ?? 0) + times)
    for (const { file, reason } of index.skipped) skipped.push({ file: `${id}/${file}`, reason })
    for (const [key, samples] of index.keys) {
      const images = imagesOf(key, samples, unused)
      if (images.length === 0) count(unused, `keys without ${isOfClips ? 'a clip' : 'an image'}`)
      for (const { name, image, label, caption, side } of images) {
        const loading = loadingOf(bytes, image, wanted)
        records.push({ id: `${id}/${name}`, label, caption, side, half, ...loading })
      }
    }
  }
  if (records.length === 0) {
    const found = kindsText(Object.fromEntries(unused)) || 'nothing'
    const other = isOfClips ? 'set frames to 1 for images' : 'set frames for clips'
    throw new Error(
      `${path.resolve(options.path)}: found no usable ${wanted.thing} (${found}), expected ${formats} members; pass other shards, or ${other}`,
    )
  }
  return openLabelled(
    {
      source: isOfClips ? 'webdataset-clips' : 'webdataset',
      thing: wanted.thing,
      ...listing,
      labelledBy: `label beside the ${wanted.thing}`,
      expected: `intact ${formats} members`,
      files: containers.map((container) => container.path),
      ...{ records, skipped, ignoredInside: Object.fromEntries(unused) },
      names: await readClassNames(folder, ['classnames.txt', 'classes.txt']),
    },
    options,
    isOfClips ? openClipRecords : undefined,
  )
}
