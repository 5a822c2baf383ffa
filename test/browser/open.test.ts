/** @file Which device a page computes on, with how many threads, and what a person is told of it, in headless Chromium. */
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { WebRuntimeOptions } from '../../src/engine/runtime/web/runtime.ts'
import { temporaryFolder } from '../data/temporary.ts'
import { contract } from '../engine/contract.ts'
import { ask } from './ask.ts'
import { chromiumLack, launchChromium, openPage, type WatchedPage } from './browser.ts'
import { bundlePage } from './bundle.ts'
import { type StaticServer, serveFolders } from './server.ts'

let isolated: StaticServer
let plain: StaticServer
let browser: Browser

beforeAll(async () => {
  if (chromiumLack !== null) return
  const folder = await temporaryFolder()
  await bundlePage('test/browser/page.ts', folder)
  isolated = await serveFolders({ folders: { '/': folder } })
  plain = await serveFolders({ folders: { '/': folder }, isIsolated: false })
  browser = await launchChromium()
}, 300_000)

afterAll(async () => {
  await browser?.close()
  await isolated?.close()
  await plain?.close()
})

/** A page of its own for each, since the first runtime of a page decides for all. */
const onPage = async <T>({ url }: StaticServer, body: (page: WatchedPage) => Promise<T>): Promise<T> => {
  const page = await openPage(browser, url)
  try {
    return await body(page)
  } finally {
    await page.page.close()
  }
}

const saidOf = async (page: WatchedPage, options: WebRuntimeOptions): Promise<unknown> => {
  const { device, said } = await ask(page, 'open', options)
  return [device, ...said]
}

describe.skipIf(chromiumLack !== null)('a page', () => {
  it('computes with all threads that it asks for, and the first runtime decides', () =>
    onPage(isolated, async (page) => {
      const two = 'Computing on the CPU by WebAssembly with 2 threads.'
      expect(await saidOf(page, { device: 'wasm', threads: 2 })).toEqual(['wasm', two])
      expect(await saidOf(page, { device: 'wasm', threads: 1 })).toEqual([
        ...['wasm', two, '2 threads as before, not 1: the first runtime of a page decides.'],
      ])
      expect(page.errors).toEqual([])
    }))

  it('that is not isolated computes with one thread, says why, and warns of nothing else', () =>
    onPage(plain, async (page) => {
      expect(await saidOf(page, { device: 'wasm', threads: 2 })).toEqual([
        'wasm',
        'Computing on the CPU by WebAssembly with 1 thread.',
        expect.stringMatching(/^One thread of 2: this page is not cross-origin isolated; .* require-corp\.$/),
      ])
      const clause = 'takes steps on a state that stays'
      expect(await ask(page, 'clause', clause)).toEqual(contract[clause].expected)
      expect(page.errors).toEqual([])
    }))

  it('leaves a software adapter alone where it may choose, and says so', () =>
    onPage(isolated, async (page) => {
      expect(await saidOf(page, { threads: 2 })).toEqual([
        'wasm',
        expect.stringMatching(
          /^WebGPU is not used: its adapter, google swiftshader.*, is the CPU under another name\.$/,
        ),
        'Computing on the CPU by WebAssembly with 2 threads.',
      ])
    }))

  it('takes it where it is told to, with limits that refuse what is larger before anything runs', () =>
    onPage(isolated, async (page) => {
      const { device, said, limits } = await ask(page, 'open', { device: 'webgpu' })
      expect(device).toBe('webgpu')
      expect(said).toEqual([
        expect.stringMatching(
          /^Computing by WebGPU on google swiftshader.*, which is the CPU under another name, and slow\.$/,
        ),
      ])
      expect(limits).toEqual({
        ...{
          adapter: expect.stringContaining('swiftshader'),
          tensorBytes: 2 ** 30,
          isSoftware: true,
          float16: false,
        },
      })
      expect(await ask(page, 'tooLarge', 2 ** 30 + 4)).toMatch(
        /^program large: its largest tensor, input 'x' .*, takes 1024\.00\d* MiB, but the adapter 'google swiftshader.*' takes 1024 MiB at most; /,
      )
      expect(await ask(page, 'tooLarge', 2 ** 20)).toBe(null)
    }))

  it("says where ONNX Runtime's file should have been, and does not hang", () =>
    onPage(isolated, async (page) => {
      const wasmPaths = { wasm: '/nowhere.wasm' }
      const failed = ask(page, 'open', { device: 'wasm', threads: 1, wasmPaths })
      await expect(failed).rejects.toThrow(
        /device cpu: ONNX Runtime could not start it \(.*\); ONNX Runtime's \.wasm file must be where the bundler puts it, or where wasmPaths says/s,
      )
    }))
})
