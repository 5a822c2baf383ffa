/** @file The peers of the benchmark's page find the values that ours finds, both blocks, in headless Chromium. */
import { fileURLToPath } from 'node:url'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { tolerances } from '../../bench/target.ts'
import { chromiumLack, launchChromium, openPage, type WatchedPage } from '../browser/browser.ts'
import { bundlePage } from '../browser/bundle.ts'
import { type StaticServer, serveFolders } from '../browser/server.ts'
import { temporaryFolder } from '../data/temporary.ts'

const tfjs = fileURLToPath(new URL('../../node_modules/@tensorflow/tfjs-backend-wasm/dist', import.meta.url))

let server: StaticServer
let browser: Browser
let page: WatchedPage

beforeAll(async () => {
  if (chromiumLack !== null) return
  const folder = await temporaryFolder()
  await bundlePage('bench/browser/page.ts', folder)
  server = await serveFolders({ folders: { '/': folder, '/tfjs/': tfjs } })
  browser = await launchChromium()
  page = await openPage(browser, server.url)
  await page.page.evaluate(`bench.open({ device: 'wasm', threads: 1 })`)
}, 300_000)

afterAll(async () => {
  await browser?.close()
  await server?.close()
})

/** Relative errors of what a peer found, by name. */
const errorsOf = async (peer: string, caseName: string): Promise<Record<string, number>> => {
  await page.page.evaluate(`bench.prepare('ours', 'ours', '${caseName}')`)
  const prepared = await page.page.evaluate(`bench.prepare('peer', '${peer}', 'wasm')`)
  return (prepared as { readonly errors: Record<string, number> }).errors
}

describe.skipIf(chromiumLack !== null)('in a page', () => {
  it.each([
    ['tfjs', 'resblock/16', 8],
    ['tfjs', 'block/64', 11],
    ['jax', 'resblock/16', 8],
    ['jax', 'block/64', 11],
  ])('%s finds loss and gradients of %s', async (peer, caseName, count) => {
    const errors = await errorsOf(peer, caseName)
    expect(Object.keys(errors)).toHaveLength(count)
    expect(Object.keys(errors)).toContain('loss')
    for (const [name, error] of Object.entries(errors)) expect(error, name).toBeLessThan(tolerances.float32)
    const seconds = (await page.page.evaluate(`bench.run('peer', 2)`)) as readonly number[]
    expect(seconds).toHaveLength(2)
    for (const each of seconds) expect(each).toBeGreaterThan(0)
  })
})
