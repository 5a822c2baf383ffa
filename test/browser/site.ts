/** @file The site for tests: built as it is published, served, and looked at. */
import { fileURLToPath } from 'node:url'
import type { Page } from 'playwright-core'
import { build } from 'vite'
import { temporaryFolder } from '../data/temporary.ts'
import { type StaticServer, serveFolders } from './server.ts'

/** The model that the site brings. */
export const shippedModel: string = fileURLToPath(new URL('../../pretrained/emoji64', import.meta.url))

/** Builds the site into a folder of its own, which goes when the test file ends. */
export const buildSite = async (): Promise<string> => {
  const outDir = await temporaryFolder()
  const configFile = fileURLToPath(new URL('../../site/vite.config.ts', import.meta.url))
  const { NODE_ENV } = process.env
  process.env.NODE_ENV = 'production' // of tests Vite makes another build than is published
  await build({ configFile, logLevel: 'error', build: { outDir } })
  process.env.NODE_ENV = NODE_ENV
  return outDir
}

/** Serves a built site at `/`, with further folders. */
export const serveSite = (
  site: string,
  folders: Readonly<Record<string, string>> = {},
  isIsolated = true,
): Promise<StaticServer> => serveFolders({ folders: { '/': site, ...folders }, isIsolated })

/** What is read of a canvas in the page; tests know no document. */
interface Canvas {
  readonly width: number
  readonly height: number
  getContext(kind: '2d'): {
    getImageData(...area: readonly number[]): { readonly data: Iterable<number> }
  }
}

/** The bytes [H, W, 3] of the picture that is labelled so. */
export const pixelsOf = async (page: Page, label: string): Promise<Uint8Array> => {
  const picture = page.getByRole('img', { name: label, exact: true })
  const bytes = await picture.locator('canvas').evaluate((canvas: Canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
    return [...data].filter((_, i) => i % 4 < 3)
  })
  return Uint8Array.from(bytes)
}

/** Waits until nothing is under way that the page shows. */
export const idle = (page: Page): Promise<void> =>
  page.locator('[data-task] > *').waitFor({ state: 'detached', timeout: 120_000 })

/** By how much a page is wider than its window, in pixels. */
export const overflow = (page: Page): Promise<number> =>
  page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')
