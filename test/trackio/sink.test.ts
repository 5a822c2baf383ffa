/** @file Logs that are sent to a stand-in of a Trackio server over HTTP while they are written; nothing is trained here. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ConfigError } from '../../src/config/load.ts'
import type { JobEvent } from '../../src/runs/events.ts'
import { openMetrics, readMetrics } from '../../src/runs/metrics.ts'
import { trackioServer } from '../../src/trackio/server.ts'
import { type Sending, whileSending } from '../../src/trackio/sink.ts'
import { temporaryFolder } from '../data/temporary.ts'
import { appendTo, line, until, writeRun } from '../studio/support.ts'
import { FakeTrackio, type Row } from './fakeTrackio.ts'

const folder = await temporaryFolder()
const times = { pause: 5, longestPause: 10, answer: 400, end: 5000, stopped: 300 }

let server: FakeTrackio
let said: string[]
let runs = 0

beforeEach(async () => {
  server = new FakeTrackio()
  await server.start()
  said = []
})
afterEach(() => server.stop())

const listen = (event: JobEvent): void => {
  if (event.event === 'warning' || event.event === 'note') said.push(`${event.event}: ${event.text}`)
}

/** Lines of a log of two stages, with a number that is not finite, a text and a list. */
const lines = (from: number, to: number): string =>
  Array.from({ length: to - from }, (_, i) => {
    const step = from + i + 1
    return line('stage1', step, { loss: 1 / step, gradNorm: step % 7 === 0 ? Number.NaN : step })
  }).join('')

const newRun = (log?: string): string => writeRun(folder, `run-${runs++}`, log === undefined ? {} : { log })

const send = <T>(
  dirs: readonly string[],
  work: () => Promise<T>,
  options: Partial<Sending> = {},
): Promise<T> =>
  whileSending(
    {
      ...{ server: trackioServer(server.urlWithToken), runs: dirs, listen, times },
      ...{ signal: new AbortController().signal, ...options },
    },
    work,
  )

const nothing = async (): Promise<void> => undefined

/** The rows that a run's log should have come to. */
const wanted = (dir: string) =>
  readMetrics(join(dir, 'metrics.jsonl'), () => undefined).map(({ stage, step, ...values }) => ({
    run: dir,
    project: 'unified-latents',
    step,
    metrics: Object.fromEntries(Object.entries(values).map(([name, value]) => [`${stage}/${name}`, value])),
  }))

const kept = (rows: readonly Row[] = server.rows) =>
  rows.map(({ run, project, step, metrics }) => ({ run, project, step, metrics }))

const unsent = (text: string): string => `warning: ${server.url}: ${text}; the same command sends them`
const goesOn = (text: string): string =>
  `warning: ${server.url}: ${text}; training goes on, and it is tried again`

describe('lines of a log', () => {
  it('come as they are, in their order, with the settings of the run once', async () => {
    const text = '{"stage":"stage2","step":3,"note":"é \\u2028","list":[1,null],"flag":true}\n'
    const dir = newRun(`${lines(0, 20)}damaged\n${text}${line('stage2', 3, { other: 1e-300 })}`)
    await send([dir], nothing)
    expect(kept()).toEqual(wanted(dir))
    expect(server.rows).toHaveLength(22)
    expect(server.rows[6].metrics).toEqual({ 'stage1/loss': 1 / 7, 'stage1/gradNorm': null })
    expect([...server.configs.values()]).toEqual([
      expect.objectContaining({ 'decoder.lossFactor': expect.any(Number), 'train.stage1.steps': 100 }),
    ])
    expect(server.asked).toEqual(['/version', '/api/bulk_log'])
    expect(said).toEqual([`note: ${server.url}: takes the log, as project unified-latents`])
  })

  it('come while they are written, a half one when it is whole', async () => {
    const dir = newRun()
    await send([dir], async () => {
      await sleep(30)
      writeFileSync(join(dir, 'metrics.jsonl'), lines(0, 2))
      await until(() => server.rows.length === 2, 'two lines')
      const [third, fourth] = [lines(2, 3), lines(3, 4)]
      appendTo(dir, `${third}${fourth.slice(0, 9)}`)
      await until(() => server.rows.length === 3, 'the third line')
      appendTo(dir, fourth.slice(9))
    })
    expect(kept()).toEqual(wanted(dir))
    expect([server.received, said.length]).toEqual([4, 1])
  })

  it('of a long log come in pieces', async () => {
    const dir = newRun(lines(0, 5000))
    await send([dir], nothing)
    expect(kept()).toEqual(wanted(dir))
    expect(server.asked.length).toBeGreaterThan(3)
  })

  it('of several runs come to each by its name, and a log that never begins is none', async () => {
    const dirs = [newRun(lines(0, 3)), newRun(), newRun(lines(0, 3))]
    await send(dirs, nothing)
    expect(kept()).toEqual([...wanted(dirs[0]), ...wanted(dirs[2])])
    expect(new Set(server.rows.map(({ run_id }) => run_id)).size).toBe(2)
    expect(said).toHaveLength(1)
  })

  it('are sent to no server where none was asked for, whatever the environment names', async () => {
    process.env.TRACKIO_SERVER_URL = server.urlWithToken
    expect(await send([newRun(lines(0, 3))], async () => 7, { server: trackioServer(undefined) })).toBe(7)
    delete process.env.TRACKIO_SERVER_URL
    expect([server.asked, said]).toEqual([[], []])
  })
})

describe('sent again', () => {
  it('all is kept once, in the same run, also what a resume trained again at another speed', async () => {
    const step = (n: number, imagesPerSecond: number): string =>
      line('stage1', n, { loss: 1 / n, imagesPerSecond })
    const dir = newRun(step(1, 50) + step(2, 50) + step(3, 50))
    await send([dir], nothing)
    const before = [...server.rows]
    // Resumed at step 1, by the log of a trainer, while it is sent.
    await send([dir], async () => {
      const path = join(dir, 'metrics.jsonl')
      const writer = openMetrics(path, { stage: 'stage1', step: 1 }, () => undefined)
      for (const n of [2, 3, 4]) writer.append({ stage: 'stage1', step: n, loss: 1 / n, imagesPerSecond: 60 })
      writer.close()
    })
    expect(server.rows.slice(0, 3)).toEqual(before)
    expect(server.rows.map(({ step }) => step)).toEqual([1, 2, 3, 4])
    expect(server.received).toBe(7)
    expect(new Set(server.rows.map(({ run_id }) => run_id)).size).toBe(1)
  })

  it('a run goes on when its free settings and further stages change, and is another with others', async () => {
    const dir = newRun(lines(0, 1))
    const runIds = async (set: readonly string[]): Promise<number> => {
      writeRun(folder, dir.slice(folder.length + 1), { set })
      await send([dir], nothing)
      return server.configs.size
    }
    expect(await runIds([])).toBe(1)
    expect(await runIds(['train.logEvery=7'])).toBe(1)
    expect(await runIds(['decoder.lossFactor=7'])).toBe(2)
  })
})

describe('a server that is', () => {
  it('down at first gets all once it is up, and its absence is said once', async () => {
    await server.stop()
    const dir = newRun(lines(0, 5))
    await send([dir], async () => {
      await until(() => said.length > 0, 'a warning')
      await sleep(50)
      appendTo(dir, lines(5, 9))
      await server.start()
      await until(() => server.rows.length === 9, 'all lines')
    })
    expect(kept()).toEqual(wanted(dir))
    expect(said).toEqual([
      goesOn('it cannot be reached, or broke off (ECONNREFUSED)'),
      `note: ${server.url}: takes the log, as project unified-latents`,
    ])
  })

  it('down to the end costs nothing but a sentence with what was not sent', async () => {
    await server.stop()
    const dir = newRun(lines(0, 5))
    expect(await send([dir], async () => 7)).toBe(7)
    expect(said).toEqual([
      unsent('5 lines of the log were not sent: it cannot be reached, or broke off (ECONNREFUSED)'),
    ])
    await server.start()
    await send([dir], nothing)
    expect(kept()).toEqual(wanted(dir))
  })

  it.each([
    [401, 'no'],
    [403, '{"error":"forbidden"}'],
    [400, '{"error":"A write_token is required to log metrics."}'],
  ])('closed to this token (%d) says so, as the stand-in does without one', async (status, body) => {
    server.fault = (path) => (path === '/version' ? null : { status, body })
    await send([newRun(lines(0, 2))], nothing)
    const known = `it does not know this write token (${status}); give the one that its dashboard prints`
    expect(said).toEqual([unsent(`2 lines of the log were not sent: ${known}`)])
    server.fault = () => null
    await send([newRun(lines(0, 2))], nothing, { server: trackioServer(server.url) })
    const none =
      'it takes a write token (400); give the address with ?write_token=… as its dashboard prints it, or set TRACKIO_WRITE_TOKEN'
    expect(said[1]).toBe(unsent(`2 lines of the log were not sent: ${none}`))
    expect(said.join()).not.toContain(server.token)
  })

  it('failing is named with what it says, less the token, and gets the rest of what it took in part', async () => {
    let answers = 0
    server.fault = (path) =>
      path !== '/version' && ++answers > 2
        ? { status: 500, body: JSON.stringify({ error: `disk full (${server.token})` }) }
        : null
    const dir = newRun(lines(0, 5000))
    await send([dir], () => until(() => said.length > 1, 'a warning'))
    const { length } = server.rows
    expect(said.slice(1)).toEqual([
      goesOn('it answers 500: disk full (…)'),
      unsent(`${5000 - length} lines of the log were not sent: it answers 500: disk full (…)`),
    ])
    server.fault = () => null
    await send([dir], nothing)
    expect(kept()).toEqual(wanted(dir))
  })

  it('silent holds the end for the time of one answer, less where the work was stopped', async () => {
    server.fault = () => 'silence'
    const dir = newRun(lines(0, 5))
    const timed = async (options: Partial<Sending>, work = nothing): Promise<number> => {
      const began = performance.now()
      await send([dir], work, options)
      return performance.now() - began
    }
    expect(await timed({})).toBeLessThan(3 * times.answer)
    expect(said).toEqual([unsent('5 lines of the log were not sent: it did not answer within 0.4 seconds')])
    // Stopped before the end, and while the end waits.
    const long = { ...times, answer: 20_000 }
    expect(await timed({ times: long, signal: AbortSignal.abort() })).toBeLessThan(5 * times.stopped)
    expect(await timed({ times: long, signal: AbortSignal.timeout(100) })).toBeLessThan(5 * times.stopped)
    expect(said[2]).toBe(
      unsent('5 lines of the log were not sent: it had not answered when the command ended'),
    )
  })

  it('answering is not taken for silent where training holds the thread', async () => {
    const dir = newRun(lines(0, 5))
    await send(
      [dir],
      async () => {
        await sleep(20)
        for (let step = 0; step < 12; step++) {
          const until = performance.now() + 2 * 40
          while (performance.now() < until);
          await sleep(0)
        }
      },
      { times: { ...times, answer: 100 } },
    )
    expect(server.rows).toHaveLength(5)
    expect(said).toHaveLength(1)
  })

  it.each<[string, { readonly status: number; readonly body: string }, string]>([
    ['something else', { status: 200, body: '<html>' }, 'it does not answer as a Trackio server of API 1'],
    [
      'of another version',
      { status: 200, body: '{"api_version":2}' },
      'it does not answer as a Trackio server of API 1',
    ],
    ['refusing in its answer', { status: 200, body: '{"error":"no"}' }, 'it answers 200: no'],
    ['endless', { status: 500, body: 'x'.repeat(10 ** 7) }, 'it answers 500'],
  ])('%s is named as that', async (_, fault, sentence) => {
    server.fault = () => fault
    await send([newRun(lines(0, 5))], nothing)
    expect(said).toEqual([unsent(`5 lines of the log were not sent: ${sentence}`)])
  })

  it('elsewhere is not followed there: the token stays', async () => {
    const other = new FakeTrackio()
    await other.start()
    server.fault = (path) => ({ status: 307, body: '', location: new URL(path, other.url).href })
    await send([newRun(lines(0, 5))], nothing)
    await other.stop()
    expect([other.asked, said]).toEqual([[], [unsent('5 lines of the log were not sent: it answers 307')]])
  })
})

describe('work', () => {
  it('that fails fails as it would, after its lines were sent', async () => {
    const dir = newRun(lines(0, 5))
    await expect(send([dir], () => Promise.reject(new Error('diverged')))).rejects.toThrow('diverged')
    expect(server.rows).toHaveLength(5)
  })

  it('that was refused sends nothing of what lies there', async () => {
    const refused = send([newRun(lines(0, 5))], () => Promise.reject(new ConfigError('another run')))
    await expect(refused).rejects.toThrow('another run')
    expect([server.asked, said]).toEqual([[], []])
  })
})

describe('an address', () => {
  const shown = (url: string) => trackioServer(url)

  it.each([
    ['http://h:7860', 'http://h:7860/'],
    ['http://h:7860/?write_token=t', 'http://h:7860/'],
    ['https://h/below/?theme=x&write_token=t#top', 'https://h/below/'],
  ])('%s is asked at %s', (given, address) => {
    expect(shown(given)?.address).toBe(address)
  })

  it('has its token before that of the environment, which has the project, too', () => {
    process.env.TRACKIO_WRITE_TOKEN = ' from-environment\n'
    process.env.TRACKIO_PROJECT = 'mine'
    expect(shown('http://h/?write_token=own')).toEqual({
      address: 'http://h/',
      token: 'own',
      project: 'mine',
    })
    expect(shown('http://h/?write_token=')).toMatchObject({ token: 'from-environment' })
    delete process.env.TRACKIO_WRITE_TOKEN
    delete process.env.TRACKIO_PROJECT
    expect(shown('http://h')).toMatchObject({ token: null, project: 'unified-latents' })
  })

  it.each([
    'h:7860?write_token=secret',
    'ftp://h/?write_token=secret',
    'http://[?write_token=secret',
    'http://user:secret@h/',
    'secret',
    '',
    'http://h/?write_token=secret%0Ax',
  ])('%j is refused in a sentence without the token', (given) => {
    expect(() => shown(given)).toThrow(ConfigError)
    expect(() => shown(given)).toThrow(/^--trackio(?!.*secret)/)
  })
})
