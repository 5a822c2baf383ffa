/**
 * @file The pictures of a tab: decoded, all of one size, one after the other as bytes, with a list of what they are. Those that
 * a person brings are kept so beside the run; the bundled ones come so with the site.
 */
import { z } from 'zod'
import { packedSource } from '../data/images/packedSource.ts'
import type { DataSplit, ImageSource, SkippedFile } from '../data/images/source.ts'
import { parseChecked } from '../stored/checkedJson.ts'
import { joined, type RunFiles, readText, writeText } from './files.ts'

/** A picture of a list. */
interface Listed {
  readonly id: string
  readonly caption: string
  /** Class index, −1 without classes. */
  readonly label: number
}

/** What pictures are, those to train on first. */
export interface PictureList {
  readonly version: 1
  /** What they are called in messages. */
  readonly name: string
  /** Height and width in pixels. */
  readonly size: number
  readonly classes: readonly string[]
  readonly train: readonly Listed[]
  readonly validation: readonly Listed[]
  /** Files that could not be used. */
  readonly skipped: readonly SkippedFile[]
}

/** A list and its pixels, [train and then validation, size, size, 3]. */
export interface Pictures {
  readonly list: PictureList
  readonly pixels: Uint8Array
}

const listed = z.array(z.object({ id: z.string(), caption: z.string(), label: z.int() }))

/** Of a list as JSON. */
const listSchema: z.ZodType<PictureList> = z.object({
  version: z.literal(1),
  name: z.string(),
  size: z.int().positive(),
  classes: z.array(z.string()),
  train: listed,
  validation: listed,
  skipped: z.array(z.object({ file: z.string(), reason: z.string() })),
})

/** Pictures as what a run is trained on. @throws when there are more or fewer pixels than the list says */
export const pictureSplit = ({ list, pixels }: Pictures): DataSplit => {
  const { name, size, classes, train, validation, skipped } = list
  const [found, expected] = [pixels.length, (train.length + validation.length) * size * size * 3]
  if (found !== expected)
    throw new Error(
      `${name}: its pictures have ${found} bytes, not the ${expected} of its list; add them again`,
    )
  const half = (side: string, members: readonly Listed[], from: number): ImageSource =>
    packedSource({
      name: `${name} (${side})`,
      pixels,
      fingerprint: name,
      size,
      classes,
      members: members.map((member, i) => ({ ...member, row: from + i })),
    })
  return {
    train: half('train', train, 0),
    validation: half('validation', validation, train.length),
    skipped,
    summary: { files: train.length + validation.length, ignored: {}, classes: '', split: '' },
  }
}

/** The pictures of a data set. */
export const picturesOf = async (
  name: string,
  { train, validation, skipped }: DataSplit,
): Promise<Pictures> => {
  const numbers = ({ count }: ImageSource): number[] => Array.from({ length: count }, (_, i) => i)
  const listOf = (source: ImageSource): Listed[] =>
    numbers(source).map((i) => ({ id: source.id(i), caption: source.caption(i), label: source.label(i) }))
  const { size, classes } = train
  return {
    list: { version: 1, name, size, classes, train: listOf(train), validation: listOf(validation), skipped },
    pixels: joined([await train.read(numbers(train)), await validation.read(numbers(validation))]),
  }
}

/** A picture that a person brought. */
export interface OwnPicture {
  /** Name of its file. */
  readonly name: string
  /** [size, size, 3] */
  readonly pixels: Uint8Array
}

/** Every so-manieth picture is held out. */
const heldOutEvery = 10

/** Letters, digits and points of a name, so that it is a file's name anywhere, and at most so many. */
const longestName = 60
const plainName = (name: string): string =>
  name
    .replace(/\.[^.]*$/, '')
    .normalize('NFC')
    .replace(/[^\p{L}\p{N}.]+/gu, '-')
    .slice(0, longestName)

/** The folder of a run's own pictures. */
export const pictureFolder = 'images'

/**
 * Pictures in the order in which they came, every tenth and the last held out. Their names say both halves and their order, so that
 * the folder that they are downloaded as is read as the same list (data/formats/folder.ts).
 */
export const ownPictures = (
  name: string,
  size: number,
  given: readonly OwnPicture[],
  skipped: readonly SkippedFile[],
): Pictures => {
  const isHeldOut = (i: number): boolean => i % heldOutEvery === heldOutEvery - 1 || i === given.length - 1
  const half = (side: 'train' | 'validation') => {
    const own = [...given.entries()].filter(([i]) => isHeldOut(i) === (side === 'validation'))
    return {
      pixels: own.map(([, { pixels }]) => pixels),
      listed: own.map(([i, { name }]): Listed => {
        const number = String(i + 1).padStart(5, '0')
        return { id: `${side}/${number}-${plainName(name)}.png`, caption: plainName(name), label: -1 }
      }),
    }
  }
  const [train, validation] = [half('train'), half('validation')]
  return {
    list: {
      ...{ version: 1, name, size, classes: [], skipped },
      train: train.listed,
      validation: validation.listed,
    },
    pixels: joined([...train.pixels, ...validation.pixels]),
  }
}

const [listFile, pixelsFile] = ['pictures.json', 'pictures.rgb']

/** The list of a text. @param file its name, for messages */
export const parseList = (text: string, file: string): PictureList =>
  parseChecked(listSchema, text, file, 'add the pictures again')

/** Keeps pictures beside a run, the list last. */
export const keepPictures = async (files: RunFiles, { list, pixels }: Pictures): Promise<void> => {
  await files.write(pixelsFile, [pixels])
  await writeText(files, listFile, JSON.stringify(list))
}

/** The pictures that are kept beside a run; null where there are none. @throws when they do not read */
export const keptPictures = async (files: RunFiles): Promise<Pictures | null> => {
  const text = await readText(files, listFile)
  const pixels = await files.read(pixelsFile)
  return text === null || pixels === null ? null : { list: parseList(text, listFile), pixels }
}
