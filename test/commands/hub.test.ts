/** @file `ul push` and `ul pull` as commands, against a stand-in of the Hub on this machine. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { smallRun } from '../export/smallRun.ts'
import { FakeHub } from '../hub/fakeHub.ts'
import { inWork, jsonOf, sentenceOf, startUl, ul } from './ul.ts'

const { runFolder } = await smallRun()
const server = new FakeHub()
const model = 'me/mine'

beforeAll(async () => {
  await server.start()
  // Inherited by processes of their own.
  process.env.HF_ENDPOINT = server.url
  process.env.HF_TOKEN = 'hf_writer'
  process.env.HF_TOKEN_PATH = inWork('no-token')
})
afterAll(() => {
  server.stop()
  for (const name of ['HF_ENDPOINT', 'HF_TOKEN', 'HF_TOKEN_PATH']) delete process.env[name]
})

describe('a run that is pushed and pulled', () => {
  it('is pushed by the built command, whose output holds no token', async () => {
    const { code, stdout, stderr } = await startUl([
      'push',
      runFolder,
      model,
      '--onnx',
      '--licence',
      'Apache-2.0',
    ])
    expect([code, stdout]).toEqual([
      0,
      expect.stringMatching(
        /^12 files, \d\.\d MB: http:\/\/127.*\/me\/mine\nget it with 'ul pull me\/mine'\n$/,
      ),
    ])
    expect(stderr).toContain('uploaded weights.safetensors\n')
    expect(stdout + stderr).not.toContain('hf_')
    expect(server.filesOf(model).size).toBe(13)
  })

  it('is pulled to models/, says how it is used, and is used so', async () => {
    const { code, stdout, stderr } = await startUl(['pull', model])
    expect([code, stdout]).toEqual([
      0,
      expect.stringMatching(
        /^me\/mine at [0-9a-f]{7}, 12 files, \d\.\d MB, each as the Hub says: models\/mine\nuse it like a run: ul sample models\/mine\n$/,
      ),
    ])
    expect(stderr).toMatch(/^weights\.safetensors, \d\.\d MB$/m)
    expect(existsSync(inWork('models/mine/onnx/model.json'))).toBe(true)
    expect((await ul(['sample', 'models/mine', '-n', '2', '--out', 'samples.png'])).code).toBe(0)
  })

  it('answers programs in JSON', async () => {
    const line = (await jsonOf(['pull', model, '--out', 'elsewhere'])).at(-1)
    expect(line).toMatchObject({ event: 'done', model, path: 'elsewhere', left: [] })
    expect(readdirSync(inWork('elsewhere')).sort()).toEqual(readdirSync(inWork('models/mine')).sort())
  })
})

describe('in one sentence', () => {
  it('what is not there, and what is in the way', async () => {
    expect(await sentenceOf(1, ['pull', 'me/none'])).toMatch(/^me\/none: there is no such model/)
    writeFileSync(inWork('models/mine/README.md'), 'changed')
    expect(await sentenceOf(2, ['pull', model])).toBe(
      'models/mine: README.md is not what was pulled, and would be lost; give another --out, or remove it',
    )
    expect(readFileSync(inWork('models/mine/README.md'), 'utf8')).toBe('changed')
  })

  it('a push without a token', async () => {
    process.env.HF_TOKEN = ''
    expect(await sentenceOf(2, ['push', runFolder, model])).toMatch(
      /^there is no token to push with; set HF_TOKEN/,
    )
    process.env.HF_TOKEN = 'hf_writer'
  })
})
