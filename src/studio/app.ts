/** @file What the studio answers to requests: the contract of api.ts, the pages, and the same headers to all. */
import { join } from 'node:path'
import { type Context, Hono } from 'hono'
import { showConfig } from '../config/load.ts'
import { inOneLine } from '../report/escape.ts'
import { runFiles } from '../runs/files.ts'
import { readRunConfig } from '../runs/runDirectory.ts'
import type { RunDetail, RunRequest, Series } from './api.ts'
import { bodies, bodyOf } from './body.ts'
import type { Commands } from './children.ts'
import type { EventLog } from './events.ts'
import type { RunsFolder } from './folder.ts'
import { checkRequest, runForm, schemaErrors } from './form.ts'
import type { Guard } from './guard.ts'
import type { LogReader } from './logReader.ts'
import type { Outputs } from './outputs.ts'
import { picture, picturesOf } from './pictures.ts'
import type { Planner } from './planner.ts'
import { Refused } from './refused.ts'
import type { Site } from './site.ts'
import { eventStream } from './stream.ts'
import type { Trainers } from './trainers.ts'
import type { Watch } from './watch.ts'

/** What answers are made from. */
export interface Parts {
  readonly folder: RunsFolder
  readonly watch: Watch
  readonly events: EventLog
  readonly logs: LogReader
  readonly commands: Commands
  readonly outputs: Outputs
  readonly trainers: Trainers
  readonly planner: Planner
  readonly site: Site
  readonly guard: Guard
  /** Aborted when the studio ends. */
  readonly closing: AbortSignal
  /** Told of what failed without being refused. */
  readonly warn: (text: string) => void
}

/** Scripts are files of the studio, and nothing is asked of anybody else; WebAssembly is what the playground runs. */
const pagePolicy =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; font-src 'self'; connect-src 'self' blob: data:; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/** What is read from a run's folder is shown, and never run. */
const filePolicy = "default-src 'none'; sandbox; frame-ancestors 'none'"

/** COOP and COEP give pages threads; the others keep what is here from other sites. */
const headers: Readonly<Record<string, string>> = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
  'cross-origin-resource-policy': 'same-origin',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
}

/** A number in the query; undefined where it is not given. @throws Refused when it is none, or out of bounds */
const numberIn = (c: Context, name: string, least: number, most: number): number | undefined => {
  const text = c.req.query(name)
  if (text === undefined || text === '') return undefined
  const value = Number(text)
  if (text.trim() === '' || !(value >= least && value <= most))
    throw new Refused(
      400,
      `${name} is ${JSON.stringify(inOneLine(text).slice(0, 40))}; give a number from ${least} to ${most}`,
    )
  return value
}

/** A name in the query. @throws Refused when it is not given */
const textIn = (c: Context, name: string): string => {
  const text = c.req.query(name)
  if (text === undefined || text === '') throw new Refused(400, `${name} is not given; add it to the address`)
  return text
}

/** The parts of an address's path, decoded. @throws Refused for what leads elsewhere, however it is written */
const partsOfPath = (path: string): string[] =>
  path
    .split('/')
    .slice(1)
    .map((part) => {
      let decoded: string
      try {
        decoded = decodeURIComponent(part)
      } catch (cause) {
        throw new Refused(400, 'the address is not written as UTF-8; correct it', { cause })
      }
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
      if (/^\.\.?$|[/\\\u0000-\u001f]/.test(decoded))
        throw new Refused(
          400,
          'the address leads out of where it begins; give one without dots and backslashes',
        )
      return decoded
    })

/** A shell's word. */
const word = (text: string): string =>
  /^[\w./@:+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`

const detailOf = async ({ folder, watch, logs, outputs }: Parts, run: string): Promise<RunDetail> => {
  const dir = folder.directoryOf(run)
  await watch.look()
  const row = watch.row(run)
  if (row === undefined) throw new Refused(404, `${run}: it has just vanished; ask for the list again`)
  const log = row.progress === null ? null : await logs.summary(join(dir, runFiles.metrics))
  const config = row.name === '' ? '' : showConfig(readRunConfig(dir))
  return {
    row,
    config,
    command: `ul train ${word(join(folder.given, run, runFiles.config))} --out ${word(join(folder.given, run))}`,
    metrics: log?.metrics ?? {},
    images: picturesOf(folder, run),
    output: outputs.end(run),
    damagedLines: log?.damaged ?? 0,
  }
}

const seriesFor = async ({ folder, logs }: Parts, c: Context): Promise<Series> => {
  const [run, stage, metric] = ['run', 'stage', 'metric'].map((name) => textIn(c, name))
  const most = Number.MAX_SAFE_INTEGER
  const wish = {
    ...{ stage, metric },
    from: numberIn(c, 'from', -most, most),
    to: numberIn(c, 'to', -most, most),
    points: Math.floor(numberIn(c, 'points', 1, 10_000) ?? 1000),
  }
  const path = folder.inside(join(folder.directoryOf(run), runFiles.metrics))
  if (path === null) return { step: [], min: [], max: [], mean: [], count: 0 }
  return logs.series(path, wish)
}

/** What is read. */
const addReading = (app: Hono, parts: Parts): void => {
  const { folder, watch, events, planner, closing } = parts
  app.get('/api/runs', async (c) => {
    await watch.look()
    return c.json(watch.list())
  })
  app.get('/api/run', async (c) => c.json(await detailOf(parts, textIn(c, 'run'))))
  app.get('/api/series', async (c) => c.json(await seriesFor(parts, c)))
  app.get('/api/scatter', async (c) => c.json(await planner.scatter(c.req.query('below') ?? '')))
  app.get('/api/plan', async (c) => {
    const [bitsPerPixel, budget] = ['bitsPerPixel', 'budget'].map((name) => numberIn(c, name, 1e-9, 1e40))
    return c.json(await planner.plan(c.req.query('below') ?? '', { bitsPerPixel, budget }))
  })
  app.get('/api/form', (c) => c.json(runForm()))
  app.get('/api/events', (c) => eventStream(events, c.req.header('last-event-id') ?? null, closing))
  app.get('/files/*', (c) => {
    const [, ...place] = partsOfPath(c.req.path)
    return picture(folder, place, c.req.header('if-none-match') ?? null)
  })
}

/** What starts and ends trainers. */
const addWriting = (app: Hono, { folder, commands, trainers, guard }: Parts): void => {
  app.post('/api/*', async (c, next) => {
    guard.expectMayWrite(c.req.raw)
    await next()
  })
  const done = (c: Context, run: string): Response => c.json({ run } satisfies RunRequest, 202)
  app.post('/api/check', async (c) =>
    c.json(await checkRequest(folder, commands, await bodyOf(c.req.raw, bodies.start))),
  )
  app.post('/api/start', async (c) => {
    const request = await bodyOf(c.req.raw, bodies.start)
    const { run, preset, set, device = 'cpu' } = request
    folder.placeOf(run)
    const [wrong] = Object.entries(schemaErrors(folder, request))
    if (wrong !== undefined) throw new Refused(422, `${wrong[0]}: ${wrong[1]}`)
    await trainers.start(run, preset, set, device)
    return done(c, run)
  })
  app.post('/api/resume', async (c) => {
    const { run, device = 'cpu' } = await bodyOf(c.req.raw, bodies.run)
    await trainers.resume(run, device)
    return done(c, run)
  })
  app.post('/api/stop', async (c) => {
    const { run, now = false } = await bodyOf(c.req.raw, bodies.run)
    trainers.stop(run, now)
    return done(c, run)
  })
}

/** The studio as a function from requests to answers. */
export const createApp = (parts: Parts): Hono => {
  const { guard, site, warn } = parts
  const app = new Hono()
  app.use(async (c, next) => {
    await next()
    const policy = c.req.path.startsWith('/files/') ? filePolicy : pagePolicy
    const all = { ...headers, 'content-security-policy': policy }
    for (const [name, value] of Object.entries(all)) c.res.headers.set(name, value)
  })
  app.use(async (c, next) => {
    guard.expectOwn(c.req.raw)
    await next()
  })
  addReading(app, parts)
  addWriting(app, parts)
  app.get('*', (c) => {
    const place = partsOfPath(c.req.path)
    if (place[0] === 'api') throw new Refused(404, 'there is no such request; see docs/studio.md')
    return site.answer(`/${place.join('/')}`, c.req.header('if-none-match') ?? null)
  })
  app.notFound((c) => c.json({ error: 'this is not answered; see docs/studio.md' }, 405))
  app.onError((error, c) => {
    if (error instanceof Refused) return c.json({ error: inOneLine(error.message) }, error.status)
    warn(`${c.req.method} ${c.req.path}: ${error.message}`)
    return c.json({ error: 'the studio failed at this; its terminal says why' }, 500)
  })
  return app
}
