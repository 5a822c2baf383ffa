/** @file `ul studio` as a process: what it loads, that it starts, resumes and stops trainers, and what it asks other commands. */
import { type ChildProcess, spawn } from 'node:child_process'
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { lockFolder } from '../../src/files/lock.ts'
import { readMetrics } from '../../src/runs/metrics.ts'
import type { CheckAnswer, PlanAnswer, RunDetail, RunList, ScatterPoint } from '../../src/studio/api.ts'
import { readLogsHere } from '../../src/studio/logReader.ts'
import { readLogsInThreads } from '../../src/studio/logThreads.ts'
import {
  inWork,
  jsonOf,
  makeImages,
  metricsOf,
  startUl,
  tinyTraining,
  ul,
  workFolder,
} from '../commands/ul.ts'
import { line, until, writeRun } from './support.ts'

const cli = fileURLToPath(new URL('../../dist/commands/main.mjs', import.meta.url))
const runs = inWork('studio-runs')
mkdirSync(runs)

interface Started {
  readonly child: ChildProcess
  readonly url: string
  readonly token: string
  readonly ended: Promise<readonly [code: number | null, stderr: string]>
  /** What it has said on stderr so far. */
  errors(): string
}

const children: ChildProcess[] = []
afterAll(() => {
  for (const child of children) child.kill('SIGKILL')
})

/** Starts `ul studio` by Node with these arguments of its own, and waits until it says where it listens. */
const startStudioBy = async (node: readonly string[], ...args: readonly string[]): Promise<Started> => {
  const command = [...node, cli, 'studio', '--runs', runs, '--port', '0', '--json', ...args]
  const child = spawn(process.execPath, command, { cwd: workFolder, stdio: ['ignore', 'pipe', 'pipe'] })
  children.push(child)
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const ended = new Promise<readonly [number | null, string]>((resolve) =>
    child.once('close', (code) => resolve([code, stderr])),
  )
  await until(
    () => stdout.includes('\n') || child.exitCode !== null || child.signalCode !== null,
    'the studio listens',
  )
  expect(stderr.replace(/warning: --(host|open).*\n/, '')).toBe('')
  const said = JSON.parse(stdout) as { readonly url: string; readonly token: string }
  return { child, ...said, ended, errors: () => stderr }
}

const startStudio = (...args: readonly string[]): Promise<Started> => startStudioBy([], ...args)

const studio = await startStudio()

const get = async <T>(path: string, { url }: Started = studio): Promise<T> =>
  (await (await fetch(new URL(path, url))).json()) as T
const post = async (path: string, body: unknown, { url, token }: Started = studio) => {
  const headers = { 'content-type': 'application/json', 'x-studio-token': token }
  const response = await fetch(new URL(path, url), { method: 'POST', headers, body: JSON.stringify(body) })
  return [response.status, await response.json()] as const
}
const statusOf = async (run: string): Promise<string | undefined> =>
  (await get<RunList>('/api/runs')).runs.find((row) => row.run === run)?.status

const images = await makeImages('studio-images')
/** Settings of a small run. */
const tiny = tinyTraining(images, 'x').filter((_, i, args) => args[i - 1] === '--set')
const request = {
  preset: 'quickstart',
  set: [...tiny, 'train.stage1.steps=4000', 'train.stage2.steps=10'],
  run: 'here/one',
}

describe('trainers', () => {
  it('are started, save when they are stopped, and go on from there; none of it is the studio itself', async () => {
    expect(await post('/api/check', request)).toEqual([200, { errors: {} }])
    expect(await post('/api/start', request)).toEqual([202, { run: 'here/one' }])
    const log = () => readMetrics(join(runs, 'here/one/metrics.jsonl'), () => undefined)
    await until(() => log().length > 12, 'some steps')
    expect(await statusOf('here/one')).toBe('training')
    expect(await post('/api/resume', { run: 'here/one' })).toMatchObject([409, {}])
    expect(await post('/api/stop', { run: 'here/one' })).toEqual([202, { run: 'here/one' }])
    await until(async () => (await statusOf('here/one')) === 'stopped', 'its end')
    const { output, row, images } = await get<RunDetail>('/api/run?run=here/one')
    expect(output).toMatch(/stopped after step \d+ of stage1; the same command resumes\n$/)
    const stoppedAt = row.progress?.step ?? 0
    expect(images.map(({ kind }) => kind)).toContain('reconstructions')

    expect(await post('/api/resume', { run: 'here/one' })).toEqual([202, { run: 'here/one' }])
    await until(
      () => (metricsOf(join(runs, 'here/one')).at(-1)?.step as number) > stoppedAt + 5,
      'further steps',
    )
    const steps = log().flatMap(({ loss, step }) => (loss === undefined ? [] : [step]))
    expect(steps).toEqual(Array.from(steps, (_, i) => i + 1))
    // Killed, it is shown as stopped, and nothing is left to stop.
    expect(await post('/api/stop', { run: 'here/one', now: true })).toEqual([202, { run: 'here/one' }])
    await until(async () => (await statusOf('here/one')) === 'stopped', 'that it is killed')
    expect(await post('/api/stop', { run: 'here/one' })).toEqual([
      409,
      { error: 'here/one: nobody trains it now' },
    ])
  })

  it('that cannot begin say why in their own sentence', async () => {
    const set = [...tiny, 'data.size=18']
    const sentence = 'quickstart: data.size 18 is not a multiple of latent.downsample 4; change one of them'
    const [, checked] = await post('/api/check', { ...request, set, run: 'here/two' })
    expect((checked as CheckAnswer).errors).toEqual({ '': sentence })
    expect(await post('/api/start', { ...request, set, run: 'here/two' })).toEqual([422, { error: sentence }])
    expect(existsSync(join(runs, 'here/two'))).toBe(false)
  })

  it('are left alone where they are no `ul train`', async () => {
    const dir = writeRun(runs, 'foreign')
    const lock = lockFolder(dir)
    await until(async () => (await statusOf('foreign')) === 'training', 'its lock')
    expect(await post('/api/stop', { run: 'foreign' })).toEqual([
      409,
      {
        error: `foreign: process ${process.pid} writes there, which is no 'ul train'; stop it where it was started`,
      },
    ])
    lock.release()
  })

  it('go on when the studio ends, and are known to the next', async () => {
    const other = await startStudio()
    expect(await post('/api/start', { ...request, run: 'here/on' }, other)).toEqual([202, { run: 'here/on' }])
    other.child.kill('SIGINT')
    expect(await other.ended).toEqual([0, ''])
    await until(async () => (await statusOf('here/on')) === 'training', 'that it trains')
    await until(() => existsSync(join(runs, 'here/on/metrics.jsonl')), 'its log')
    expect(await post('/api/stop', { run: 'here/on' })).toEqual([202, { run: 'here/on' }])
    await until(async () => (await statusOf('here/on')) === 'stopped', 'its end')
    rmSync(join(runs, 'here'), { recursive: true })
  })
})

describe('of finished runs', () => {
  const rate = (lossFactor: number): number => 0.1 * lossFactor ** 1.2
  const names = [2, 3, 5, 8].map((lossFactor) => {
    writeRun(runs, `rates/c-${lossFactor}`, {
      set: [`decoder.lossFactor=${lossFactor}`],
      bits: rate(lossFactor),
      distances: [3, 10 / lossFactor],
    })
    writeFileSync(join(runs, `rates/c-${lossFactor}/report.html`), '')
    return `rates/c-${lossFactor}`
  })

  it('a rate is planned as by `ul plan`, at once when only the wish changes', async () => {
    for (const wish of [0.3, 0.6, 1]) {
      const answer = await get<PlanAnswer>(`/api/plan?below=rates&bitsPerPixel=${wish}`)
      const { stdout } = await ul(['plan', join(runs, 'rates'), '--bits-per-pixel', String(wish)])
      const [plan] = await jsonOf(['plan', join(runs, 'rates'), '--bits-per-pixel', String(wish)])
      expect(`${answer.text}\n`).toBe(stdout)
      expect(plan).toMatchObject({ plan: { set: answer.set, rate: { bitsPerPixel: answer.bitsPerPixel } } })
      expect(answer.interval?.[0]).toBeLessThan(wish)
    }
    const began = performance.now()
    await get('/api/plan?below=rates&bitsPerPixel=0.5')
    expect(performance.now() - began).toBeLessThan(500)
    const none = await get('/api/plan?below=foreign&bitsPerPixel=0.5')
    expect(none).toEqual({ error: expect.stringMatching(/a rate law takes two/) })
    expect(await get('/api/plan?below=rates&budget=1e15')).toMatchObject({
      error: expect.stringMatching(/\S/),
    })
  })

  it('distances lie over FLOPs of the base model, by settings that differ', async () => {
    const points = await get<ScatterPoint[]>('/api/scatter?below=rates')
    expect(points.map(({ run }) => run)).toEqual(names)
    const rows = await jsonOf(['runs', join(runs, 'rates'), '--flops'])
    const [info] = await jsonOf(['info', join(runs, names[0])])
    const [, stage2] = info.stages as { readonly gflopsPerStep: number }[]
    for (const [i, { baseFlops, settings, figures }] of points.entries()) {
      expect(baseFlops).toBe(rows[i].baseFlops)
      expect(baseFlops).toBeCloseTo(1e9 * stage2.gflopsPerStep * 50, -3)
      expect(settings).toEqual({ 'decoder.lossFactor': names[i].slice('rates/c-'.length) })
      expect(figures.rFD).toBe(3)
    }
    expect(await get('/api/scatter?below=foreign')).toEqual([])
  })
})

describe('the process', () => {
  it('has no native library, and nothing of what trains', () => {
    const { pid } = studio.child
    const mapped = readFileSync(`/proc/${pid}/maps`, 'utf8')
    expect(mapped).toMatch(/node/)
    expect(mapped.match(/\S*(?:\.node|onnxruntime|vips|koffi)\S*/g)).toBeNull()
  })

  /** Starts a studio with --open and a browser; says what it was started with, and what the studio said. */
  const opened = async (script: string | null, said: RegExp, ...args: readonly string[]) => {
    const [browser, seen] = [inWork('browser'), inWork('opened')]
    rmSync(browser, { force: true })
    rmSync(seen, { force: true })
    if (script !== null)
      writeFileSync(browser, `#!/bin/sh\nprintf '%s\\n' "$@" > '${seen}'\n${script}\n`, { mode: 0o755 })
    process.env.BROWSER = browser
    const { child, url, ended, errors } = await startStudio('--open', ...args)
    delete process.env.BROWSER
    if (script !== null)
      await until(() => existsSync(seen) && readFileSync(seen, 'utf8') !== '', 'the browser')
    await until(() => said.test(errors()), 'what is said of it')
    expect((await fetch(new URL('/api/runs', url.replace('0.0.0.0', '127.0.0.1')))).status).toBe(200)
    child.kill('SIGINT')
    const [code, stderr] = await ended
    expect(code).toBe(0)
    return { url, stderr, seen: script === null ? null : readFileSync(seen, 'utf8') }
  }

  it('opens its address where --open says so, and goes on where nothing can', async () => {
    const own = await opened('exit 0', /^$/)
    expect([own.seen, own.stderr]).toEqual([`${own.url}\n`, ''])
    const everywhere = await opened('exit 0', /^warning: --host/, '--host', '0.0.0.0')
    expect(everywhere.seen).toBe(`${everywhere.url.replace('0.0.0.0', '127.0.0.1')}\n`)
    const said = (why: string, url: string): string =>
      `warning: --open: ${inWork('browser')} ${why}; open ${url} by hand, or set BROWSER to a program that opens it\n`
    const failed = await opened('exit 3', /ended/)
    expect(failed.stderr).toBe(said('ended with 3', failed.url))
    const missing = await opened(null, /started/)
    expect(missing.stderr).toBe(said('cannot be started (ENOENT)', missing.url))
  })

  it('ends as asked from the moment that it says where it listens', async () => {
    // Sent by the process itself as it writes the line, so that nothing lies between.
    const killed = `const write = process.stdout.write.bind(process.stdout)
      process.stdout.write = (...written) => (write(...written), process.kill(process.pid, 'SIGINT'))`
    const { ended } = await startStudioBy(['--import', `data:text/javascript,${encodeURIComponent(killed)}`])
    expect(await ended).toEqual([0, ''])
  })

  it('warns of other addresses, and ends with a sentence where it cannot listen', async () => {
    const open = await startStudio('--host', '0.0.0.0')
    open.child.kill('SIGINT')
    const [code, stderr] = await open.ended
    expect([code, stderr.match(/warning: .*\n/g)?.length]).toEqual([0, 1])
    expect(stderr).toMatch(/^warning: --host 0\.0\.0\.0: everybody who reaches this address/)
    const port = new URL(studio.url).port
    const taken = await startUl(['studio', '--runs', runs, '--port', port])
    expect(taken).toMatchObject({ code: 2, stdout: '' })
    expect(taken.stderr).toBe(
      `ul: 127.0.0.1:${port}: another program listens there; give another --port, or 0 for any that is free\n`,
    )
    const missing = await startUl(['studio', '--runs', 'nowhere'])
    expect(missing).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^ul: --runs nowhere: there is no such folder/),
    })
  })
})

it('many runs of long logs are listed and charted (tools/studioScale.mjs, which times 200 of 100,000 lines)', async () => {
  const tool = fileURLToPath(new URL('../../tools/studioScale.mjs', import.meta.url))
  const root = fileURLToPath(new URL('../..', import.meta.url))
  const child = spawn(process.execPath, [tool, root, '40', '4000'], { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  child.stdout.on('data', (piece: Buffer) => {
    text += piece
  })
  expect(await new Promise((resolve) => child.once('close', resolve))).toBe(0)
  const found = JSON.parse(text) as Readonly<Record<string, number>>
  expect(found).toMatchObject({ runs: 40, linesPerRun: 4000, linesCharted: 10 * 2000 })
  expect(found.peakMemoryMiB).toBeLessThan(300)
  expect(found.slowestLaterListMs).toBeLessThan(3000)
})

describe('logs read by threads', () => {
  const built = fileURLToPath(new URL('../../dist/studio/logThread.mjs', import.meta.url))
  const wish = { stage: 's', metric: 'x', points: 10 }
  const paths = Array.from({ length: 7 }, (_, i) => {
    const path = inWork(`log-${i}.jsonl`)
    const lines = Array.from({ length: 200 + i }, (_, step) => line('s', step, { x: Math.sin(step + i) }))
    writeFileSync(path, lines.join(''))
    return path
  })

  it('are answered as by this thread, all at once, and again when they have grown', async () => {
    const threads = readLogsInThreads(built)
    const expectSame = async (): Promise<void> => {
      const here = readLogsHere()
      const asked = paths.flatMap((path) => [threads.series(path, wish), threads.summary(path)])
      const expected = paths.flatMap((path) => [here.series(path, wish), here.summary(path)])
      expect(await Promise.all(asked)).toEqual(await Promise.all(expected))
    }
    await expectSame()
    for (const path of paths) appendFileSync(path, `${line('s', 1000, { x: 5 })}half a li`)
    await expectSame()
    expect((await threads.series(paths[3], wish)).count).toBe(204)
    await threads.close()
  })

  it('that cannot be read are refused, and others answered', async () => {
    const threads = readLogsInThreads(built)
    const missing = inWork('none.jsonl')
    const [refused, answered] = await Promise.allSettled([
      threads.series(missing, wish),
      threads.series(paths[0], wish),
    ])
    expect(refused).toMatchObject({ reason: { message: expect.stringContaining(`'${missing}'`) } })
    expect(answered).toMatchObject({ value: await readLogsHere().series(paths[0], wish) })
    const waiting = threads.series(paths[1], wish)
    const [ended] = await Promise.allSettled([waiting, threads.close()])
    expect(ended).toMatchObject({ reason: { message: expect.stringContaining('has ended') } })
  })

  it('say why when their thread cannot start, however often they are asked', async () => {
    const threads = readLogsInThreads(inWork('no-such-thread.mjs'))
    for (let i = 0; i < 3; i++)
      await expect(threads.series(paths[0], wish)).rejects.toThrow('no-such-thread.mjs')
    await threads.close()
  })
})
