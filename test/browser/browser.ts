/** @file Chromium for tests, headless: where it is, how it is started, and pages whose errors are kept. */
import { existsSync } from 'node:fs'
import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type Page,
} from 'playwright-core'

const executable = process.env.CHROMIUM ?? '/usr/bin/chromium'

/** What to say where it is missing; null where it is there. */
export const chromiumLack: string | null = existsSync(executable)
  ? null
  : `there is no ${executable}; apt-get install chromium brings it, CHROMIUM names another`

if (chromiumLack !== null) process.stderr.write(`pages are not tested: ${chromiumLack}\n`)

/** Nothing is asked of the network, and WebGPU has a software adapter where there is no GPU. */
const flags = [
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--enable-unsafe-webgpu',
]

/** Starts Chromium. The caller closes it. */
export const launchChromium = (): Promise<Browser> =>
  chromium.launch({ executablePath: executable, args: flags, headless: true })

/** A page, and what went wrong in it so far: exceptions, console errors, answers of 400 and above. */
export interface WatchedPage {
  readonly page: Page
  readonly errors: readonly string[]
}

/** Opens a page, by default in a context of its own. A missing favicon is no error. */
export const openPage = async (
  browser: Browser | BrowserContext,
  url: string,
  options: BrowserContextOptions = {},
): Promise<WatchedPage> => {
  const page = 'newContext' in browser ? await browser.newPage(options) : await browser.newPage()
  const errors: string[] = []
  page.on('pageerror', (error) => errors.push(String(error)))
  page.on('console', (message) => {
    if (message.type() === 'error' && !message.location().url.endsWith('favicon.ico'))
      errors.push(message.text())
  })
  page.on('response', (answer) => {
    if (answer.status() >= 400 && !answer.url().endsWith('favicon.ico'))
      errors.push(`${answer.status()} ${answer.url()}`)
  })
  await page.goto(url)
  return { page, errors }
}

/** Kills the process of the GPU: every page of the browser loses its device, as when a driver is reset. */
export const loseGpu = async (browser: Browser): Promise<void> => {
  const devtools = await browser.newBrowserCDPSession()
  await devtools.send('Browser.crashGpuProcess')
  await devtools.detach()
}

/**
 * A person whose pages find other GPUs.
 * @param script run in every worker before its own; tests know no worker, so it is a text
 */
export const withGpu = async (browser: Browser, script: string): Promise<BrowserContext> => {
  // What a service worker fetches could not be changed.
  const person = await browser.newContext({ serviceWorkers: 'block' })
  await person.route(/\/assets\/(worker|main)-[^/]*\.js$/, async (route) => {
    const response = await route.fetch()
    await route.fulfill({ response, body: `${script};${await response.text()}` })
  })
  return person
}
