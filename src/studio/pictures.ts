/** @file The pictures of runs: which there are, and the files themselves. Nothing else of a run is given out as it is. */
import { readdirSync } from 'node:fs'
import { extname, join } from 'node:path'
import { runFolders } from '../runs/files.ts'
import type { RunImage } from './api.ts'
import { contentTypes, fileAnswer } from './files.ts'
import type { RunsFolder } from './folder.ts'
import { Refused } from './refused.ts'

/** Endings of pictures; none of them can hold a script. */
const endings: ReadonlySet<string> = new Set(['.png', '.jpg', '.webp'])

/** What a file's name says: `reconstructions-000000500.png` was made after step 500. */
const named = /^(.*?)(?:-(\d{9,}))?$/

/** Pictures of a run by kind and step, those of the finished run last. */
export const picturesOf = (folder: RunsFolder, run: string): RunImage[] => {
  const dir = folder.inside(join(folder.directoryOf(run), runFolders.samples))
  if (dir === null) return []
  return readdirSync(dir)
    .filter((name) => endings.has(extname(name)) && !name.startsWith('.'))
    .map((name): RunImage => {
      const [, kind = '', step] = named.exec(name.slice(0, -extname(name).length)) ?? []
      const url = ['/files', ...run.split('/'), runFolders.samples, name].map((part, i) =>
        i === 0 ? part : encodeURIComponent(part),
      )
      return { kind, step: step === undefined ? null : Number(step), url: url.join('/') }
    })
    .sort((a, b) =>
      a.kind < b.kind ? -1 : a.kind > b.kind ? 1 : (a.step ?? Infinity) - (b.step ?? Infinity),
    )
}

const none = (): never => {
  throw new Refused(404, 'there is no such picture; ask for the run again')
}

/**
 * A picture by its place below the folder of runs.
 * @param known the tag that the asker has of it
 * @throws Refused for anything that is no picture of a run
 */
export const picture = async (
  folder: RunsFolder,
  place: readonly string[],
  known: string | null,
): Promise<Response> => {
  const [name = '', samples] = [place.at(-1), place.at(-2)]
  const run = place.slice(0, -2).join('/')
  if (samples !== runFolders.samples || !endings.has(extname(name)) || /[/\\\0]/.test(name)) return none()
  const file = folder.inside(join(folder.directoryOf(run), samples, name))
  return (file === null ? null : await fileAnswer(file, contentTypes[extname(name)], known)) ?? none()
}
