/** @file The site for tests: built as it is published, served, and looked at. */
import { fileURLToPath } from 'node:url'
import type { Page } from 'playwright-core'
import { build } from 'vite'
import { temporaryFolder } from '../data/temporary.ts'
import { type StaticServer, serveFolders } from './server.ts'

/** Builds the site into a folder of its own, which goes when the test file ends. */
export const buildSite = async (): Promise<string> => {
  const outDir = await temporaryFolder()
  const configFile = fileURLToPath(new URL('../../site/vite.config.ts', import.meta.url))
  await build({ configFile, logLevel: 'error', build: { outDir } })
  return outDir
}

/** Serves a built site at `/`, with further folders. */
export const serveSite = (
  site: string,
  folders: Readonly<Record<string, string>> = {},
  isIsolated = true,
): Promise<StaticServer> => serveFolders({ folders: { '/': site, ...folders }, isIsolated })

/** By how much a page is wider than its window, in pixels. */
export const overflow = (page: Page): Promise<number> =>
  page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')
