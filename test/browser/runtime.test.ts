/**
 * @file The runtime in a page: the contract, every op, training steps and a trained model in headless Chromium, by
 * WebAssembly and by WebGPU on its software adapter, against Node.
 */
import { fileURLToPath } from 'node:url'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { NodeRuntime } from '../../src/engine/runtime/node/runtime.ts'
import { openRun } from '../../src/use/openRun.ts'
import { temporaryFolder } from '../data/temporary.ts'
import { cases } from '../engine/cases.ts'
import { contract } from '../engine/contract.ts'
import { isFloat, setUp, whyNoGradient } from '../engine/opRuns.ts'
import { ask } from './ask.ts'
import { chromiumLack, launchChromium, openPage, type WatchedPage } from './browser.ts'
import { bundlePage } from './bundle.ts'
import { type StaticServer, serveFolders } from './server.ts'
import { type Numbers, trained, used } from './work.ts'

const model = fileURLToPath(new URL('../../pretrained/emoji64', import.meta.url))
const node = new NodeRuntime({ threads: 1 })

let server: StaticServer
let browser: Browser

beforeAll(async () => {
  if (chromiumLack !== null) return
  const folder = await temporaryFolder()
  await bundlePage('test/browser/page.ts', folder)
  server = await serveFolders({ folders: { '/': folder, '/model/': model } })
  browser = await launchChromium()
}, 300_000)

afterAll(async () => {
  await browser?.close()
  await server?.close()
})

/** The largest difference of two lists, over the largest number of the second. */
const distance = (actual: readonly number[], expected: readonly number[]): number => {
  expect(actual.length).toBe(expected.length)
  const most = (numbers: readonly number[]): number =>
    numbers.reduce((max, x) => Math.max(max, Math.abs(x)), 0)
  return most(actual.map((x, i) => x - expected[i])) / Math.max(most(expected), 1e-3)
}

const distances = (actual: Numbers, expected: Numbers): Record<string, number> => {
  expect(Object.keys(actual)).toEqual(Object.keys(expected))
  return Object.fromEntries(
    Object.entries(expected).map(([name, numbers]) => [name, distance(actual[name], numbers)]),
  )
}

/** Those above a tolerance. */
const above = (all: Readonly<Record<string, number>>, tolerance: number): [string, number][] =>
  Object.entries(all).filter(([, value]) => !(value < tolerance))

/** What GPUs promise of sines and cosines (https://www.w3.org/TR/WGSL/#floating-point-accuracy), which embeddings of time are made of. */
const sineError = 2 ** -11
const sines: ReadonlySet<string> = new Set(['sin', 'cos'])

describe.skipIf(chromiumLack !== null).each(['wasm', 'webgpu'] as const)('a page on %s', (device) => {
  let page: WatchedPage
  const asNode = device === 'webgpu' ? sineError : 1e-4

  beforeAll(async () => {
    page = await openPage(browser, server.url)
    await ask(page, 'open', { device, threads: 2 })
  }, 120_000)

  afterAll(async () => {
    // ONNX Runtime logs what it then throws: that the adapter has no half precision, which a clause asks for.
    expect(page.errors.filter((text) => !text.includes('requires f16'))).toEqual([])
    await page.page.close()
  })

  it.each(Object.keys(contract))('%s', async (name) => {
    expect(await ask(page, 'clause', name)).toEqual(contract[name].expected)
  })

  it.each(cases.map(({ name }, index) => [name, index] as const))('%s', async (_, index) => {
    const c = cases[index]
    const found = await ask(page, 'forward', index)
    const tolerance = device === 'webgpu' && sines.has(c.op.name) ? sineError : 1e-5
    for (const [i, v] of setUp(c).outputs.entries()) {
      expect(found[i]).toMatchObject({ dtype: v.dtype, shape: v.shape })
      expect(found[i].error).toBeLessThan(isFloat(v) ? tolerance : 1)
    }
    if (whyNoGradient(c) !== null) return
    const gradients = await ask(page, 'gradients', index)
    expect(gradients.length).toBeGreaterThan(0)
    for (const error of gradients) expect(error).toBeLessThan(Math.max(1e-4, tolerance))
  })

  it('trains as Node does', async () => {
    expect(above(distances(await ask(page, 'trained'), await trained(node)), asNode)).toEqual([])
  })

  it('encodes, decodes and generates as Node does, with the model that comes with the package', async () => {
    const { numbers, fetched } = await ask(page, 'used')
    expect(fetched).toEqual(['config.yaml', 'run.json', 'weights.safetensors'])
    const found = distances(numbers, await used(openRun(model, node)))
    expect(above(found, asNode)).toEqual([])
  })
})
