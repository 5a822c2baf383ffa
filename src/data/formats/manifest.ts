/**
 * @file Images listed by files of JSON lines, one image a line: `metadata.jsonl` as Hugging Face's ImageFolder has it, with
 * `file_name` and whatever is known of the image.
 */
import { createReadStream } from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { IMAGE_FORMATS } from '../images/scan.ts'
import type { DataSplit, SkippedFile } from '../images/source.ts'
import { type Container, listContainers, readClassNames } from './containers.ts'
import { factsInJson } from './jsonFacts.ts'
import { openLabelled, type ReaderOptions, type UnlabelledRecord } from './records.ts'

const FILE_KEYS = ['file_name', 'file', 'path', 'image'] as const

/** What a line says; null for an empty one. */
const readLine = (
  line: string,
): { readonly file: string; readonly value: object } | { readonly fault: string } | null => {
  if (line.trim() === '') return null
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    return { fault: 'is no JSON' }
  }
  if (typeof value !== 'object' || value === null) return { fault: 'is no object of JSON' }
  const named: Readonly<Record<string, unknown>> = { ...value }
  const file = FILE_KEYS.map((key) => named[key]).find((given) => typeof given === 'string')
  return typeof file === 'string' ? { file, value } : { fault: `names no file (${FILE_KEYS.join(', ')})` }
}

/** Where a file of a list lies; null outside the list's folder: a list never reaches into the rest of a disk. */
const placeOf = (list: string, file: string): string | null => {
  const folder = path.dirname(list)
  const place = path.resolve(folder, file)
  return place.startsWith(folder + path.sep) ? place : null
}

interface Listed {
  readonly records: readonly UnlabelledRecord[]
  readonly files: readonly string[]
  readonly skipped: readonly SkippedFile[]
}

/** Everything that a list names; of an image that is named twice, the first line counts. */
const readList = async ({ id, path: list, half }: Container): Promise<Listed> => {
  const records: UnlabelledRecord[] = []
  const skipped: SkippedFile[] = []
  const files = new Set<string>()
  let number = 0
  for await (const text of createInterface({
    input: createReadStream(list),
    crlfDelay: Number.POSITIVE_INFINITY,
  })) {
    const line = readLine(number++ === 0 ? text.replace(/^\uFEFF/, '') : text)
    if (line === null) continue
    const place = 'fault' in line ? null : placeOf(list, line.file)
    if ('fault' in line || place === null || files.has(place)) {
      const reason =
        'fault' in line ? line.fault : place === null ? 'lies outside the folder' : 'is listed twice'
      skipped.push({ file: 'fault' in line ? `${id}:${number}` : `${id}/${line.file}`, reason })
      continue
    }
    files.add(place)
    const { label = null, caption = '', side } = factsInJson(line.value)
    records.push({ id: `${id}/${line.file}`, label, caption, side, half, load: () => place })
  }
  return { records, files: [...files], skipped }
}

/**
 * Opens a .jsonl file or a folder of them: `file_name` (or `file`, `path`, `image`) is relative to the list, label and
 * caption are read as in WebDataset's .json. `classnames.txt` or `classes.txt` beside the lists names the classes. Lists
 * called, or in folders called, train and val or test are the split, else a tenth by hash. A line that cannot be used is
 * skipped and named.
 * @throws in one sentence when there is no list, or none of its images can be decoded.
 */
export const openManifest = async (options: ReaderOptions): Promise<DataSplit> => {
  const listing = await listContainers('manifest', options.path, {
    names: /\.jsonl$/i,
    words: '.jsonl files that name images',
  })
  const { folder, containers } = listing
  const lists = await Promise.all(containers.map(readList))
  const [records, skipped] = [lists.flatMap((list) => list.records), lists.flatMap((list) => list.skipped)]
  const place = path.resolve(options.path)
  if (records.length === 0) {
    const first = skipped[0] === undefined ? '' : ` (first: ${skipped[0].file} ${skipped[0].reason})`
    throw new Error(
      `${place}: found no line that names an image${first}, expected objects with ${FILE_KEYS[0]}; pass another list`,
    )
  }
  return openLabelled(
    {
      source: 'manifest',
      ...listing,
      labelledBy: 'label in the list',
      expected: `intact ${IMAGE_FORMATS} files`,
      files: [...containers.map((container) => container.path), ...lists.flatMap((list) => list.files)],
      ...{ records, skipped },
      names: await readClassNames(folder, ['classnames.txt', 'classes.txt']),
    },
    options,
  )
}
