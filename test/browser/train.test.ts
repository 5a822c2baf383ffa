/**
 * @file The page of training in Chromium, by WebAssembly and WebGPU: a run on dropped pictures, one of them broken, that is reloaded in the
 * middle, downloaded and continued by `ul train`; a closed tab, a second tab, the playground, the phone, the keyboard alone; axe.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import type { AxeResults } from 'axe-core'
import { unzipSync } from 'fflate'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { applySettings, presetByName } from '../../src/config/load.ts'
import { smokeForm } from '../../src/config/presets.ts'
import { floats } from '../../src/engine/host/tensor.ts'
import { loadCheckpoint } from '../../src/runs/checkpoint.ts'
import { readMetrics } from '../../src/runs/metrics.ts'
import { memoryFiles } from '../../src/tab/files.ts'
import { keepPictures, ownPictures, pictureSplit } from '../../src/tab/pictures.ts'
import { beginRun } from '../../src/tab/run.ts'
import { tinySettings, ul, workFolder } from '../commands/ul.ts'
import { image } from '../data/temporary.ts'
import { chromiumLack, launchChromium, loseGpu, openPage, type WatchedPage } from './browser.ts'
import type { StaticServer } from './server.ts'
import { buildSite, overflow, serveSite } from './site.ts'

let server: StaticServer
let browser: Browser
/** Of one person: its pages share their files. */
let person: BrowserContext
const opened: Page[] = []

beforeAll(async () => {
  if (chromiumLack !== null) return
  server = await serveSite(await buildSite())
  browser = await launchChromium()
  person = await browser.newContext()
}, 600_000)

afterEach(async () => {
  for (const page of opened.splice(0)) await page.close()
})

afterAll(async () => {
  await browser?.close()
  await server?.close()
})

const openTrain = async (width = 1280, device: 'wasm' | 'webgpu' = 'wasm'): Promise<WatchedPage> => {
  const watched = await openPage(person, `${server.url}train.html?device=${device}`)
  const { page } = watched
  opened.push(page)
  page.on('dialog', (dialog) => void dialog.accept())
  await page.setViewportSize({ width, height: 900 })
  await page.getByRole('heading', { name: 'Runs in this browser' }).waitFor()
  return watched
}

const { source: axe } = createRequire(import.meta.url)('axe-core') as { readonly source: string }

/** What axe finds serious or worse. */
const violations = async (page: Page): Promise<string[]> => {
  await page.evaluate(axe)
  const { violations: found } = (await page.evaluate('axe.run()')) as AxeResults
  return found
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(' ')).join(', ')}`)
}

const pictures = async (count: number): Promise<{ name: string; mimeType: string; buffer: Buffer }[]> =>
  Promise.all(
    Array.from({ length: count }, async (_, n) => ({
      name: `picture ${n}.png`,
      mimeType: 'image/png',
      buffer: await image(40 + n, 36, (x, y) => [(x * (n + 3)) % 256, (y * 7 + 20 * n) % 256, 20 * n])
        .png()
        .toBuffer(),
    })),
  )

/** Waits for a step that is told. */
const trainsTo = async (page: Page, step: number): Promise<void> => {
  const told = page.getByText(/^step \d+ of /)
  await expect
    .poll(async () => Number(/^step (\d+)/.exec(await told.innerText())?.[1]), { timeout: 300_000 })
    .toBeGreaterThanOrEqual(step)
}

/** Waits for a step that is told, and pauses. @returns the step that is saved */
const pauseAfter = async (page: Page, step: number): Promise<number> => {
  await trainsTo(page, step)
  await page.getByRole('button', { name: 'Pause' }).click()
  return savedStep(page)
}

const savedStep = async (page: Page): Promise<number> => {
  const saved = page.getByText(/^Paused, saved at step/)
  await saved.waitFor({ timeout: 120_000 })
  return Number(/step (\d+)/.exec(await saved.innerText())?.[1])
}

/** Fills the form of a new run, and starts it. */
const start = async (page: Page, name: string, steps: number): Promise<void> => {
  await page.getByLabel('Name').fill(name)
  await page.getByLabel('Steps').fill(String(steps))
  await page.getByRole('button', { name: 'Start training' }).click()
  await page.getByRole('heading', { name, exact: true }).waitFor({ timeout: 120_000 })
}

/** Downloads the run that is shown, and unpacks it in the folder where commands run. */
const downloaded = async (page: Page): Promise<string[]> => {
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'Download' }).click(),
  ])
  const files = unzipSync(new Uint8Array(readFileSync(await download.path())))
  for (const [path, bytes] of Object.entries(files)) {
    const file = join(workFolder, path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, bytes)
  }
  return Object.keys(files).sort()
}

const tensorsOf = (dir: string, step: number) =>
  loadCheckpoint(join(workFolder, dir, 'checkpoints', `stage1-${String(step).padStart(9, '0')}`)).tensors

/** Differences of all parameters and averages of two runs after a step. */
const differencesOf = (a: string, b: string, step: number): number[] => {
  const [left, right] = [tensorsOf(a, step), tensorsOf(b, step)]
  return Object.keys(right)
    .filter((name) => /^(param|ema)\//.test(name))
    .flatMap((name) => {
      const other = floats(right[name])
      return Array.from(floats(left[name]), (value, i) => Math.abs(value - other[i]))
    })
}

const most = (numbers: readonly number[]): number => numbers.reduce((a, b) => Math.max(a, b), 0)

/** Puts a file where the page keeps its runs. */
const keep = (page: Page, path: string, bytes: Uint8Array): Promise<void> =>
  page.evaluate(`(async () => {
    const names = ${JSON.stringify(path.split('/'))}
    let folder = await navigator.storage.getDirectory()
    for (const name of names.slice(0, -1)) folder = await folder.getDirectoryHandle(name, { create: true })
    const file = await (await folder.getFileHandle(names.at(-1), { create: true })).createWritable()
    await file.write(Uint8Array.from(atob('${Buffer.from(bytes).toString('base64')}'), (c) => c.charCodeAt(0)))
    await file.close()
  })()`)

/** Keeps a run of a smaller model than the page offers: a step of that takes a software GPU half a minute. */
const keepTiny = async (page: Page, name: string, steps: number): Promise<void> => {
  const size = 16
  const given = Array.from({ length: 12 }, (_, n) => ({
    name: `${n}.png`,
    pixels: Uint8Array.from({ length: size * size * 3 }, (_, i) => (i * (n + 3) + 40 * n) % 256),
  }))
  const own = ownPictures(name, size, given, [])
  const kept = new Map<string, Uint8Array>()
  const files = memoryFiles(kept)
  await keepPictures(files, own)
  const config = applySettings({ ...smokeForm(presetByName('quickstart')), name }, [
    ...tinySettings(`runs/${name}/images`),
    ...[
      'data.balance=false',
      'train.batch=4',
      'train.sampleEvery=100',
      'train.warmupSteps=1',
      `train.stage1.steps=${steps}`,
    ],
  ])
  await beginRun(files, config, pictureSplit(own))
  for (const [path, bytes] of kept) await keep(page, `runs/${name}/${path}`, bytes)
  await page.reload()
  await page.getByRole('button', { name: `Open ${name}` }).click()
}

describe.skipIf(chromiumLack !== null)(
  `training in a tab${chromiumLack === null ? '' : ` (${chromiumLack})`}`,
  () => {
    const steps = 20

    it('trains on dropped pictures, goes on after a reload, and is continued by ul train to the same run', async () => {
      const { page, errors } = await openTrain()
      await page.getByLabel('Pictures of mine').check()
      await expect.poll(() => page.getByRole('button', { name: 'Start training' }).isDisabled()).toBe(true)
      const broken = { name: 'broken.png', mimeType: 'image/png', buffer: Buffer.from('no image') }
      await page.locator('input[type=file]').setInputFiles([...(await pictures(12)), broken])
      await page.getByText('13 files').waitFor()
      await start(page, 'mine', steps)
      await page.getByText('1 of your files was left out').waitFor()
      await page.getByText(/^broken\.png: .*cannot be read as an image/).waitFor()
      await page.getByText(/^Computing on the CPU by WebAssembly with \d threads?\.$/).waitFor()
      const first = await pauseAfter(page, 5)
      expect(await violations(page)).toEqual([])

      await page.reload()
      await page.getByText(`step ${first} of ${steps}`).waitFor()
      await page.getByRole('button', { name: 'Open mine' }).click()
      expect(await savedStep(page)).toBe(first)
      await page.getByRole('button', { name: 'Resume' }).click()
      const second = await pauseAfter(page, Math.ceil((first + 1) / 5) * 5)
      expect(second).toBeGreaterThan(first)
      expect(second).toBeLessThan(steps)

      const files = await downloaded(page)
      expect(files.filter((path) => path.startsWith('runs/mine/images/'))).toHaveLength(12)
      expect(files).toContain(`runs/mine/checkpoints/stage1-${String(second).padStart(9, '0')}/state.json`)
      const train = ['train', 'runs/mine/config.yaml', '--stage', '1']
      const continued = await ul(train)
      expect(continued).toMatchObject({ code: 0 })
      expect(continued.stderr).toContain(`stage1: resuming after step ${second}`)
      expect(await ul([...train, '--out', 'unmoved'])).toMatchObject({ code: 0 })
      const differences = differencesOf('runs/mine', 'unmoved', steps)
      expect(differences.length).toBeGreaterThan(2 * 300_000)
      expect(most(differences)).toBeLessThan(1e-4)
      const logged = readMetrics(join(workFolder, 'runs', 'mine', 'metrics.jsonl')).map(({ step }) => step)
      expect(logged).toEqual([5, 10, 15, 20])
      expect(errors).toEqual([])
    }, 900_000)

    it('refuses the run in a second tab, and loses nothing when the tab is closed', async () => {
      const { page } = await openTrain()
      await start(page, 'long', 20_000) // more than are done before the end of this test, on any machine
      const before = await pauseAfter(page, 1)
      await page.getByRole('button', { name: 'Resume' }).click()
      await page.getByText('Training', { exact: true }).waitFor({ timeout: 120_000 })
      const second = await openTrain()
      await second.page.getByRole('button', { name: 'Open long' }).click()
      await second.page.getByRole('button', { name: 'Resume' }).click()
      await second.page.getByText(/^long: another tab of this browser is at work on this run/).waitFor()
      await page.close({ runBeforeUnload: false })
      await second.page.reload()
      await second.page.getByRole('button', { name: 'Open long' }).click()
      expect(await savedStep(second.page)).toBeGreaterThanOrEqual(before)
      await second.page.getByRole('button', { name: 'Resume' }).click()
      expect(await pauseAfter(second.page, before + 1)).toBeGreaterThan(before)
    }, 600_000)

    it('opens what it learned in the playground', async () => {
      const { page, errors } = await openTrain()
      await page.getByRole('button', { name: 'Open mine' }).click()
      await page.getByRole('button', { name: 'Open in the playground' }).click()
      await page.waitForURL(/index\.html\?kept=mine/)
      await page
        .getByText(/mine\s+32 × 32 pixels, latents 8 × 8 × 8, 0\.3 million parameters/)
        .waitFor({ timeout: 120_000 })
      expect(errors).toEqual([])
    }, 300_000)

    it('is started on the bundled pictures, paused and deleted by the keyboard alone', async () => {
      const { page, errors } = await openTrain()
      const focused = (): Promise<string> =>
        page.evaluate('document.activeElement.ariaLabel ?? document.activeElement.innerText')
      const tabTo = async (name: string): Promise<void> => {
        for (let presses = 0; presses < 30; presses++) {
          if ((await focused()) === name) return
          await page.keyboard.press('Tab')
        }
        throw new Error(`30 times Tab did not come to ${name}`)
      }
      await tabTo('Start training')
      await page.keyboard.press('Enter')
      await page.getByText(/^step \d+ of 800/).waitFor({ timeout: 300_000 })
      await tabTo('Pause')
      await page.keyboard.press('Space')
      expect(await savedStep(page)).toBeGreaterThan(0)
      await tabTo('Delete')
      await page.keyboard.press('Enter')
      await page.getByRole('alert').filter({ hasText: 'Delete tab and all that it learned?' }).waitFor()
      await tabTo('Delete it')
      await page.keyboard.press('Enter')
      await page.getByText('tab is deleted.').waitFor()
      await expect.poll(() => page.getByRole('button', { name: 'Open tab' }).count()).toBe(0)
      expect(errors).toEqual([])
    }, 600_000)

    it('says what cannot be trained, and keeps nothing of it', async () => {
      const { page } = await openTrain()
      await page.getByLabel('Name').fill('mine')
      await page.getByText('There is a run of that name; give another.').waitFor()
      await page.getByLabel('Name').fill('a/b')
      await page.getByText(/^the name is "a\/b"; give one of up to 40 letters/).waitFor()
      await page.getByLabel('Name').fill('few')
      await page.getByLabel('Pictures of mine').check()
      const broken = (n: number) => ({
        name: `${n}.jpg`,
        mimeType: 'image/jpeg',
        buffer: Buffer.from('\xff\xd8'),
      })
      await page.locator('input[type=file]').setInputFiles([...(await pictures(1)), broken(1), broken(2)])
      await page.getByRole('button', { name: 'Start training' }).click()
      await page
        .getByText(/^1 of 3 files can be trained on \(1\.jpg: .*; give two pictures at least/)
        .waitFor()
      await expect.poll(() => page.getByRole('button', { name: 'Open few' }).count()).toBe(0)
    }, 120_000)

    it('says when the browser has no room, and goes on from what was saved once it has', async () => {
      const { page } = await openTrain()
      const devtools = await person.newCDPSession(page)
      const quota = (quotaSize?: number) =>
        devtools.send('Storage.overrideQuotaForOrigin', {
          origin: new URL(server.url).origin,
          ...(quotaSize !== undefined && { quotaSize }),
        })
      await page.getByLabel('Pictures of mine').check()
      await page.locator('input[type=file]').setInputFiles(await pictures(3))
      await start(page, 'short', 9)
      const saved = await pauseAfter(page, 5)
      await quota(1000)
      await page.getByRole('button', { name: 'Resume' }).click()
      await page
        .getByText(/^the browser has no room left for this run \(\d+ MB of \d+ MB are used\); delete/)
        .waitFor({
          timeout: 120_000,
        })
      expect(await savedStep(page)).toBe(saved)
      await quota()
      await page.getByRole('button', { name: 'Resume' }).click()
      await page.getByText('Trained: 9 steps').waitFor({ timeout: 120_000 })
    }, 400_000)

    it('trains on WebGPU as on WebAssembly, goes on after a reload, and is continued by ul train', async () => {
      const { page, errors } = await openTrain(1280, 'webgpu')
      await keepTiny(page, 'gpu', 5)
      await page.getByRole('button', { name: 'Train', exact: true }).click()
      const first = await pauseAfter(page, 1)
      await page.getByText(/^Computing by WebGPU on google swiftshader/).waitFor()
      expect(first).toBeLessThan(5)
      await page.reload()
      await page.getByRole('button', { name: 'Open gpu' }).click()
      expect(await savedStep(page)).toBe(first)
      await page.getByRole('button', { name: 'Resume' }).click()
      await page.getByText('Trained: 5 steps').waitFor({ timeout: 120_000 })
      await page.getByRole('figure', { name: /^Latent rate/ }).waitFor()
      await downloaded(page)

      const cpu = await openTrain()
      await keepTiny(cpu.page, 'cpu', 5)
      await cpu.page.getByRole('button', { name: 'Train', exact: true }).click()
      await cpu.page.getByText('Trained: 5 steps').waitFor({ timeout: 120_000 })
      await downloaded(cpu.page)
      const differences = differencesOf('runs/gpu', 'runs/cpu', 5)
      expect(differences.length).toBeGreaterThan(10_000)
      expect(most(differences)).toBeLessThan(1e-4)
      // It begins at 0, so that this is how far training came.
      const bias = tensorsOf('runs/cpu', 5)['param/prior.logSnr.out.bias']
      expect(most(Array.from(floats(bias), Math.abs))).toBeGreaterThan(1e-3)
      const logged = readMetrics(join(workFolder, 'runs', 'gpu', 'metrics.jsonl'))
      expect(logged.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5])
      expect(new Set(logged.map(({ loss }) => loss)).size).toBe(5)
      expect(await ul(['train', 'runs/gpu/config.yaml'])).toMatchObject({ code: 0 })
      expect([...errors, ...cpu.errors]).toEqual([])
    }, 400_000)

    it('says that the GPU was lost while it trained, and goes on from what was saved on the CPU', async () => {
      const { page } = await openTrain(1280, 'webgpu')
      await keepTiny(page, 'lost', 2000)
      await page.getByRole('button', { name: 'Train', exact: true }).click()
      const saved = await pauseAfter(page, 1)
      await page.getByRole('button', { name: 'Resume', exact: true }).click()
      await trainsTo(page, saved + 1)
      await loseGpu(browser)
      await page
        .getByRole('alert')
        .filter({ hasText: /^the GPU was lost \(.+\), and with it the steps since/ })
        .waitFor()
      expect(await savedStep(page)).toBeGreaterThanOrEqual(saved)
      await page.getByRole('button', { name: 'Resume', exact: true }).click()
      await page.getByText(/^WebGPU is not used: the GPU was lost \(.+\); reload the page/).waitFor()
      await page.getByText(/^Computing on the CPU by WebAssembly/).waitFor()
      expect(await pauseAfter(page, saved + 1)).toBeGreaterThan(saved)
    }, 400_000)

    it('names a run that does not read, and deletes it when asked to', async () => {
      const { page } = await openTrain()
      await keep(page, 'runs/torn/config.yaml', Buffer.from('name: [torn'))
      await page.reload()
      await page.getByText(/^it does not read: config\.yaml: it is cut short/).waitFor()
      await page.getByRole('button', { name: 'Delete', exact: true }).click()
      await page.getByRole('button', { name: 'Delete it' }).click()
      await page.getByText('torn is deleted.').waitFor()
      await expect.poll(() => page.getByText(/does not read/).count()).toBe(0)
    })

    it.each([390, 820, 1280])(
      'fits a window of %i pixels, and axe finds nothing serious',
      async (width) => {
        const { page } = await openTrain(width)
        await page.getByLabel('Pictures of mine').check()
        expect(await overflow(page)).toBeLessThanOrEqual(0)
        expect(await violations(page)).toEqual([])
        await page.getByRole('button', { name: 'Open mine' }).click()
        await page.getByRole('heading', { name: 'Latent rate' }).waitFor()
        expect(await overflow(page)).toBeLessThanOrEqual(0)
        expect(await violations(page)).toEqual([])
      },
      120_000,
    )
  },
)
