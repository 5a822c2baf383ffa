/** @file `npm run bench -- --browser`: blocks in headless Chromium beside tfjs and jax-js, by WebAssembly; ours alone by WebGPU. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Page } from 'playwright-core'
import { chromiumLack, launchChromium, openPage } from '../../test/browser/browser.ts'
import { bundlePage } from '../../test/browser/bundle.ts'
import { serveFolders } from '../../test/browser/server.ts'
import type { Participant, Prepared } from '../peer.ts'
import type { Peer } from '../peers.ts'
import type { Place } from '../place.ts'
import { familySeconds } from '../processTime.ts'
import { casesInPage } from './cases.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

let count = 0

/** Someone in a page. @param what see PageBench.prepare */
const participantIn = (page: Page, who: string, what: string): Participant => {
  const id = `${who} ${count++}`
  const ask = (job: string, ...given: readonly unknown[]): Promise<unknown> =>
    page.evaluate(`bench.${job}(${given.map((x) => JSON.stringify(x)).join()})`)
  return {
    prepare: async () => (await ask('prepare', id, who, what)) as Prepared,
    run: async (runs) => {
      const before = familySeconds()
      const seconds = (await ask('run', id, runs)) as readonly number[]
      return { seconds, cpu: familySeconds() - before, peakBytes: null }
    },
    close: () => {
      // A page that has crashed has dropped everything.
      ask('drop', id).catch(() => undefined)
    },
  }
}

/** By WebAssembly as ours: their other backends, WebGL without a GPU and plain JavaScript, are several times slower. */
const peersIn = (page: Page): readonly Peer[] =>
  ['tfjs', 'jax'].map((name) => ({
    ...{ name, install: 'npm ci', isInstalled: () => true }, // the page was built with it
    variants: () => [{ name: '', start: () => participantIn(page, name, 'wasm') }],
  }))

/** Opens a page by WebAssembly, then one by WebGPU, and does something in each. */
export const inBrowser = async (body: (place: Place) => Promise<void>): Promise<void> => {
  if (chromiumLack !== null) throw new Error(chromiumLack)
  const folder = mkdtempSync(join(tmpdir(), 'ul-bench-page-'))
  await bundlePage('bench/browser/page.ts', folder, root)
  const tfjs = join(root, 'node_modules/@tensorflow/tfjs-backend-wasm/dist')
  const server = await serveFolders({ folders: { '/': folder, '/tfjs/': tfjs } })
  const browser = await launchChromium()
  try {
    for (const device of ['wasm', 'webgpu'] as const) {
      const { page } = await openPage(browser, server.url)
      await page.evaluate(`bench.open(${JSON.stringify({ device })})`)
      await body({
        target: { device: device === 'wasm' ? 'cpu' : 'webgpu', precision: 'float32' },
        cases: casesInPage[device],
        peers: device === 'wasm' ? peersIn(page) : [],
        startOurs: ({ name }) => participantIn(page, 'ours', name),
      })
      await page.close()
    }
  } finally {
    await browser.close()
    await server.close()
    rmSync(folder, { recursive: true })
  }
}
