/**
 * @file Kinetics (400, 600, 700) as it is handed on: lists of clips in CSV, and their videos, `<youtube_id>_<start>_<end>.mp4` with
 * times in seconds of six digits.
 */

import { readFile, stat } from 'node:fs/promises'
import path from 'node:path'
import { byBytes, scanFolder } from '../images/scan.ts'
import type { DataSplit, SkippedFile } from '../images/source.ts'
import { openClipRecords } from './clipRecords.ts'
import { csvRows } from './csv.ts'
import { openLabelled, type ReaderOptions, type UnlabelledRecord } from './records.ts'

const VIDEO = /_\d{6}_\d{6}\.(mp4|mkv|webm|avi|mov)$/i

/** Columns that a list has to have; `label` and `split` may be missing, as in the lists of the test half. */
const COLUMNS = ['youtube_id', 'time_start', 'time_end'] as const

/** Longest list that is read, in bytes; all of Kinetics-700 are 40 MB. */
const LIST_BYTES = 2 ** 26

/** What a list says of a clip. */
interface Listed {
  /** Name of its file without an ending. */
  readonly name: string
  readonly label: string | null
  /** What is said of the split. */
  readonly side: string
}

/** A row as a clip, by the places of columns. */
const clipOf = (row: readonly string[], at: (column: string) => number, file: string): Listed => {
  const seconds = (column: string): string => String(Math.trunc(Number(row[at(column)]))).padStart(6, '0')
  return {
    name: `${row[at('youtube_id')]}_${seconds('time_start')}_${seconds('time_end')}`,
    label: row[at('label')] || null,
    side: row[at('split')] || path.basename(file, path.extname(file)),
  }
}

/** A list's clips; null for a table of other columns. @throws in one sentence when it is no table */
const readList = async (file: string): Promise<readonly Listed[] | null> => {
  const { size } = await stat(file)
  if (size > LIST_BYTES)
    throw new Error(
      `${file}: found ${size} bytes, expected a list of ${LIST_BYTES} at most; part it into several`,
    )
  const clips: Listed[] = []
  let header: readonly string[] | undefined
  const at = (column: string): number => header?.indexOf(column) ?? -1
  try {
    for (const row of csvRows(await readFile(file, 'utf8'))) {
      if (header === undefined) {
        header = row.map((name) => name.trim().toLowerCase())
        if (COLUMNS.some((column) => at(column) < 0)) return null
      } else clips.push(clipOf(row, at, file))
    }
  } catch (cause) {
    throw new Error(
      `${file}: ${(cause as Error).message}; expected comma-separated values, so mend or remove it`,
      {
        cause,
      },
    )
  }
  return header === undefined ? null : clips
}

/** Everything that the lists say, and what is wrong with it. */
const readLists = async (root: string, lists: readonly string[]) => {
  const listed = new Map<string, Listed>()
  const skipped: SkippedFile[] = []
  const used: string[] = []
  for (const list of lists) {
    const clips = await readList(path.join(root, list))
    if (clips === null) continue
    used.push(path.join(root, list))
    for (const clip of clips) {
      const known = listed.get(clip.name)
      if (known === undefined) listed.set(clip.name, clip)
      else if (known.label !== clip.label)
        skipped.push({ file: `${list}/${clip.name}`, reason: `is listed before as ${known.label}` })
    }
  }
  return { listed, skipped, used }
}

/** Videos by name without ending; of two that are called alike the first. */
const recordsOf = (root: string, videos: readonly string[], listed: ReadonlyMap<string, Listed>) => {
  const records: UnlabelledRecord[] = []
  const skipped: SkippedFile[] = []
  const seen = new Set<string>()
  for (const id of videos) {
    const name = path.posix.basename(id).replace(/\.[^.]*$/, '')
    const known = listed.get(name)
    if (known === undefined || seen.has(name)) {
      skipped.push({ file: id, reason: known === undefined ? 'is in none of the lists' : 'is there twice' })
      continue
    }
    seen.add(name)
    const { label, side } = known
    // parts of one video stay together
    const group = name.replace(/_\d+_\d+$/, '')
    const load = (): string => path.join(root, id)
    records.push({ id, label, side, group, half: 'train', caption: label ?? '', load })
  }
  for (const name of [...listed.keys()].sort(byBytes))
    if (!seen.has(name)) skipped.push({ file: name, reason: 'is listed, but its video is missing' })
  return { records, skipped }
}

/**
 * Opens a folder with lists (.csv) and videos anywhere below it. Labels are those of the lists, as captions too; the split is what the
 * column `split` says, or else the names of the lists.
 * @throws in one sentence when there is no list, none of what is listed is there or can be decoded, or ffmpeg is missing.
 */
export const openKinetics = async (options: ReaderOptions): Promise<DataSplit> => {
  const { root, files, others, skipped } = await scanFolder(options.path, {
    names: new RegExp(`${VIDEO.source}|\\.csv$`, 'i'),
    words: 'lists (.csv) and videos of Kinetics',
  })
  const lists = files.filter((file) => /\.csv$/i.test(file))
  const said = await readLists(root, lists)
  if (said.used.length === 0) {
    const found = lists.length === 0 ? 'no .csv file' : `${lists.length} .csv without these columns`
    throw new Error(
      `data folder "${root}": found ${found}, expected a list with ${COLUMNS.join(', ')}, label and split; put it there, or pass source "clips" with folders as classes`,
    )
  }
  const videos = files.filter((file) => !/\.csv$/i.test(file))
  const found = recordsOf(root, videos, said.listed)
  if (found.records.length === 0) {
    throw new Error(
      `data folder "${root}": found ${videos.length} videos, none of the ${said.listed.size} that are listed; expected names as ${[...said.listed.keys()][0]}.mp4, so put them there`,
    )
  }
  return openLabelled(
    {
      ...{ source: 'kinetics', thing: 'clip', name: path.basename(root), place: `data folder "${root}"` },
      expected: 'intact videos',
      folder: root,
      files: [...said.used, ...found.records.map(({ id }) => path.join(root, id))],
      names: null,
      labelledBy: 'label in the lists',
      records: found.records,
      split: null,
      others: [
        ...others,
        ...lists
          .filter((list) => !said.used.includes(path.join(root, list)))
          .map((file) => ({ file, kind: '.csv' })),
      ],
      skipped: [...skipped, ...said.skipped, ...found.skipped],
    },
    options,
    openClipRecords,
  )
}
