/**
 * @file Requests that nobody sends who means well, byte by byte over sockets: every one is refused, nothing of what lies outside
 * is told, nothing is written, and others are answered meanwhile.
 */
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { RunList } from '../../src/studio/api.ts'
import { createGuard } from '../../src/studio/guard.ts'
import { line, openTestStudio, until, writeRun } from './support.ts'

const { studio, root, get, warnings } = await openTestStudio()
const { port, token } = studio
const secret = 'nothing of this may be told'

writeRun(root, 'mine', { log: line('stage1', 1, { loss: 1 }) })
writeFileSync(join(dirname(root), 'secret.txt'), secret)
writeFileSync(join(dirname(root), 'secret.png'), secret)
mkdirSync(join(dirname(root), 'outside/samples'), { recursive: true })
writeFileSync(join(dirname(root), 'outside/samples/secret.png'), secret)
symlinkSync(join(dirname(root), 'secret.png'), join(root, 'mine/samples/link.png'))
symlinkSync(join(dirname(root), 'outside'), join(root, 'linked'))
symlinkSync(join(dirname(root), 'secret.txt'), join(root, 'mine/run.json.png'))

/** Sends bytes one after the other, and takes what comes back until the other side closes. */
const exchange = (
  pieces: readonly (string | Buffer)[],
  { pause = 0, patience = 30_000 } = {},
): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    let answer = ''
    const timer = setTimeout(() => reject(new Error(`no end within ${patience} ms: ${answer}`)), patience)
    const leave = (): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(answer)
    }
    socket.setEncoding('latin1').on('data', (text: string) => {
      answer += text
    })
    socket.on('close', leave).on('error', () => undefined)
    const send = async (): Promise<void> => {
      for (const piece of pieces) {
        if (socket.destroyed || socket.writableEnded) return
        if (!socket.write(piece)) await new Promise((done) => socket.once('drain', done).once('close', done))
        if (pause > 0) await new Promise((done) => setTimeout(done, pause))
      }
    }
    socket.on('connect', send)
  })

/** A request, by default of somebody who may do all. */
const request = (
  target: string,
  headers: Readonly<Record<string, string | null>> = {},
  body = '',
  method = body === '' ? 'GET' : 'POST',
): string => {
  const all: Record<string, string | null> = {
    Host: `127.0.0.1:${port}`,
    Connection: 'close',
    ...(method === 'POST' && { 'Content-Type': 'application/json', 'X-Studio-Token': token }),
    ...(method === 'POST' && { 'Content-Length': String(Buffer.byteLength(body)) }),
    ...headers,
  }
  const lines = Object.entries(all).flatMap(([name, value]) => (value === null ? [] : [`${name}: ${value}`]))
  return `${method} ${target} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${body}`
}

const start = JSON.stringify({ preset: 'quickstart', set: [], run: 'new' })
const starting = (changes: object): string =>
  request('/api/start', {}, JSON.stringify({ preset: 'quickstart', set: [], run: 'new', ...changes }))

/** What is sent, and the statuses with which it may be refused. */
const hostile: Readonly<
  Record<string, readonly [sent: string | readonly (string | Buffer)[], ...statuses: number[]]>
> = {
  'dots in the path': [request('/files/../../secret.txt'), 404],
  'dots that are encoded': [request('/files/%2e%2e/%2e%2e/secret.png'), 400, 404],
  'slashes that are encoded': [request('/files/..%2f..%2fsecret.png'), 400],
  backslashes: [request('/files/..%5c..%5csecret.png'), 400],
  'dots that are encoded twice': [request('/files/%252e%252e/samples/secret.png'), 404],
  'dots in too many bytes': [request('/files/%c0%ae%c0%ae/samples/secret.png'), 400],
  'a zero byte': [request('/files/mine/samples/x%00.png'), 400],
  'dots in the name of a run': [request('/api/run?run=../outside'), 400],
  'an absolute name of a run': [request('/api/series?run=/etc&stage=a&metric=b'), 400],
  'dots amid the name of a run': [request('/api/run?run=mine/../../outside'), 400],
  'a folder above the runs': [request('/api/scatter?below=..'), 400],
  'a link to a file elsewhere': [request('/files/mine/samples/link.png'), 404],
  'a link to a folder elsewhere': [request('/files/linked/samples/secret.png'), 404],
  'a file of a run that is no picture': [request('/files/mine/config.yaml'), 404],
  'dots behind the pages': [request('/assets/..%2f..%2fsecret.txt'), 400],
  'a file of no page beside the pages': [request('/assets/secret.env'), 404],
  'the name of another host': [request('/api/runs', { Host: 'evil.example' }), 403],
  'a host that begins like this one': [request('/api/runs', { Host: `127.0.0.1.evil.example:${port}` }), 403],
  'a host with a user': [request('/api/runs', { Host: `localhost@evil.example:${port}` }), 400, 403],
  'no host': [request('/api/runs', { Host: null }), 400],
  'the address of another host in the request': [request('http://evil.example/api/runs'), 400, 403],
  'another origin that reads': [request('/api/runs', { Origin: 'http://evil.example' }), 403],
  'another port as origin': [request('/api/runs', { Origin: 'http://127.0.0.1:1' }), 403],
  'another origin that writes with the token': [request('/api/start', { Origin: 'null' }, start), 403],
  'another site that shows a picture': [
    request('/files/mine/samples/a.png', { 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'no-cors' }),
    403,
  ],
  'a question whether another origin may write': [
    request(
      '/api/start',
      { Origin: 'http://evil.example', 'Access-Control-Request-Method': 'POST' },
      '',
      'OPTIONS',
    ),
    403,
  ],
  'no token': [request('/api/start', { 'X-Studio-Token': null }, start), 401],
  'a wrong token': [request('/api/start', { 'X-Studio-Token': 'A'.repeat(token.length) }, start), 401],
  'the token but for its end': [
    request('/api/stop', { 'X-Studio-Token': token.slice(0, -1) }, '{"run":"mine"}'),
    401,
  ],
  'the token where it does not belong': [
    request(`/api/start?token=${token}`, { 'X-Studio-Token': null, Cookie: `token=${token}` }, start),
    401,
  ],
  'a form, as other sites may send it': [request('/api/start', { 'Content-Type': 'text/plain' }, start), 415],
  'a body that says that it is huge': [
    request('/api/start', { 'Content-Length': '10000000000' }, start),
    413,
  ],
  'a body that never ends': [
    [
      request('/api/check', { 'Content-Length': null, 'Transfer-Encoding': 'chunked' }, ' ').slice(0, -1),
      ...Array.from({ length: 400 }, () => `1000\r\n${' '.repeat(0x1000)}\r\n`),
    ],
    413,
  ],
  'a body of two lengths': [request('/api/start', { 'Transfer-Encoding': 'chunked' }, start), 400],
  'a body that is no JSON': [request('/api/start', {}, '{"preset":'), 400],
  'a body that is no text': [
    [request('/api/start', { 'Content-Length': '2' }, ' ').slice(0, -1), Buffer.from([0xff, 0xfe])],
    400,
  ],
  'a body of brackets': [request('/api/start', {}, '['.repeat(60_000)), 400],
  'a body of something else': [request('/api/start', {}, '{"run":"x","preset":"quickstart","set":"x"}'), 400],
  'a prototype': [request('/api/start', {}, '{"__proto__":{"run":"x"},"preset":"quickstart","set":[]}'), 400],
  'a flag in place of a preset': [starting({ preset: '--out=/tmp/x' }), 422],
  'a flag in place of a setting': [starting({ set: ['--out=/tmp/x'] }), 422],
  'a run above the folder': [starting({ run: '../new' }), 400],
  'a run behind a link': [starting({ run: 'linked/new' }), 422],
  'a run that begins with a dot': [starting({ run: '.studio' }), 422],
  'a method that is not answered': [request('/api/runs', {}, '', 'DELETE'), 405],
  'a trace': [request('/', {}, '', 'TRACE'), 405],
  'numbers out of bounds': [request('/api/series?run=mine&stage=stage1&metric=loss&points=1e99'), 400],
  'a name as long as a book': [request(`/api/run?run=${'x'.repeat(12_000)}`), 400],
  'a header of 60 kB': [request('/', { Cookie: 'x'.repeat(60_000) }), 431],
  'a thousand headers': [
    request('/', Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`X-${i}`, 'abc']))),
    431,
  ],
  'no HTTP': ['\u0016\u0003\u0001 hello\r\n\r\n', 400],
  'a header over two lines': [`GET / HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n folded\r\n\r\n`, 400, 403],
}

/** Somebody who is answered meanwhile. */
let [answered, slowest] = [0, 0]
let isAsking = true
const asking = async (): Promise<void> => {
  while (isAsking) {
    const began = performance.now()
    const { runs } = await get<RunList>('/api/runs')
    expect(runs.map(({ run }) => run)).toContain('mine')
    slowest = Math.max(slowest, performance.now() - began)
    answered++
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
let asked: Promise<void>

beforeAll(async () => {
  await until(async () => (await get<RunList>('/api/runs')).runs.length > 0, 'the run')
  asked = asking()
})
afterAll(async () => {
  isAsking = false
  await asked
})

/** What every refusal has in common. */
const expectRefused = (answer: string, statuses: readonly number[]): void => {
  const [, status] = /^HTTP\/1\.1 (\d{3}) /.exec(answer) ?? []
  expect(statuses, answer.slice(0, 300)).toContain(Number(status))
  expect(answer).not.toContain(secret)
  expect(answer).not.toContain(token)
  expect(answer).not.toMatch(/\n\s+at |node:|\.ts:|\.mjs|root:x:/)
  const [head, body = ''] = answer.split('\r\n\r\n', 2)
  // What is no request that can be read is refused by Node itself, without a word.
  if (!/content-type: application\/json/i.test(head)) return
  expect(JSON.parse(body)).toEqual({ error: expect.stringMatching(/^\S.*\S$/) })
  expect(head).toMatch(/x-content-type-options: nosniff/i)
}

describe('is refused, while others are answered:', () => {
  const before = readdirSync(root).sort()

  it.each(Object.entries(hostile))('%s', async (_, [sent, ...statuses]) => {
    await until(() => answered > 0, 'an answer')
    const answeredBefore = answered
    expectRefused(await exchange(typeof sent === 'string' ? [sent] : sent), statuses)
    await until(() => answered > answeredBefore, 'that others are answered')
  })

  it('a body that comes byte by byte, and headers that do', async () => {
    const answeredBefore = answered
    const slowly = (text: string): readonly string[] => [...text, ...Array<string>(100).fill(' ')]
    const [body, headers] = await Promise.all([
      exchange([request('/api/start', { 'Content-Length': '5000' }, ' '), ...slowly(start)], { pause: 250 }),
      exchange(slowly(`GET / HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nX: ${'x'.repeat(500)}`), { pause: 250 }),
    ])
    expectRefused(body, [408])
    expectRefused(headers, [408])
    expect(answered).toBeGreaterThan(answeredBefore + 20)
  })

  it('more streams than there are pages, and connections that say nothing', async () => {
    const sockets: Socket[] = []
    const answers: string[] = []
    const answeredBefore = answered
    for (let i = 0; i < 300; i++) {
      const socket = connect(port, '127.0.0.1').setEncoding('latin1')
      sockets.push(socket.on('error', () => undefined))
      if (i >= 150) continue
      answers[i] = ''
      socket.on('data', (text: string) => {
        answers[i] += text
      })
      socket.write(request('/api/events'))
    }
    await until(() => answers.every((answer) => answer !== ''), 'all answers')
    const open = answers.filter((answer) => answer.startsWith('HTTP/1.1 200'))
    const refused = answers.filter((answer) => !answer.startsWith('HTTP/1.1 200'))
    expect([open.length, refused.length]).toEqual([64, 86])
    for (const answer of refused) expectRefused(answer, [503])
    await until(() => answered > answeredBefore + 5, 'that others are answered')
    for (const socket of sockets) socket.destroy()
    // They are let go, so that pages watch again.
    await until(
      async () =>
        (
          await exchange([request('/api/events')], { patience: 300 }).catch(({ message }: Error) => message)
        ).includes('200 OK'),
      'a stream',
    )
  })

  it('nothing was begun, nothing failed, and nobody waited long', () => {
    expect(readdirSync(root).sort()).toEqual(before)
    expect(warnings).toEqual([])
    expect(answered).toBeGreaterThan(100)
    expect(slowest).toBeLessThan(5000)
    expect(Object.keys(hostile).length).toBeGreaterThanOrEqual(25)
  })
})

describe('is answered:', () => {
  const statusOf = async (headers: Readonly<Record<string, string>>, target = '/api/runs'): Promise<number> =>
    Number((await exchange([request(target, headers)])).slice(9, 12))

  it.each([
    ['the same origin', { Origin: `http://127.0.0.1:${port}`, 'Sec-Fetch-Site': 'same-origin' }],
    [
      'localhost, and another port that leads here',
      { Host: 'localhost:9999', Origin: 'http://localhost:9999' },
    ],
    ['IPv6', { Host: `[::1]:${port}` }],
    ['an address that was typed', { 'Sec-Fetch-Site': 'none', 'Sec-Fetch-Mode': 'navigate' }],
  ])('%s', async (_, headers) => {
    expect(await statusOf(headers)).toBe(200)
  })

  it('a link on another site to the page, which has the token, a policy and no way in for others', async () => {
    const answer = await exchange([
      request('/', { 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'navigate' }),
    ])
    expect(answer).toContain(`<head><meta name="studio-token" content="${token}">`)
    const head = answer.split('\r\n\r\n', 1)[0].toLowerCase()
    const policy = /content-security-policy: (.*)/.exec(head)?.[1] ?? ''
    expect(policy).toMatch(/script-src 'self' 'wasm-unsafe-eval';/)
    expect(policy).not.toMatch(/unsafe-inline|'unsafe-eval'|\*/)
    for (const own of [
      'cross-origin-opener-policy: same-origin',
      'cross-origin-embedder-policy: require-corp',
      'referrer-policy: no-referrer',
      'cache-control: no-store',
    ])
      expect(head).toContain(own)
    expect(head).not.toContain('access-control-allow')
  })

  it('names of this machine only where another address was asked for', () => {
    const { expectOwn } = createGuard('0.0.0.0')
    const asks =
      (host: string): (() => void) =>
      () =>
        expectOwn(new Request(`http://${host}/`, { headers: { host } }))
    expect(asks('127.0.0.1:80')).not.toThrow()
    expect(asks('evil.example')).toThrow(/not a name of this studio/)
    expect(() =>
      createGuard('studio.lan').expectOwn(
        new Request('http://studio.lan/', { headers: { host: 'studio.lan' } }),
      ),
    ).not.toThrow()
    expect(() =>
      createGuard('127.0.0.1').expectOwn(
        new Request('http://studio.lan/', { headers: { host: 'studio.lan' } }),
      ),
    ).toThrow()
  })
})
