/** @file Models to the Hub and from it, over HTTP on this machine: what arrives, and what is refused in one sentence and leaves nothing. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { parse } from 'yaml'
import { ConfigError } from '../../src/config/load.ts'
import { connect, type Hub } from '../../src/hub/client.ts'
import { expectModelName, isSafePath } from '../../src/hub/names.ts'
import { type PullOptions, pull } from '../../src/hub/pull.ts'
import { push, pushFolder } from '../../src/hub/push.ts'
import { exportRun } from '../../src/use/exportRun.ts'
import { openRun } from '../../src/use/openRun.ts'
import { runtime, smallRun } from '../export/smallRun.ts'
import { FakeHub, type Listed } from './fakeHub.ts'

const { opened, runFolder, workFolder } = await smallRun()

let server: FakeHub
const model = 'me/mine'

beforeEach(async () => {
  server = new FakeHub()
  await server.start()
  vi.stubEnv('HF_ENDPOINT', server.url)
  vi.stubEnv('HF_TOKEN', 'hf_writer')
  vi.stubEnv('HF_TOKEN_PATH', join(workFolder, 'no-token'))
})
afterEach(() => {
  server.stop()
  vi.unstubAllEnvs()
})

const hub = (controller = new AbortController()): Promise<Hub> => connect(controller.signal, false)
const options = { model, isPrivate: false, onnx: false, licence: 'CC-BY-4.0', warn: () => undefined } as const

/** The files of an exported model. */
const files: Record<string, Buffer> = {}
beforeAll(() => {
  const folder = join(workFolder, 'exported')
  exportRun(runFolder, folder, runtime)
  for (const name of readdirSync(folder)) files[name] = readFileSync(join(folder, name))
})

let pulls = 0
/** Pulls into a folder of its own, of which nothing else is in its parent. */
const pulledTo = (): { readonly parent: string; readonly out: string } => {
  const parent = join(workFolder, `pull-${pulls++}`)
  mkdirSync(parent)
  return { parent, out: join(parent, 'model') }
}
const pullInto = async (out: string, more: Partial<PullOptions> = {}): ReturnType<typeof pull> =>
  pull(await hub(), runtime, { model, revision: 'main', out, ...more })

/** The sentence with which a pull fails, after which there is nothing. */
const refused = async (more: Partial<PullOptions> = {}): Promise<string> => {
  const { parent, out } = pulledTo()
  const error = await pullInto(out, more).then(
    () => null,
    (reason: Error) => reason,
  )
  expect(error).toBeInstanceOf(Error)
  expect(readdirSync(parent)).toEqual([])
  expect(error!.message).not.toMatch(/hf_|\n/)
  return error!.message
}

describe('push and pull', () => {
  it('bring a run to another folder, where it is the same, with a card that says what was measured', async () => {
    // Where the data lies on this machine stays there.
    const place = '/home/me/private/photos'
    const config = join(runFolder, 'config.yaml')
    writeFileSync(
      config,
      readFileSync(config, 'utf8').replace('source: emoji\n  path: null', `source: folder\n  path: ${place}`),
    )
    const info = JSON.parse(readFileSync(join(runFolder, 'run.json'), 'utf8'))
    writeFileSync(
      join(runFolder, 'run.json'),
      JSON.stringify({ ...info, skipped: [`${place}/a.png: broken`] }),
    )
    expect(readFileSync(config, 'utf8')).toContain(place)
    const pushed = await push(await hub(), runFolder, runtime, { ...options, isPrivate: true, onnx: true })
    const there = server.filesOf(model)
    expect(server.repos.get(model)!.isPrivate).toBe(true)
    expect(pushed).toMatchObject({
      url: `${server.url}/${model}`,
      commit: server.repos.get(model)!.revisions.at(-1)!.sha,
    })
    expect(pushed.files).toEqual([
      'README.md',
      'config.yaml',
      'evaluation.json',
      'onnx/base_step.onnx',
      'onnx/decoder_step.onnx',
      'onnx/encoder.onnx',
      'onnx/model.json',
      'provenance.json',
      'quality.json',
      'run.json',
      'samples.png',
      'weights.safetensors',
    ])
    expect([...there.keys()].sort()).toEqual(['.gitattributes', ...pushed.files])
    for (const [name, bytes] of there) expect(bytes.includes('/home/me'), name).toBe(false)
    expect(String(there.get('config.yaml'))).toContain('path: photos')
    // Large files go in parts, as the Hub takes them.
    expect(server.asked.filter(({ path }) => path.startsWith('/part/')).length).toBeGreaterThan(10)

    const [, head, body] = /^---\n(.*?)\n---\n(.*)$/s.exec(String(there.get('README.md')))!
    expect(parse(head)).toEqual({
      license: 'cc-by-4.0',
      library_name: 'unified-latents',
      pipeline_tag: 'unconditional-image-generation',
      tags: ['unified-latents', 'diffusion', 'autoencoder', 'onnx'],
    })
    const { psnr } = JSON.parse(String(files['evaluation.json']))
    expect(body).toContain(`PSNR ${psnr.mean.toFixed(2)} ± ${psnr.error.toFixed(2)} dB`)
    expect(body).toContain('![Samples](samples.png)')
    expect(body).toContain(`ul pull ${model}\nul sample models/mine`)
    const { width } = await sharp(there.get('samples.png')).metadata()
    expect(width).toBeGreaterThanOrEqual(256)

    const { out } = pulledTo()
    const pulled = await pullInto(out)
    expect(pulled).toMatchObject({ commit: pushed.commit, files: pushed.files, left: [] })
    for (const path of pushed.files)
      expect(readFileSync(join(out, path)).equals(there.get(path)!), path).toBe(true)
    const [a, b] = [opened(), openRun(out, runtime)]
    expect(b.autoencoder()).toEqual(a.autoencoder())
    expect(b.base()).toEqual(a.base())
  })

  it('pushed again, what is not pushed now is gone, and what others added stays', async () => {
    const folder = join(workFolder, 'again')
    mkdirSync(join(folder, 'onnx'), { recursive: true })
    for (const [name, bytes] of Object.entries(files)) writeFileSync(join(folder, name), bytes)
    writeFileSync(join(folder, 'onnx', 'model.json'), '{}')
    await pushFolder(await hub(), folder, options)
    const license = new Map([...server.filesOf(model), ['LICENSE', Buffer.from('mine')]])
    server.put(model, Object.fromEntries(license))
    rmSync(join(folder, 'onnx'), { recursive: true })
    rmSync(join(folder, 'evaluation.json'))
    const { files: names } = await pushFolder(await hub(), folder, options)
    expect([...server.filesOf(model).keys()].sort()).toEqual(['.gitattributes', 'LICENSE', ...names].sort())
    expect(names).not.toContain('evaluation.json')
  })
})

describe('push', () => {
  const folder = join(workFolder, 'small')
  mkdirSync(folder)
  writeFileSync(join(folder, 'run.json'), '{}')
  writeFileSync(join(folder, 'weights.safetensors'), 'weights')
  const sentence = async (more: object = {}): Promise<string> => {
    const error = await pushFolder(await hub(), folder, { ...options, ...more }).then(
      () => new Error('nothing was refused'),
      (reason: Error) => reason,
    )
    expect(error.message).not.toMatch(/hf_|\n/)
    return error.message
  }

  it('needs a token, which no message shows', async () => {
    vi.stubEnv('HF_TOKEN', '')
    await expect(connect(new AbortController().signal, true)).rejects.toThrow(
      /^there is no token to push with; set HF_TOKEN/,
    )
    vi.stubEnv('HF_TOKEN', 'secret')
    await expect(hub()).rejects.toThrow(
      new ConfigError('HF_TOKEN: this is no token of the Hub, which begins with hf_; write it anew'),
    )
    vi.stubEnv('HF_TOKEN', 'hf_unknown')
    expect(await sentence()).toBe('me/mine: the token is not known there (401); set HF_TOKEN to one that is')
    vi.stubEnv('HF_TOKEN', 'hf_reader')
    expect(await sentence()).toMatch(/^me\/mine: the token may not do that \(403\)/)
  })

  it('takes the token that the tools of the Hub keep', async () => {
    vi.stubEnv('HF_TOKEN', '')
    vi.stubEnv('HF_TOKEN_PATH', join(workFolder, 'token'))
    writeFileSync(join(workFolder, 'token'), 'hf_writer\n')
    await pushFolder(await hub(), folder, options)
    expect(server.asked[0].authorization).toBe('Bearer hf_writer')
  })

  it('sends a token nowhere but over https, or to this machine', async () => {
    vi.stubEnv('HF_ENDPOINT', 'http://hub.example')
    await expect(hub()).rejects.toThrow(
      /^HF_ENDPOINT "http:\/\/hub\.example": expected an address with https/,
    )
  })

  it('does not put into public what is to be private, nor over another model', async () => {
    server.put(model, { 'README.md': 'mine', 'run.json': '{}' })
    expect(await sentence({ isPrivate: true })).toMatch(/^me\/mine: it is there already, and public; /)
    server.put('me/other', { 'README.md': 'theirs', 'pytorch_model.bin': 'x' })
    expect(await sentence({ model: 'me/other' })).toMatch(
      /^me\/other: it holds something else than ul pushes \("pytorch_model\.bin"\)/,
    )
    expect(server.filesOf('me/other').size).toBe(2)
  })

  it.each([
    ['/commit/', 500, /the Hub failed \(500\); try again later/],
    ['/commit/', 409, /somebody else changed it meanwhile \(409\)/],
    ['/objects/batch', 500, /the Hub failed \(500\)/],
    ['/lfs/', 503, /the Hub failed \(503\)/],
    ['/preupload/', 429, /asked too often \(429\)/],
    ['/repos/create', 400, /the Hub refuses it \(400\): bad … name; check/],
  ])('says in one sentence when %s answers %d, and changes nothing', async (path, status, expected) => {
    server.fault = (asked) =>
      asked.path.includes(path) ? { status, body: { error: 'bad hf_writer name' } } : null
    expect(await sentence()).toMatch(expected)
    expect([...server.filesOf(model).keys()].filter((name) => name !== '.gitattributes')).toEqual([])
  })

  it('says where the Hub is not', async () => {
    server.stop()
    expect(await sentence()).toMatch(
      /^me\/mine: http:\/\/127\.0\.0\.1:\d+ cannot be reached, or broke off \(ECONNREFUSED\); check/,
    )
  })
})

describe('pull', () => {
  beforeEach(() => {
    server.put(model, files)
  })

  it('takes a commit as it was, without a token too, and says what it leaves there', async () => {
    const first = server.repos.get(model)!.revisions[0].sha
    server.put(model, { ...files, 'README.md': 'newer', 'notes/a.txt': 'x' })
    vi.stubEnv('HF_TOKEN', '')
    const { out } = pulledTo()
    const { commit } = await pullInto(out, { revision: first })
    expect(commit).toBe(first)
    expect(readFileSync(join(out, 'README.md')).equals(files['README.md'])).toBe(true)
    const newest = await pullInto(join(out, '..', 'newest'))
    expect(newest.left).toEqual(['notes/a.txt'])
    expect(readFileSync(join(newest.path, 'README.md'), 'utf8')).toBe('newer')
    expect(existsSync(join(newest.path, 'notes'))).toBe(false)
    expect(server.asked.every(({ authorization }) => authorization === undefined)).toBe(true)
  })

  it('goes on where a connection broke off', async () => {
    let drops = 0
    server.fault = ({ path, range }) =>
      path.startsWith('/cdn/') && path.endsWith('weights.safetensors') && range === undefined && drops++ === 0
        ? { dropAfter: 100_000 }
        : null
    const { out } = pulledTo()
    await pullInto(out)
    expect(drops).toBe(1)
    const [from] = server.asked.flatMap(({ range }) => /^bytes=([1-9]\d*)-/.exec(range ?? '')?.slice(1) ?? [])
    expect(Number(from)).toBeGreaterThan(0)
    expect(readFileSync(join(out, 'weights.safetensors')).equals(files['weights.safetensors'])).toBe(true)
  })

  it('gives up when it breaks off again and again, and leaves nothing', async () => {
    server.fault = ({ path, range }) =>
      path.endsWith('weights.safetensors') && range !== 'bytes=0-0' ? { dropAfter: 1000 } : null
    expect(await refused()).toMatch(/^me\/mine: .* cannot be reached, or broke off/)
  })

  it.each([
    [401, /takes a token|not known there/],
    [403, /may not do that \(403\)/],
    [404, /there is no such model with a revision "main"/],
    [500, /the Hub failed \(500\)/],
  ])('says what %d means', async (status, expected) => {
    server.fault = () => ({ status })
    expect(await refused()).toMatch(expected)
  })

  it('says what it means when a file in the middle fails', async () => {
    server.fault = ({ path }) => (path.includes('/cdn/') ? { status: 500 } : null)
    expect(await refused()).toMatch(/the Hub failed \(500\)/)
  })

  it.each(['me/none', 'they/mine'])('of %s, which is not there', async (name) => {
    expect(await refused({ model: name })).toMatch(new RegExp(`^${name}: there is no such model`))
    expect(await refused({ revision: 'no-such' })).toMatch(/with a revision "no-such"/)
  })

  const hostile = [
    '../evil',
    'onnx/../../evil',
    '/etc/evil',
    'a//b',
    './a',
    '..',
    'a\\..\\evil',
    'C:evil',
    'C:/evil',
    'a\u0000b',
    'a\nb',
    'evil.',
    'a/ ',
  ]
  it.each(hostile)('refuses %j and everything beside it', async (path) => {
    server.list = (listed) => [...listed, { ...listed[0], path }]
    expect(await refused()).toMatch(/which would not stay in its folder; nothing was written$/)
    expect(isSafePath(path)).toBe(false)
  })

  it.each<[string, (file: Listed) => Listed, RegExp]>([
    [
      'another checksum',
      (file) => ({
        ...file,
        oid: '0'.repeat(40),
        ...(file.lfs && { lfs: { ...file.lfs, oid: '0'.repeat(64) } }),
      }),
      /is not what the Hub says it is \(its checksum differs\)/,
    ],
    [
      'another size',
      (file) => ({ ...file, size: file.size + 1 }),
      /is not what the Hub says it is \(\d+ bytes for \d+\)/,
    ],
    [
      'no checksum',
      (file) => ({ path: file.path, size: file.size, oid: '' }),
      /says neither size nor checksum of/,
    ],
    ['a negative size', (file) => ({ ...file, size: -1 }), /says neither size nor checksum of/],
  ])('refuses a file with %s', async (_, change, expected) => {
    for (const name of ['weights.safetensors', 'config.yaml']) {
      server.list = (listed) => listed.map((file) => (file.path === name ? change(file) : file))
      expect(await refused()).toMatch(expected)
    }
  })

  it.each([
    [
      'a model without weights',
      { 'weights.safetensors': undefined },
      /there is no weights\.safetensors, so it is no model that 'ul push' wrote/,
    ],
    [
      'a configuration that is none',
      { 'config.yaml': 'a: [' },
      /what it holds does not open: me\/mine\/config\.yaml/,
    ],
    [
      'weights that are none',
      { 'weights.safetensors': 'x'.repeat(99) },
      /what it holds does not open: me\/mine\/weights/,
    ],
    [
      'a stage 1 somewhere else',
      { 'config.yaml': 'from' },
      /what it holds does not open: .*train\.stage1\.from/,
    ],
  ])('refuses %s', async (_, change, expected) => {
    const changed = Object.entries({ ...files, ...change }).filter(([, bytes]) => bytes !== undefined)
    const all = Object.fromEntries(changed) as Record<string, Buffer | string>
    if (all['config.yaml'] === 'from')
      all['config.yaml'] = String(files['config.yaml']).replace('from: null', 'from: ../../..')
    server.put(model, all)
    expect(await refused()).toMatch(expected)
  })

  it('replaces what it pulled before, unless that has changed or is of another model', async () => {
    const { out } = pulledTo()
    await pullInto(out)
    server.put(model, { ...files, 'README.md': 'newer' })
    await pullInto(out)
    expect(readFileSync(join(out, 'README.md'), 'utf8')).toBe('newer')
    server.put('me/other', files)
    await expect(pullInto(out, { model: 'me/other' })).rejects.toThrow(`${out}: it holds me/mine; `)
    writeFileSync(join(out, 'quality.json'), 'measured since')
    await expect(pullInto(out)).rejects.toThrow(
      `${out}: quality.json is not what was pulled, and would be lost; `,
    )
    expect(readFileSync(join(out, 'quality.json'), 'utf8')).toBe('measured since')
  })

  it('does not replace anything else: a folder, a run, a file, a link', async () => {
    const { parent, out } = pulledTo()
    mkdirSync(out)
    writeFileSync(join(out, 'mine.txt'), 'mine')
    await expect(pullInto(out)).rejects.toThrow(ConfigError)
    await expect(pullInto(join(out, 'mine.txt'))).rejects.toThrow(/mine\.txt: it holds something else/)
    symlinkSync(out, join(parent, 'link'))
    await expect(pullInto(join(parent, 'link'))).rejects.toThrow(/link: it holds something else/)
    expect([readdirSync(parent).sort(), readdirSync(out)]).toEqual([['link', 'model'], ['mine.txt']])
    expect(server.asked).toEqual([])
  })

  it('ends when it is interrupted, with the reason, and leaves nothing', async () => {
    const controller = new AbortController()
    const { parent, out } = pulledTo()
    server.fault = ({ path, range }) => {
      if (path.endsWith('weights.safetensors') && range === undefined) controller.abort(new Error('Ctrl-C'))
      return null
    }
    const under = pull(await hub(controller), runtime, { model, revision: 'main', out })
    await expect(under).rejects.toThrow('Ctrl-C')
    expect(readdirSync(parent)).toEqual([])
  })
})

describe('names of models', () => {
  it.each(['me/mine', 'a/b', 'My-Org/model_1.5'])('%s', (name) => {
    expect(() => expectModelName(name)).not.toThrow()
  })

  it.each([
    'mine',
    'a/b/c',
    '../b',
    'a/..',
    '/b',
    'a/',
    'a/b c',
    'a/b\n',
    'datasets/a/b',
    'a/b--c',
    'a/.b',
    'a/b.git',
    `a/${'b'.repeat(97)}`,
  ])('not %j', (name) => {
    expect(() => expectModelName(name)).toThrow(/a model of the Hub is called owner\/name/)
  })
})
