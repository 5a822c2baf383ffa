/** @file Folders of runs that tests write by hand, and a studio over them in this process. */
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { applySettings, presetByName, showConfig } from '../../src/config/load.ts'
import type { StudioEvent } from '../../src/studio/api.ts'
import { openStudio, type Studio } from '../../src/studio/server.ts'
import { temporaryFolder, writeFiles } from '../data/temporary.ts'
import { evaluationOf, info, qualityOf } from '../runs/written.ts'

/** A line of a log as the trainer writes it. */
export const line = (stage: string, step: number, values: Readonly<Record<string, number>>): string =>
  `${JSON.stringify({ stage, step, ...values })}\n`

/** What a run is written with; files that are not named are not written. */
export interface WrittenRun {
  readonly set?: readonly string[]
  readonly log?: string
  /** Bits per pixel of evaluation.json. */
  readonly bits?: number
  /** Distances of quality.json. */
  readonly distances?: readonly [reconstruction: number, generation: number]
}

/** Writes a run of the quickstart preset; returns its directory. */
export const writeRun = (
  root: string,
  name: string,
  { set = [], log, bits, distances }: WrittenRun = {},
): string => {
  const dir = join(root, name)
  mkdirSync(join(dir, 'samples'), { recursive: true })
  const config = applySettings(presetByName('quickstart'), [
    'train.stage1.steps=100',
    'train.stage2.steps=50',
    ...set,
  ])
  writeFileSync(join(dir, 'config.yaml'), showConfig(config))
  writeFileSync(join(dir, 'run.json'), JSON.stringify(info))
  if (log !== undefined) writeFileSync(join(dir, 'metrics.jsonl'), log)
  if (bits !== undefined) writeFileSync(join(dir, 'evaluation.json'), JSON.stringify(evaluationOf(bits)))
  if (distances !== undefined)
    writeFileSync(join(dir, 'quality.json'), JSON.stringify(qualityOf(...distances)))
  return dir
}

export const appendTo = (dir: string, text: string): void => appendFileSync(join(dir, 'metrics.jsonl'), text)

/** A built site of one page and one script. */
const writeSite = async (folder: string): Promise<string> => {
  const site = join(folder, 'site')
  await writeFiles(site, {
    'studio.html': '<!doctype html><html><head><title>s</title></head><body></body></html>',
    'index.html': '<!doctype html><html><head><title>p</title></head><body></body></html>',
    'assets/main.js': 'export {}',
    'assets/secret.env': 'KEY=1',
  })
  return site
}

/** A studio of a test file, and how it is asked. */
export interface Asked {
  readonly studio: Studio
  readonly root: string
  /** What it warned of: failures that are no refusals. */
  readonly warnings: readonly string[]
  get<T>(path: string): Promise<T>
  /** Status and answer. */
  post(path: string, body: unknown): Promise<readonly [status: number, answer: unknown]>
  /** Opens a stream; its events come into the list. */
  stream(lastId?: number): Promise<{ readonly events: StudioEvent[]; readonly ids: number[]; close(): void }>
}

const readStream = async (response: Response, events: StudioEvent[], ids: number[]): Promise<void> => {
  let text = ''
  const decoder = new TextDecoder()
  for await (const piece of response.body ?? []) {
    text += decoder.decode(piece, { stream: true })
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const fields = new Map(
        text
          .slice(0, end)
          .split('\n')
          .map((row) => [row.slice(0, row.indexOf(':')), row.slice(row.indexOf(':') + 2)]),
      )
      text = text.slice(end + 2)
      const [id, data] = [fields.get('id'), fields.get('data')]
      if (id !== undefined) ids.push(Number(id))
      if (data !== undefined) events.push(JSON.parse(data) as StudioEvent)
    }
  }
}

/** Opens a studio over a folder of runs of its own; it is closed when the test file ends. */
export const openTestStudio = async (): Promise<Asked> => {
  const folder = await temporaryFolder()
  const root = join(folder, 'runs')
  mkdirSync(root)
  const warnings: string[] = []
  const studio = await openStudio({
    ...{ runs: root, site: await writeSite(folder), host: '127.0.0.1', port: 0 },
    start: [process.execPath, '-e', 'process.exit(3)', '--'],
    warn: (text) => warnings.push(text),
  })
  afterAll(() => studio.close())
  const at = (path: string): string => new URL(path, studio.url).href
  return {
    ...{ studio, root, warnings },
    get: async <T>(path: string) => (await (await fetch(at(path))).json()) as T,
    post: async (path, body) => {
      const headers = { 'content-type': 'application/json', 'x-studio-token': studio.token }
      const response = await fetch(at(path), { method: 'POST', headers, body: JSON.stringify(body) })
      return [response.status, await response.json()]
    },
    stream: async (lastId) => {
      const leaving = new AbortController()
      const [events, ids]: [StudioEvent[], number[]] = [[], []]
      const headers: Record<string, string> = lastId === undefined ? {} : { 'last-event-id': String(lastId) }
      const response = await fetch(at('/api/events'), { headers, signal: leaving.signal })
      readStream(response, events, ids).catch(() => undefined)
      return { events, ids, close: () => leaving.abort() }
    },
  }
}

/** Waits until something is so. @throws when it does not become so */
export const until = async (isSo: () => boolean | Promise<boolean>, what: string): Promise<void> => {
  const end = performance.now() + 20_000
  while (!(await isSo())) {
    if (performance.now() > end) throw new Error(`not within 20 s: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
