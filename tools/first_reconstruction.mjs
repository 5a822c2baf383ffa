/**
 * @file What somebody waits for in the playground: bytes until it is painted, and the time from picking an image to its
 * first reconstruction, without anything in a cache and with the model and its runtime there.
 * Use: npm run build:site && node tools/first_reconstruction.mjs [times]
 */
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { chromium } from 'playwright-core'
import { preview } from 'vite'

const times = Number(process.argv[2] ?? 5)
const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium'
const flags = ['--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking']

const configFile = fileURLToPath(new URL('../site/vite.config.ts', import.meta.url))
const server = await preview({ configFile, logLevel: 'error', preview: { port: 0, host: '127.0.0.1' } })
const [url] = server.resolvedUrls.local
const browser = await chromium.launch({ executablePath, args: flags })

/** Milliseconds from a click to the reconstruction. */
const first = async (page, name) => {
  const start = performance.now()
  await page.getByRole('button', { name, exact: true }).click()
  await page.getByRole('img', { name: 'reconstruction', exact: true }).waitFor({ timeout: 120_000 })
  return performance.now() - start
}

/** What a page loads before anybody does anything. */
const bytesOfFirstPaint = async () => {
  const page = await browser.newPage({ serviceWorkers: 'block' })
  const bodies = []
  page.on('response', (response) => bodies.push(response.body()))
  await page.goto(url, { waitUntil: 'networkidle' })
  const sizes = (await Promise.all(bodies)).map((body) => gzipSync(body).length)
  await page.context().close()
  return `${sizes.reduce((a, b) => a + b, 0)} bytes, compressed, in ${sizes.length} files`
}
process.stdout.write(`until it is painted: ${await bytesOfFirstPaint()}\n`)

const [cold, warm] = [[], []]
for (let i = 0; i < times; i++) {
  const page = await browser.newPage({ serviceWorkers: 'block' })
  await page.goto(`${url}#device=wasm`, { waitUntil: 'networkidle' })
  cold.push(await first(page, 'panda'))
  await page.getByRole('button', { name: 'after 16 steps' }).waitFor()
  await page.evaluate("location.hash = '#device=wasm'")
  await page.reload({ waitUntil: 'networkidle' })
  warm.push(await first(page, 'penguin'))
  await page.context().close()
}
const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]
const said = (values) =>
  `${(median(values) / 1000).toFixed(2)} s (median of ${values.length}, ${values.map((v) => (v / 1000).toFixed(2)).join(' ')})`
process.stdout.write(`first reconstruction, nothing cached: ${said(cold)}\n`)
process.stdout.write(`first reconstruction, files cached: ${said(warm)}\n`)
await browser.close()
await server.close()
