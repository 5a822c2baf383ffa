/** @file What holds for the site's pages as they are: little until the first paint, keys and screen readers, phones, no network. */
import { readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { gzipSync } from 'node:zlib'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { chromiumLack, launchChromium, openPage } from './browser.ts'
import type { StaticServer } from './server.ts'
import { buildSite, idle, overflow, pixelsOf, serveSite } from './site.ts'

/** Bytes, compressed, that a page may load before anybody does anything. */
const mostFirst = 200_000
const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js')

let site = ''
let server: StaticServer
let browser: Browser

beforeAll(async () => {
  if (chromiumLack !== null) return
  site = await buildSite()
  server = await serveSite(site)
  browser = await launchChromium()
}, 300_000)

afterAll(async () => {
  await browser?.close()
  await server?.close()
})

/** What axe-core finds that is serious or critical, each with where. */
const seriousFindings = async (page: Page): Promise<string[]> => {
  // The policy of the page refuses a script tag; a debugger's evaluation is no script of the page.
  await page.evaluate(await readFile(axe, 'utf8'))
  const { violations } = await page.evaluate<{
    readonly violations: readonly {
      readonly id: string
      readonly impact: string
      readonly nodes: readonly { readonly html: string }[]
    }[]
  }>('axe.run()')
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`))
}

const tabNames = ['Reconstruct', 'Generate', 'Interpolate', 'Repaint']

describe.skipIf(chromiumLack !== null)('the playground', () => {
  it('paints after less than 200 kB, compressed, without model and runtime', async () => {
    const { page, errors } = await openPage(browser, 'about:blank')
    const loaded = new Map<string, number>()
    page.on('response', async (response) => {
      loaded.set(response.url(), gzipSync(await response.body()).length)
    })
    await page.goto(server.url, { waitUntil: 'networkidle' })
    await page.getByRole('button', { name: 'panda' }).waitFor()
    const names = [...loaded.keys()].map((url) => url.slice(server.url.length))
    expect(names.length).toBeGreaterThan(5)
    expect(names.filter((name) => /wasm|safetensors|worker|ort\./.test(name))).toEqual([])
    expect([...loaded.values()].reduce((a, b) => a + b, 0)).toBeLessThan(mostFirst)
    expect(await page.evaluate("performance.getEntriesByName('first-contentful-paint').length")).toBe(1)
    expect(errors).toEqual([])
    await page.context().close()
  })

  it.each(['light', 'dark'] as const)(
    'has no serious finding of axe-core in the %s, and fits a phone, with every tab in use',
    async (colorScheme) => {
      const address = `${server.url}#image=panda&other=penguin&latentSteps=1&count=1&device=wasm`
      const options = { colorScheme, viewport: { width: 390, height: 844 } }
      const { page, errors } = await openPage(browser, address, options)
      await page.getByRole('button', { name: 'after 16 steps' }).waitFor({ timeout: 60_000 })
      for (const name of tabNames) {
        await page.getByRole('tab', { name }).click()
        if (name === 'Generate') await page.getByRole('button', { name: 'Generate' }).click()
        await idle(page)
        await idle(page)
        expect(await seriousFindings(page), name).toEqual([])
        expect(await overflow(page), name).toBeLessThanOrEqual(0)
      }
      expect(errors).toEqual([])
      await page.context().close()
    },
  )

  it('is used by keys alone', async () => {
    const { page, errors } = await openPage(browser, `${server.url}#latentSteps=2&device=wasm`)
    const press = async (...keys: readonly string[]): Promise<void> => {
      for (const key of keys) await page.keyboard.press(key)
    }
    const focused = (): Promise<string> =>
      page.evaluate("document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent")
    /** Tab after tab, until something of that name has the focus. */
    const tabTo = async (name: string): Promise<void> => {
      for (let i = 0; i < 40 && (await focused()).trim() !== name; i++) await press('Tab')
      expect((await focused()).trim()).toBe(name)
    }
    await press('Tab')
    expect(await focused()).toBe('Skip to the page')
    await tabTo('panda')
    await press('Enter')
    const line = page.getByRole('slider', { name: 'Line between original and reconstruction' })
    await line.waitFor({ timeout: 60_000 })
    await tabTo('Line between original and reconstruction')
    await press('ArrowRight', 'ArrowRight')
    expect(await line.getAttribute('aria-valuetext')).toBe('52 % original')

    await page.getByRole('tab', { name: 'Reconstruct' }).focus()
    await press('End')
    expect(await page.getByRole('tab', { name: 'Repaint' }).getAttribute('aria-selected')).toBe('true')
    await tabTo('row 1, column 1, kept')
    await press('ArrowRight', 'ArrowDown', 'Space')
    expect(await focused()).toBe('row 2, column 2, painted')
    await tabTo('Resample what is painted')
    await press('Enter')
    await page.getByRole('img', { name: 'panda, repainted' }).waitFor({ timeout: 60_000 })
    await idle(page)
    expect(errors).toEqual([])
    await page.context().close()
  })
})

describe.skipIf(chromiumLack !== null)('pages', () => {
  const pages = chromiumLack === null ? ['index.html', 'studio.html', 'train.html'] : []

  it('are all that is built, and nothing of them is inline', async () => {
    expect(readdirSync(site).filter((name) => name.endsWith('.html'))).toEqual(pages)
    for (const name of pages) {
      const html = await readFile(`${site}/${name}`, 'utf8')
      expect(html).toContain(
        'script-src &#39;self&#39; &#39;wasm-unsafe-eval&#39;; style-src &#39;self&#39;;',
      )
      expect(html).not.toMatch(/<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)/)
    }
  })
})

describe.skipIf(chromiumLack !== null)('the service worker', () => {
  it('keeps the page, the model and its runtime, and gives a plain host the headers for threads', async () => {
    const plain = await serveSite(site, {}, false)
    const context = await browser.newContext()
    const { page } = await openPage(context, plain.url)
    expect(await page.evaluate('crossOriginIsolated')).toBe(false)
    await page.evaluate('navigator.serviceWorker.ready.then(() => undefined)')
    const keptLarge = `caches.open('unified-latents').then((cache) => cache.keys())
      .then((keys) => keys.filter(({ url }) => /\\.(safetensors|wasm)\\?/.test(url)).length)`
    await expect.poll(() => page.evaluate(keptLarge), { timeout: 60_000 }).toBe(2)

    await plain.close()
    await context.setOffline(true)
    await page.reload()
    expect(await page.evaluate('crossOriginIsolated')).toBe(true)
    await page.getByRole('button', { name: 'penguin' }).click()
    await page.getByRole('img', { name: 'reconstruction' }).waitFor({ timeout: 60_000 })
    expect((await pixelsOf(page, 'reconstruction')).length).toBe(64 * 64 * 3)
    await context.close()
  })
})
