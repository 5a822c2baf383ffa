/**
 * @file The studio's pages in Chromium, over real runs of a few steps: started from the form and watched as they train, reloaded,
 * stopped, resumed, compared; broken and deleted runs; a killed server; the phone; the keyboard alone; axe.
 */
import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { AxeResults } from 'axe-core'
import type { Browser, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { inWork, makeImages, tinySettings, tinyTraining, ul } from '../commands/ul.ts'
import { chromiumLack, launchChromium, openPage, type WatchedPage } from './browser.ts'
import { type StudioProcess, siteLack, startStudio } from './studioProcess.ts'

const lack = chromiumLack ?? siteLack
const runs = inWork('runs')
const inRuns = (...parts: string[]): string => join(runs, ...parts)
let browser: Browser
let studio: StudioProcess
let images: string
const opened: Page[] = []

beforeAll(async () => {
  if (lack !== null) return
  images = await makeImages('images')
  for (const [name, factor] of [
    ['a', 8],
    ['b', 2],
  ] as const) {
    const args = tinyTraining(images, inRuns('sweep', name))
    expect(await ul([...args, '--set', `decoder.lossFactor=${factor}`])).toMatchObject({ code: 0 })
  }
  mkdirSync(inRuns('torn'))
  writeFileSync(inRuns('torn', 'config.yaml'), 'name: [torn\n')
  ;[browser, studio] = await Promise.all([launchChromium(), startStudio(runs)])
}, 600_000)

afterEach(async () => {
  for (const page of opened.splice(0)) await page.close()
})

afterAll(async () => {
  await browser?.close()
  await studio?.end('SIGTERM')
})

/** Opens a view of the studio by its query. */
const open = async (query = '', width = 1280): Promise<WatchedPage> => {
  const watched = await openPage(browser, `${studio.url}${query}`)
  opened.push(watched.page)
  await watched.page.setViewportSize({ width, height: 900 })
  await watched.page.getByRole('navigation', { name: 'Views of the studio' }).waitFor()
  return watched
}

/** Names in the first column, from the top. */
const listed = (page: Page): Promise<string[]> => page.locator('tbody th a').allInnerTexts()

/** Waits until something that is asked again and again is so. */
const until = async (what: string, isSo: () => Promise<boolean>, seconds = 120): Promise<void> => {
  for (const end = Date.now() + seconds * 1000; !(await isSo()); ) {
    if (Date.now() > end) throw new Error(`in ${seconds} s never: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

const shown = (...names: readonly string[]): string =>
  names.map((name) => `shown=${encodeURIComponent(name)}`).join('&')

/** The last step of the run that a page is of, as its progress says it. */
const stepOf = async (page: Page): Promise<number> => {
  const said = await page.locator('.done').first().innerText()
  return Number(/([\d,]+) of/.exec(said)?.[1].replaceAll(',', '') ?? -1)
}

/** How many pixels of the first chart have the colour of a run. */
const inked = (page: Page, run: string): Promise<number> =>
  page.evaluate<number>(`(() => {
    const line = document.querySelector('.values .run[title="${run}"] line')
    const canvas = document.querySelector('canvas')
    if (line === null || canvas === null) return -1
    const [r, g, b] = getComputedStyle(line).stroke.match(/\\d+/g).map(Number)
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
    let count = 0
    for (let i = 0; i < data.length; i += 4)
      if (data[i] === r && data[i + 1] === g && data[i + 2] === b && data[i + 3] === 255) count++
    return count
  })()`)

describe.skipIf(lack !== null)(`the list of runs${lack === null ? '' : ` (${lack})`}`, () => {
  it('shows every run, what it measured, in what it differs, and what is wrong with a broken one', async () => {
    const { page, errors } = await open()
    await page.getByText('3 runs').waitFor()
    expect(await listed(page)).toEqual(['sweep/a', 'sweep/b', 'torn'])
    const table = page.getByRole('table')
    const heads = await table.getByRole('columnheader').allInnerTexts()
    expect(heads.map((text) => text.replace(/\s+/g, ' '))).toEqual(
      expect.arrayContaining([
        '↑ Run',
        'Status',
        'Latent rate, bits/pixel',
        'PSNR, dB',
        'decoder.lossFactor',
      ]),
    )
    const measured = JSON.parse(readFileSync(inRuns('sweep/a/evaluation.json'), 'utf8')) as {
      readonly psnr: { readonly mean: number }
    }
    const row = table.getByRole('row').filter({ hasText: 'sweep/a' })
    expect(await row.innerText()).toContain(String(Number(measured.psnr.mean.toPrecision(4))))
    expect(await table.getByRole('row').filter({ hasText: 'torn' }).innerText()).toMatch(
      /broken.*config\.yaml/s,
    )
    expect(errors).toEqual([])
  })

  it('is searched and sorted by any column, also after a reload', async () => {
    const { page } = await open()
    await page.getByRole('button', { name: 'decoder.lossFactor' }).click()
    await until('sorted upwards', async () => (await listed(page))[0] === 'sweep/b')
    await page.getByRole('button', { name: 'decoder.lossFactor' }).click()
    await until('sorted downwards', async () => (await listed(page))[0] === 'sweep/a')
    await page.getByLabel('Search').fill('finished lossfactor=2')
    await page.getByText('1 of 3 runs').waitFor()
    await until('in the address', async () => page.url().includes('lossfactor%3D2'))
    await page.reload()
    await page.getByText('1 of 3 runs').waitFor()
    expect(await listed(page)).toEqual(['sweep/b'])
  })

  it('says of a broken run why it is broken, on its page', async () => {
    const { page } = await open('?run=torn')
    await page.getByRole('heading', { name: 'torn' }).waitFor()
    expect(await page.getByRole('status').filter({ hasText: 'config.yaml' }).innerText()).toMatch(/not YAML/)
  })

  it('goes on without a run that is deleted while it is shown', async () => {
    cpSync(inRuns('sweep/a'), inRuns('doomed'), { recursive: true })
    const { page } = await open('?run=doomed')
    await page.getByRole('heading', { name: 'Latent rate' }).waitFor()
    const { page: compared } = await open(`?view=charts&${shown('sweep/a', 'doomed')}`)
    await until('both are drawn', async () => (await inked(compared, 'doomed')) > 5)
    rmSync(inRuns('doomed'), { recursive: true })
    await compared.getByText('"doomed": there is no such run').waitFor()
    // What was drawn stays until it is removed from the comparison.
    expect(await inked(compared, 'doomed')).toBeGreaterThan(5)
    await compared.getByRole('button', { name: 'Remove doomed' }).click()
    await compared.getByText('"doomed": there is no such run').waitFor({ state: 'detached' })
    await page.getByText('The run doomed is not there any more').waitFor()
    await page.getByRole('link', { name: 'All runs' }).click()
    await page.getByText('3 runs').waitFor()
    expect(await listed(page)).not.toContain('doomed')
  })

  it('shows a run that appears, without being loaded again', async () => {
    const { page } = await open()
    await page.getByText('3 runs').waitFor()
    const { page: awaited, errors } = await open('?run=later')
    await awaited.getByText('There is no run later here yet').waitFor()
    cpSync(inRuns('sweep/b'), inRuns('.later'), { recursive: true })
    renameSync(inRuns('.later'), inRuns('later'))
    await page.getByText('4 runs').waitFor()
    await awaited.getByRole('heading', { name: 'Latent rate' }).waitFor()
    expect(errors).toEqual([])
    rmSync(inRuns('later'), { recursive: true })
    await page.getByText('3 runs').waitFor()
  })
})

describe.skipIf(lack !== null)('a run that is started in the page', () => {
  const small = [
    ...['prior.blocks=1', 'decoder.blocks=1', 'base.blocks=[1, 1]'],
    ...[
      'train.stage1.steps=4000',
      'train.stage2.steps=20',
      'train.checkpointEvery=50',
      'train.sampleEvery=50',
    ],
  ]
  const query = (): string => {
    const set = [...tinySettings(images), ...small].map((text) => `set=${encodeURIComponent(text)}`)
    return `?view=new&preset=quickstart&as=mine/first&${set.join('&')}`
  }
  const confirm = async (page: Page, act: string): Promise<void> =>
    page.getByRole('dialog').getByRole('button', { name: act }).click()

  it('is checked, started, watched live, found again after a reload, stopped and resumed', async () => {
    const { page, errors } = await open(query())
    const factor = page.getByLabel('decoder.lossFactor')
    const start = page.getByRole('button', { name: 'Start', exact: true })
    await factor.waitFor()
    await factor.fill('-3')
    await until('refused', async () => (await factor.getAttribute('aria-invalid')) === 'true')
    const said = page.locator(`#${await factor.getAttribute('aria-describedby')}`)
    expect(await said.innerText()).toMatch(/number to be >0/)
    expect(await start.isDisabled()).toBe(true)
    await factor.fill('4')
    await until('accepted', () => start.isEnabled())
    await start.click()
    await confirm(page, 'Start it')

    // Live: its chart has a value, and its steps grow without anybody asking.
    await page.getByRole('heading', { name: 'mine/first' }).waitFor()
    await page.getByRole('heading', { name: 'Latent rate' }).waitFor({ timeout: 120_000 })
    const plot = page.getByRole('application', { name: /Latent rate over steps of stage1/ })
    await until('a value in the chart', async () =>
      /\d/.test((await plot.getAttribute('aria-label'))?.split(':')[1] ?? ''),
    )
    const first = await stepOf(page)
    await until('more steps', async () => (await stepOf(page)) > first)

    // A reload in the middle of it.
    await page.reload()
    await page.getByRole('heading', { name: 'mine/first' }).waitFor()
    await until('more steps after a reload', async () => (await stepOf(page)) > first)

    await page.getByRole('button', { name: 'Stop', exact: true }).click()
    await confirm(page, 'Stop it')
    await page.getByRole('button', { name: 'Resume', exact: true }).waitFor({ timeout: 120_000 })
    const stopped = await stepOf(page)
    expect(stopped).toBeLessThan(4000)
    await page.getByRole('tab', { name: 'Printed' }).click()
    await page.getByRole('region', { name: 'What the trainer printed' }).waitFor()
    await page.getByRole('tab', { name: 'Settings' }).click()
    expect(await page.getByRole('region', { name: 'Settings as YAML' }).innerText()).toMatch(/lossFactor: 4/)

    await page.getByRole('button', { name: 'Resume', exact: true }).click()
    await confirm(page, 'Resume it')
    await until('more steps than when it was stopped', async () => (await stepOf(page)) > stopped)
    await page.getByRole('button', { name: 'Stop', exact: true }).click()
    await confirm(page, 'Stop it')
    await page.getByRole('button', { name: 'Resume', exact: true }).waitFor({ timeout: 120_000 })
    expect(errors).toEqual([])
  }, 600_000)

  it('is not started under the name of another', async () => {
    const { page } = await open('?view=new&preset=quickstart&as=sweep/a')
    const name = page.getByLabel(/^Name/)
    await until('refused', async () => (await name.getAttribute('aria-invalid')) === 'true')
    expect(await page.getByRole('button', { name: 'Start', exact: true }).isDisabled()).toBe(true)
  })
})

describe.skipIf(lack !== null)('charts', () => {
  it('draw every run in its own colour, which stays when others come', async () => {
    const { page, errors } = await open(`?view=charts&${shown('sweep/a')}`)
    await page.getByRole('heading', { name: 'Latent rate' }).first().waitFor()
    const colourOf = (run: string): Promise<string> =>
      page.evaluate(`getComputedStyle(document.querySelector('.compared .run[title="${run}"] line')).stroke`)
    const before = await colourOf('sweep/a')
    await page.getByRole('link', { name: 'Runs' }).click()
    await page.getByLabel('Compare sweep/b').check()
    await page.getByRole('link', { name: /^Charts/ }).click()
    await until(
      'both are drawn',
      async () => (await inked(page, 'sweep/a')) > 5 && (await inked(page, 'sweep/b')) > 5,
    )
    expect(await colourOf('sweep/a')).toBe(before)
    expect(await colourOf('sweep/b')).not.toBe(before)
    await page.reload()
    await until('both are drawn again', async () => (await inked(page, 'sweep/b')) > 5)
    expect(await colourOf('sweep/a')).toBe(before)
    expect(errors).toEqual([])
  })

  it('are zoomed by keys and by dragging, all of a stage at once, and stay so after a reload', async () => {
    const { page } = await open(`?view=charts&${shown('sweep/a')}`)
    const plot = page.getByRole('application', { name: /Latent rate over steps of stage1/ })
    await until('drawn', async () => /\d/.test((await plot.getAttribute('aria-label'))?.split(':')[1] ?? ''))
    await plot.focus()
    await page.keyboard.press('+')
    await until('zoomed', async () => page.url().includes('zoom=stage1'))
    await page.reload()
    const resets = page
      .getByRole('region', { name: 'Charts of stage1' })
      .getByRole('button', { name: 'Reset zoom' })
    await resets.first().waitFor()
    expect(await resets.count()).toBeGreaterThan(3)
    await plot.focus()
    await page.keyboard.press('0')
    await until('whole', async () => !page.url().includes('zoom='))

    await plot.scrollIntoViewIfNeeded()
    const box = await plot.locator('.u-over').boundingBox()
    if (box === null) throw new Error('the chart has no place')
    const middle = box.y + box.height / 2
    await page.mouse.move(box.x + box.width * 0.25, middle)
    await page.mouse.down()
    await page.mouse.move(box.x + box.width * 0.75, middle, { steps: 5 })
    await page.mouse.up()
    await until('zoomed by dragging', async () => page.url().includes('zoom=stage1'))
    const [, from, to] = /zoom=stage1%3A([\d.]+)%3A([\d.]+)/.exec(page.url()) ?? []
    // 20 steps, of which the middle half was dragged over.
    expect(Number(from)).toBeCloseTo(1 + 19 * 0.25, 0)
    expect(Number(to)).toBeCloseTo(1 + 19 * 0.75, 0)
  })

  it('read values by arrows, switch the scale, and smooth', async () => {
    const { page } = await open(`?view=charts&${shown('sweep/a')}`)
    const chart = page.locator('figure').filter({ hasText: 'Learning rate' }).first()
    const plot = chart.getByRole('application')
    await until('drawn', async () => /\d/.test((await plot.getAttribute('aria-label'))?.split(':')[1] ?? ''))
    await plot.focus()
    await page.keyboard.press('ArrowRight')
    await page.keyboard.press('ArrowRight')
    await until('the second step', async () => (await chart.locator('.step').innerText()) === 'step 2')
    const lines = readFileSync(inRuns('sweep/a/metrics.jsonl'), 'utf8').split('\n')
    const second = JSON.parse(lines[1]) as { readonly lr: number }
    const read = await chart.locator('li output').innerText()
    const value = Number(read.replace('−', '-'))
    expect(value / second.lr).toBeCloseTo(1, 3)
    await page.keyboard.press('l')
    await until('logarithmic', async () => page.url().includes('log=lr'))
    expect(await chart.getByRole('button', { name: /Log/ }).getAttribute('aria-pressed')).toBe('true')
    await page.getByLabel('Smoothing').fill('0.9')
    await until('smooth', async () => page.url().includes('smooth=0.9'))
  })

  it('show of a long log every line of the steps that are zoomed into', async () => {
    cpSync(inRuns('sweep/a'), inRuns('long'), { recursive: true })
    const line = (step: number): string =>
      JSON.stringify({ stage: 'stage1', step, loss: step === 2503 ? 9 : 1 + step / 1e6 })
    const log = Array.from({ length: 5000 }, (_, i) => `${line(i + 1)}\n`).join('')
    writeFileSync(inRuns('long', 'metrics.jsonl'), log)
    const { page, errors } = await open(`?view=charts&${shown('long')}&zoom=stage1:2500:2520`)
    const chart = page.locator('figure').filter({ hasText: 'Loss' })
    const read = (): Promise<string> => chart.locator('.values').innerText()
    await until('detail', async () => {
      await chart.getByRole('application').press('ArrowLeft')
      return (await read()).includes('step 2,503')
    })
    expect(await read()).toMatch(/9$/)
    await chart.getByRole('application').press('ArrowLeft')
    expect(await read()).toMatch(/step 2,502\s+1\.003$/)
    await page.keyboard.press('0')
    await until('whole', async () => !page.url().includes('zoom='))
    expect(errors).toEqual([])
    rmSync(inRuns('long'), { recursive: true })
  })

  it('say so when the server is killed, and go on once it is back', async () => {
    const { page } = await open(`?view=charts&${shown('sweep/a')}`)
    const lost = page.getByText('The studio does not answer')
    await page.getByRole('heading', { name: 'Latent rate' }).first().waitFor()
    const { port } = studio
    await studio.end('SIGKILL')
    await lost.waitFor()
    cpSync(inRuns('sweep/b'), inRuns('meanwhile'), { recursive: true })
    studio = await startStudio(runs, port)
    await lost.waitFor({ state: 'detached', timeout: 60_000 })
    // What happened meanwhile was not told by any event.
    await page.getByRole('link', { name: 'Runs' }).click()
    await page.getByRole('link', { name: 'meanwhile' }).waitFor()
    rmSync(inRuns('meanwhile'), { recursive: true })
    await page.getByRole('link', { name: 'meanwhile' }).waitFor({ state: 'detached' })
    await page.getByRole('link', { name: 'New run' }).click()
    // With the token of the new start.
    await page.getByText('Checked: it can be started').waitFor({ timeout: 60_000 })
  })
})

describe.skipIf(lack !== null)('images, the sweep and the plan', () => {
  it('show grids of two runs beside each other, at the step that the slider chooses', async () => {
    const { page, errors } = await open(`?view=images&${shown('sweep/a', 'sweep/b')}`)
    const pictures = page.locator('.beside img')
    await until('two pictures', async () => (await pictures.count()) === 2)
    const sizes = (): Promise<number[]> =>
      page.evaluate(`[...document.querySelectorAll('.beside img')].map((one) => one.naturalWidth)`)
    await until('loaded', async () => (await sizes()).every((width) => width > 16))
    const slider = page.getByLabel('Made after')
    expect(await slider.getAttribute('aria-valuetext')).toBe('finished')
    const last = await pictures.first().getAttribute('src')
    await slider.focus()
    await page.keyboard.press('Home')
    await until('the first step', async () =>
      /step 5$/.test((await slider.getAttribute('aria-valuetext')) ?? ''),
    )
    expect(await pictures.first().getAttribute('src')).not.toBe(last)
    await until('loaded', async () => (await sizes()).every((width) => width > 16))
    expect(errors).toEqual([])
  })

  it('name a run and its settings by pointer and by keys', async () => {
    const { page } = await open('?view=sweep&below=sweep')
    const about = page.getByRole('complementary', { name: 'The run that is meant' })
    const point = page.locator('circle').nth(0)
    await point.hover()
    await about.getByRole('heading').waitFor()
    const first = await about.getByRole('heading').innerText()
    expect(await about.innerText()).toMatch(/decoder\.lossFactor/)
    await page.getByRole('application', { name: /2 runs/ }).focus()
    await page.keyboard.press('ArrowRight')
    await until('the other', async () => (await about.getByRole('heading').innerText()) !== first)
    expect([first, await about.getByRole('heading').innerText()].sort()).toEqual(['sweep/a', 'sweep/b'])
    const other = await about.getByRole('heading').innerText()
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { level: 2, name: other }).waitFor()
  })

  it('plan a run for the rate that the slider wants, and fill in the form with it', async () => {
    const { page } = await open('?view=plan&below=sweep')
    const answer = page.locator('.answer')
    await answer.locator('pre').waitFor()
    const before = await answer.innerText()
    await page.getByLabel('Wanted rate').focus()
    await page.keyboard.press('End')
    await until('another answer', async () => (await answer.innerText()) !== before)
    const link = answer.getByRole('link', { name: 'Start a run' })
    const set = await answer.locator('li').allInnerTexts()
    expect(set.join(' ')).toMatch(/^decoder\.lossFactor=[\d.]+ decoder\.bias=[\d.]+$/)
    await link.click()
    await page.getByRole('heading', { name: 'Studio' }).waitFor()
    for (const text of set) expect(await page.locator('.command').innerText()).toContain(text)
  })
})

const views: Readonly<Record<string, string>> = {
  runs: '',
  run: '?run=sweep/a',
  charts: `?view=charts&${shown('sweep/a', 'sweep/b')}`,
  images: `?view=images&${shown('sweep/a', 'sweep/b')}`,
  sweep: '?view=sweep&below=sweep',
  plan: '?view=plan&below=sweep',
  new: '?view=new&set=decoder.lossFactor%3D-1',
  broken: '?run=torn',
}

/** Rules that a page breaks, with where. */
const violations = async (page: Page): Promise<string[]> => {
  const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js')
  // As an extension would: the page's policy refuses scripts that are not its own.
  await page.evaluate(readFileSync(axe, 'utf8'))
  const { violations: found, passes } = await page.evaluate<AxeResults>('axe.run()')
  expect(passes.length).toBeGreaterThan(15)
  return found
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(' | ')}`)
}

describe.skipIf(lack !== null).each(Object.entries(views))('the view %s', (_, query) => {
  it('needs no scrolling to the side on a phone', async () => {
    const { page } = await open(query, 390)
    await page.waitForTimeout(700)
    const beyond = await page.evaluate<number>('document.documentElement.scrollWidth - innerWidth')
    expect(beyond).toBeLessThanOrEqual(0)
  })

  it.each(['light', 'dark'] as const)('has no serious finding of axe, %s', async (colorScheme) => {
    const { page } = await open(query)
    await page.emulateMedia({ colorScheme })
    await page.waitForTimeout(700)
    expect(await violations(page)).toEqual([])
  })
})

describe.skipIf(lack !== null)('the keyboard alone', () => {
  it('marks runs, compares them, zooms, and comes back', async () => {
    const { page } = await open()
    await page.getByText('3 runs').or(page.getByText('4 runs')).waitFor()
    /** Presses Tab until something has the focus. */
    const tabTo = async (name: RegExp): Promise<void> => {
      for (let i = 0; i < 80; i++) {
        await page.keyboard.press('Tab')
        const focused = await page.evaluate<string>(
          `(document.activeElement?.ariaLabel ?? '') + ' ' + (document.activeElement?.textContent ?? '')`,
        )
        if (name.test(focused.trim())) return
      }
      throw new Error(`80 presses of Tab never came to ${name}`)
    }
    await tabTo(/^Compare sweep\/a/)
    await page.keyboard.press('Space')
    await tabTo(/^Compare sweep\/b/)
    await page.keyboard.press('Space')
    await page.evaluate(`document.querySelector('.skip').focus()`)
    await tabTo(/^Charts/)
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'Latent rate' }).first().waitFor()
    await tabTo(/^Latent rate over steps of stage1/)
    await until('drawn', async () => (await inked(page, 'sweep/a')) > 5)
    await page.keyboard.press('+')
    await until('zoomed', async () => page.url().includes('zoom=stage1'))
    await page.keyboard.press('Escape')
    await page.goBack()
    await page.getByRole('table').waitFor()
    expect(await page.getByLabel('Compare sweep/a').isChecked()).toBe(true)
  })
})
