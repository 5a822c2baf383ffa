/** @file `--trackio` of `ul train` and `ul sweep`, against a stand-in of a Trackio server on this machine. */
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FakeTrackio } from '../trackio/fakeTrackio.ts'
import {
  checkpointOf,
  inWork,
  jsonLines,
  makeImages,
  sentenceOf,
  startUl,
  tinyEvery,
  tinySettings,
  tinyTraining,
  ul,
  workFolder,
} from './ul.ts'

const server = new FakeTrackio()
const images = await makeImages('trackio-images')
const dir = 'runs/sent'
const training = (...more: readonly string[]): string[] => [...tinyTraining(images, dir), ...more]
const sent = (): string[] => training('--trackio', server.urlWithToken)

beforeAll(() => server.start())
afterAll(() => server.stop())

/** The rows that a run's log should have come to, without what depends on the clock. */
const wanted = (run: string) =>
  readFileSync(inWork(run, 'metrics.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => {
      const { stage, step, imagesPerSecond: _, ...values } = JSON.parse(line) as Record<string, unknown>
      const named = Object.entries(values).map(([name, value]) => [`${stage}/${name}`, value])
      return { run, step, metrics: Object.fromEntries(named) }
    })

const kept = (run: string) =>
  server.rows
    .filter((row) => row.run === run)
    .map(({ step, metrics }) => ({
      ...{ run, step },
      metrics: Object.fromEntries(
        Object.entries(metrics).filter(([name]) => !name.endsWith('/imagesPerSecond')),
      ),
    }))

/** Files below the work folder that hold a text. */
const filesWith = (text: string): string[] =>
  readdirSync(workFolder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => readFileSync(path).includes(text))

describe('ul train --trackio', () => {
  it('sends what the log holds, also of a run that was killed and resumed, each step once', async () => {
    const first = await startUl([...sent(), '--json'], (line, child) => {
      const { event, stage, step } = JSON.parse(line) as Record<string, unknown>
      if (event === 'step' && stage === 'stage1' && step === 15) child.kill('SIGINT')
    })
    expect(first.code).not.toBe(0)
    const before = server.rows.length
    // As after a kill, it trains steps again that it had logged and sent.
    const checkpoints = inWork(dir, 'checkpoints')
    for (const name of readdirSync(checkpoints))
      if (name !== basename(checkpointOf('', 'stage1', tinyEvery)))
        rmSync(join(checkpoints, name), { recursive: true })
    expect(readdirSync(checkpoints)).toHaveLength(1)
    expect(before).toBeGreaterThan(tinyEvery + 2)
    const again = await startUl(sent())
    expect(again.code).toBe(0)
    expect(again.stderr).toContain(`${server.url}: takes the log, as project unified-latents\n`)
    expect(kept(dir)).toEqual(wanted(dir))
    expect(server.received).toBeGreaterThanOrEqual(server.rows.length + before)
    expect(server.configs.size).toBe(1)
    expect(filesWith(server.token)).toEqual([])
    expect(JSON.stringify([first, again, [...server.configs]])).not.toContain(server.token)
  })

  it('ends as ever beside a server that is away, refuses or is silent, and says it once', async () => {
    const tries = [
      { status: 403, body: '{"error":"no"}' },
      { status: 500, body: '{"error":"broken"}' },
    ]
    for (const fault of tries) {
      server.fault = () => fault
      const { code, stderr } = await ul(sent())
      expect([code, stderr.match(/^.*warning: http.*$/gm)]).toEqual([
        0,
        [
          expect.stringMatching(
            /: \d+ lines of the log were not sent: .*\(?(403|500).*; the same command sends them$/,
          ),
        ],
      ])
      expect(stderr).not.toContain(server.token)
    }
    server.fault = () => 'silence'
    const began = performance.now()
    const silent = await ul(training('--trackio', server.urlWithToken, '--json'))
    expect(performance.now() - began).toBeLessThan(40_000)
    expect(silent.code).toBe(0)
    expect(jsonLines(silent).at(-1)).toEqual({
      event: 'warning',
      text: expect.stringMatching(
        /not sent: it did not answer within 10 seconds; the same command sends them$/,
      ),
    })
    server.fault = () => null
  })

  it('is asked for by its flag alone', async () => {
    const before = server.asked.length
    process.env.TRACKIO_SERVER_URL = server.urlWithToken
    expect((await ul(training())).code).toBe(0)
    delete process.env.TRACKIO_SERVER_URL
    expect(server.asked).toHaveLength(before)
  })

  it('refuses an address before anything is trained, without its token', async () => {
    for (const command of [tinyTraining(images, 'runs/never'), ['sweep', 'study', '--grid', 'seed=1']]) {
      const sentence = await sentenceOf(2, [...command, '--trackio', 'localhost:7860/?write_token=secret'])
      expect(sentence).toMatch(/^--trackio: expected an address of http or https/)
      expect(sentence).not.toContain('secret')
    }
    expect(filesWith('write_token')).toEqual([])
  })
})

it('ul sweep --trackio sends every run, each by its path', async () => {
  const sets = [...tinySettings(images), 'train.stage1.steps=6', 'train.stage2.steps=6']
  const { code, stderr } = await ul([
    ...['sweep', 'study', '--grid', 'decoder.lossFactor=2,3', '--samples', '16', '--out', 'runs/swept'],
    ...sets.flatMap((set) => ['--set', set]),
    ...['--trackio', server.urlWithToken],
  ])
  expect([code, stderr.includes('not sent')]).toEqual([0, false])
  const dirs = readdirSync(inWork('runs/swept')).map((arm) => `runs/swept/${arm}/seed-0`)
  expect(dirs).toHaveLength(2)
  for (const dir of dirs) expect(kept(dir)).toEqual(wanted(dir))
})
