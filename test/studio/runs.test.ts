/** @file What the studio tells of runs: the list, one run, series, events, through HTTP over folders written by hand. */
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { keyForms } from '../../src/config/keyForms.ts'
import { applySettings, presetByName } from '../../src/config/load.ts'
import { presets } from '../../src/config/presets.ts'
import { configKeys } from '../../src/config/schema.ts'
import { lockFolder } from '../../src/files/lock.ts'
import { conditionNames } from '../../src/method/conditions/list.ts'
import type { CheckAnswer, Form, Refusal, RunDetail, RunList, RunRow, Series } from '../../src/studio/api.ts'
import { createEvents } from '../../src/studio/events.ts'
import { flatPng } from '../data/temporary.ts'
import { appendTo, line, openTestStudio, until, writeRun } from './support.ts'

const { studio, root, get, post, stream, warnings } = await openTestStudio()

const whole = (steps: number): string =>
  Array.from({ length: steps }, (_, i) => line('stage1', i + 1, { loss: 1 / (i + 1), bitsPerPixel: 2 })).join(
    '',
  )

const rowOf = async (run: string): Promise<RunRow | undefined> =>
  (await get<RunList>('/api/runs')).runs.find((row) => row.run === run)

/** The row once it is as it should be. */
const rowThat = async (run: string, isSo: (row: RunRow) => boolean): Promise<RunRow> => {
  let row: RunRow | undefined
  await until(async () => {
    row = await rowOf(run)
    return row !== undefined && isSo(row)
  }, run)
  if (row === undefined) throw new Error(run)
  return row
}

describe('the list of runs', () => {
  it('has every run with its status, progress, figures and differing settings', async () => {
    writeRun(root, 'done', { log: whole(3) + line('stage2', 50, { loss: 2 }), bits: 0.4, distances: [3, 7] })
    writeRun(root, 'sweep/a/seed-0', { log: whole(20), set: ['decoder.lossFactor=3'] })
    const lock = lockFolder(writeRun(root, 'at-work', { log: whole(4) }))
    const row = await rowThat('at-work', ({ status }) => status === 'training')
    expect(row).toMatchObject({
      name: 'quickstart',
      progress: { stage: 'stage1', step: 4, steps: 100 },
      fault: null,
    })
    const { runs, differing } = await get<RunList>('/api/runs')
    expect(runs.map(({ run, status }) => [run, status])).toEqual([
      ['at-work', 'training'],
      ['done', 'finished'],
      ['sweep/a/seed-0', 'stopped'],
    ])
    expect(runs[1]).toMatchObject({ progress: { stage: 'stage2', step: 50, steps: 50 } })
    expect(runs[1].figures).toMatchObject({
      bitsPerPixel: 0.4,
      psnr: 20,
      rFD: 3,
      gFD: 7,
      KID: 0.07,
      precision: 0.75,
      recall: 0.25,
    })
    expect(differing).toEqual({ 'decoder.lossFactor': { 'at-work': '8', done: '8', 'sweep/a/seed-0': '3' } })
    lock.release()
    await rowThat('at-work', ({ status }) => status === 'stopped')
  })

  it('shows a trainer that was killed as stopped: the lock is there, its process is not', async () => {
    const dir = writeRun(root, 'killed', { log: whole(2) })
    const lock = lockFolder(dir)
    const file = join(dir, '.lock', 'holder.json')
    const holder = JSON.parse(readFileSync(file, 'utf8')) as object
    lock.release()
    mkdirSync(join(dir, '.lock'))
    writeFileSync(file, JSON.stringify({ ...holder, started: '1' }))
    await rowThat('killed', ({ status }) => status === 'stopped')
    // Of another machine only its last sign of life is known.
    writeFileSync(file, JSON.stringify({ ...holder, host: `not-${hostname()}` }))
    await rowThat('killed', ({ status }) => status === 'training')
    expect(await post('/api/stop', { run: 'killed' })).toEqual([
      409,
      { error: 'killed: it is trained on another machine or in another container; stop it there' },
    ])
  })

  it('shows a run that does not read as broken, with the reason, and all others as they are', async () => {
    const broken = {
      'broken/yaml': ['config.yaml', 'a: [1,\n', /config\.yaml:\d+:\d+: this is not YAML/],
      'broken/cut': ['config.yaml', 'version: 1', /cut short/],
      'broken/figures': ['evaluation.json', '{"count": 1', /evaluation\.json: this is not JSON/],
      'broken/quality': ['quality.json', '{"protocol": 1}', /quality\.json: 'protocol'/],
    } as const
    for (const [run, [file, text]] of Object.entries(broken))
      writeFileSync(join(writeRun(root, run, { log: whole(1) }), file), text)
    mkdirSync(join(root, 'broken/folder/config.yaml'), { recursive: true })
    symlinkSync('/etc/hostname', join(writeRun(root, 'broken/link'), 'evaluation.json'))
    for (const [run, [, , reason]] of Object.entries(broken)) {
      const { fault } = await rowThat(run, ({ status }) => status === 'broken')
      expect(fault).toMatch(reason)
    }
    expect((await rowThat('broken/folder', ({ status }) => status === 'broken')).fault).toMatch(
      /this is no file/,
    )
    const link = await rowThat('broken/link', ({ status }) => status === 'broken')
    expect(link.fault).toMatch(/leads out of the folder of runs/)
    expect((await rowOf('done'))?.status).toBe('finished')
    const detail = await get<RunDetail>('/api/run?run=broken/yaml')
    expect(detail).toMatchObject({
      config: '',
      row: { status: 'broken' },
      metrics: { stage1: ['loss', 'bitsPerPixel'] },
    })
    rmSync(join(root, 'broken'), { recursive: true })
  })

  it('does not follow links out of the folder', async () => {
    symlinkSync('/etc', join(root, 'elsewhere'))
    expect((await get<RunList>('/api/runs')).runs.map(({ run }) => run)).not.toContain('elsewhere')
    expect(await get<Refusal>('/api/run?run=elsewhere')).toEqual({
      error: '"elsewhere": there is no such run; ask for the list again',
    })
    expect(await post('/api/start', { preset: 'quickstart', set: [], run: 'elsewhere/x' })).toMatchObject([
      422,
      {},
    ])
    rmSync(join(root, 'elsewhere'))
  })
})

describe('a run', () => {
  it('has its configuration, command, metrics and pictures; series are its log', async () => {
    const dir = writeRun(root, 'one run', { log: `${whole(10)}what?\n` })
    const png = await flatPng([1, 2, 3])
    for (const name of [
      'samples.png',
      'samples-000000500.png',
      'samples-000000400.png',
      'reconstructions-000000400.png',
      'notes.txt',
      '.tmp-x.png',
    ])
      writeFileSync(join(dir, 'samples', name), png)
    await rowThat('one run', () => true)
    const detail = await get<RunDetail>('/api/run?run=one+run')
    expect(detail.config).toBe(readFileSync(join(dir, 'config.yaml'), 'utf8'))
    expect(detail.command).toBe(`ul train '${dir}/config.yaml' --out '${dir}'`)
    expect(detail.metrics).toEqual({ stage1: ['loss', 'bitsPerPixel'] })
    expect(detail.damagedLines).toBe(1)
    expect(detail.images.map(({ kind, step }) => [kind, step])).toEqual([
      ['reconstructions', 400],
      ['samples', 400],
      ['samples', 500],
      ['samples', null],
    ])
    const url = new URL(detail.images[0].url, studio.url)
    const picture = await fetch(url)
    expect(picture.headers.get('content-type')).toBe('image/png')
    expect(picture.headers.get('content-security-policy')).toMatch(/default-src 'none'; sandbox/)
    expect(Buffer.from(await picture.arrayBuffer()).equals(png)).toBe(true)
    const again = await fetch(url, { headers: { 'if-none-match': picture.headers.get('etag') ?? '' } })
    expect(again.status).toBe(304)
    const series = await get<Series>('/api/series?run=one+run&stage=stage1&metric=loss&from=3&to=6&points=2')
    expect(series.count).toBe(4)
    expect(series.step).toEqual([4, 6])
    expect(series.max[0]).toBeCloseTo(1 / 3, 15)
    expect(series.mean[1]).toBeCloseTo((1 / 5 + 1 / 6) / 2, 15)
  })

  it('without a log has none to show, and none of unknown metrics', async () => {
    writeRun(root, 'new')
    await rowThat('new', ({ progress, updated }) => progress === null && updated === null)
    expect((await get<RunDetail>('/api/run?run=new')).metrics).toEqual({})
    const none = { step: [], min: [], max: [], mean: [], count: 0 }
    expect(await get<Series>('/api/series?run=new&stage=stage1&metric=loss')).toEqual(none)
    expect(await get<Series>('/api/series?run=done&stage=stage1&metric=toString')).toEqual(none)
  })
})

describe('events', () => {
  it('tell of new runs, of lines and of runs that vanish; a stream that broke off goes on where it was', async () => {
    await get('/api/runs')
    const first = await stream()
    await until(() => first.ids.length > 0, 'the first number')
    const dir = writeRun(root, 'live', { log: whole(1) })
    await until(
      () => first.events.some((event) => event.event === 'runs' && event.rows[0].run === 'live'),
      'its row',
    )
    first.close()
    const seen = first.ids.at(-1) ?? 0
    const second = await stream(seen)
    appendTo(dir, line('stage1', 2, { loss: 0.5, bitsPerPixel: 2 }))
    await until(() => second.events.some((event) => event.event === 'lines'), 'its lines')
    expect(second.events).toContainEqual({ event: 'lines', run: 'live', stage: 'stage1', step: 2 })
    expect(second.ids.every((id) => id >= seen)).toBe(true)
    rmSync(dir, { recursive: true })
    await until(() => second.events.some((event) => event.event === 'gone'), 'that it is gone')
    expect(second.events.at(-1)).toEqual({ event: 'gone', runs: ['live'] })
    expect(await get<Refusal>('/api/run?run=live')).toEqual({
      error: '"live": there is no such run; ask for the list again',
    })
    second.close()
    const third = await stream(seen)
    await until(() => third.events.some((event) => event.event === 'gone'), 'what was missed')
    expect(third.events).toEqual(second.events)
    third.close()
  })

  it('that are too many ask for everything anew, as after a new start', () => {
    const events = createEvents(1000)
    const received: string[] = []
    const listen = ({ id, data }: { id: number; data: string }): void => {
      received.push(`${id} ${(JSON.parse(data) as { event: string }).event}`)
    }
    for (let i = 0; i < 600; i++) events.publish({ event: 'gone', runs: [String(i)] })
    expect(events.newest).toBe(1600)
    events.subscribe(1600, listen)()
    expect(received).toEqual([])
    events.subscribe(1598, listen)()
    expect(received.splice(0)).toEqual(['1599 gone', '1600 gone'])
    events.subscribe(1600 - 512, listen)()
    expect(received.splice(0)).toHaveLength(512)
    for (const last of [1600 - 513, 5, 1601, -1]) events.subscribe(last, listen)()
    expect(received).toEqual(Array(4).fill('1600 resync'))
    expect(events.listeners).toBe(0)
    // Few, but long.
    const long = 'x'.repeat(2 ** 21)
    for (let i = 0; i < 3; i++) events.publish({ event: 'gone', runs: [long] })
    received.length = 0
    events.subscribe(1600, listen)()
    expect(received).toEqual(['1603 resync'])
  })
})

describe('the form', () => {
  it('has every key that can be set, and values by which a preset is told again', async () => {
    const { fields, presets: values } = await get<Form>('/api/form')
    expect(fields.map(({ key }) => key)).toEqual(configKeys().filter((key) => key !== 'version'))
    expect(fields.filter(({ description }) => description === '')).toEqual([])
    expect(Object.keys(values)).toEqual(Object.keys(presets))
    for (const [name, byKey] of Object.entries(values)) {
      const set = Object.entries(byKey).map(([key, value]) => `${key}=${value}`)
      expect(applySettings(presetByName(name), set)).toEqual(presetByName(name))
    }
    const kinds = Object.fromEntries(
      keyForms.map(({ key, kind, choices, optional }) => [key, [kind, choices.length, optional]]),
    )
    expect(kinds).toMatchObject({
      'data.path': ['text', 0, true],
      'data.size': ['integer', 0, false],
      'data.flip': ['boolean', 0, false],
      'decoder.lossFactor': ['number', 0, false],
      'decoder.channels': ['list', 0, false],
      'train.optimizer': ['choice', 2, true],
      'base.conditions': ['list', conditionNames.length, true],
      'video.kernel': ['integer', 0, true],
    })
  })

  it('is checked by key', async () => {
    const request = {
      preset: 'quickstart',
      set: ['train.batch=0', 'bias=1', 'decoder.lossFactor=[', 'prior'],
      run: '../up',
    }
    const [status, answer] = await post('/api/check', request)
    const { errors } = answer as CheckAnswer
    expect(status).toBe(200)
    expect(Object.keys(errors).sort()).toEqual(['bias', 'decoder.lossFactor', 'prior', 'run', 'train.batch'])
    expect(errors.bias).toMatch(/nearest valid key is '\w+\.bias'/)
    expect(errors['train.batch']).toBe('too small: expected number to be >0')
    expect(await post('/api/check', { ...request, preset: 'quikstart' })).toMatchObject([
      200,
      { errors: { preset: expect.stringMatching(/nearest preset is 'quickstart'/) } },
    ])
    expect(await post('/api/start', request)).toMatchObject([400, {}])
    expect(await post('/api/start', { ...request, run: 'fine' })).toMatchObject([422, {}])
    expect(await post('/api/start', { ...request, set: [], run: 'done' })).toMatchObject([409, {}])
    expect(await post('/api/resume', { run: 'nobody' })).toMatchObject([404, {}])
  })

  it('starts nothing that fails at once without its words', async () => {
    // The stand-in for `ul` of this file ends with status 3.
    const [status, answer] = await post('/api/start', { preset: 'quickstart', set: [], run: 'fails' })
    expect([status, answer]).toEqual([422, { error: 'fails: it ended with status 3' }])
  })
})

it('nothing failed that was not refused', () => {
  expect(warnings).toEqual([])
})
