/**
 * @file The playground with the shipped model and with what `ul train` wrote, in Chromium: the same images as in Node, and
 * what a person can do wrong.
 */
import { readFileSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { zipSync } from 'fflate'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { quantiseImages, toNchw } from '../../src/engine/host/pixels.ts'
import type { HostTensor } from '../../src/engine/host/tensor.ts'
import { NodeRuntime } from '../../src/engine/runtime/node/runtime.ts'
import { reconstruct } from '../../src/measure/reconstruct.ts'
import { imageSetOf } from '../../src/method/programs.ts'
import { choicesOf } from '../../src/model/choices.ts'
import { configGuidance, decoderSampler, latentSampler } from '../../src/model/samplers.ts'
import { exportRun } from '../../src/use/exportRun.ts'
import { type OpenedRun, openRun } from '../../src/use/openRun.ts'
import { image, temporaryFolder } from '../data/temporary.ts'
import { runDir, tinyConfigOf, trainTiny } from '../stages/tinyRun.ts'
import { chromiumLack, launchChromium, loseGpu, openPage, withGpu } from './browser.ts'
import type { StaticServer } from './server.ts'
import { buildSite, idle, pixelsOf, serveSite, shippedModel } from './site.ts'

const runtime = new NodeRuntime({ threads: 1 })
const modelFiles = ['config.yaml', 'run.json', 'weights.safetensors']

let [site, folder] = ['', '']
let server: StaticServer
let browser: Browser

beforeAll(async () => {
  if (chromiumLack !== null) return
  site = await buildSite()
  folder = await temporaryFolder()
  await trainTiny('own', tinyConfigOf())
  await exportRun(runDir('own'), join(folder, 'exported'), runtime)
  server = await serveSite(site, { '/own/': join(folder, 'exported') })
  browser = await launchChromium()
}, 300_000)

afterAll(async () => {
  await browser?.close()
  await server?.close()
})

/** The largest difference of two pictures of bytes, in pixels from −1 to 1. */
const difference = (actual: Uint8Array, expected: Uint8Array): number => {
  expect(actual.length).toBe(expected.length)
  return actual.reduce((most, byte, i) => Math.max(most, Math.abs(byte - expected[i])), 0) / 127.5
}

/** A picture of several colours, [size, size, 3], and its PNG. */
const drawnImage = async (size: number) => {
  const drawing = image(size, size, (x, y) =>
    Math.hypot(x - size / 2, y - size / 2) < size / 3 ? [250, 4 * (x % 60), 30] : [240, 245, 255 - (y % 40)],
  )
  return {
    pixels: new Uint8Array(await drawing.clone().raw().toBuffer()),
    png: await drawing.png().toBuffer(),
  }
}

/** Opens the playground, does something and expects that nothing went wrong in the page. */
const inPlayground = async (
  address: string,
  body: (page: Page) => Promise<void>,
  person: Browser | BrowserContext = browser,
): Promise<void> => {
  const { page, errors } = await openPage(person, server.url + address, { acceptDownloads: true })
  page.setDefaultTimeout(60_000)
  await body(page)
  // ONNX Runtime logs what it was at when a GPU is lost; the page says that.
  expect(errors.filter((text) => !text.includes('[E:onnxruntime'))).toEqual([])
  await page.context().close()
}

const chooseImage = async (page: Page, name: string, bytes: Buffer): Promise<void> => {
  const input = page.getByRole('group', { name: 'Image', exact: true }).locator('input[type=file]')
  await input.setInputFiles({ name, mimeType: 'image/png', buffer: bytes })
}

/** What Node makes of an image, from the same seed: what `ul reconstruct` says and shows. */
const inNode = async (run: OpenedRun, x: HostTensor, seed: number) => {
  const sampler = decoderSampler(run.config)
  const made = await reconstruct(run, runtime, imageSetOf(x), { seed, sampler, shown: 1 })
  return {
    pixels: quantiseImages(made.reconstructions),
    psnr: made.psnrs[0],
    bitsPerPixel: made.bitsPerPixel[0],
  }
}

/** Where the page says that it computes. */
const said = (page: Page): Promise<string> =>
  page.getByRole('status', { name: 'Where it computes' }).innerText()

const figures = (page: Page): Promise<string> => page.locator('dl').innerText()
const alert = (page: Page): Promise<string> => page.getByRole('alert').innerText()

describe.skipIf(chromiumLack !== null)('an image in the playground', () => {
  it('is reconstructed as by ul: the same pixels, PSNR and rate, and a link brings the same settings back', async () => {
    const { pixels, png } = await drawnImage(64)
    const run = openRun(shippedModel, runtime)
    await inPlayground('#seed=3&device=wasm', async (page) => {
      await chooseImage(page, 'drawn.png', png)
      await page.getByRole('button', { name: 'after 16 steps' }).waitFor()
      await idle(page)
      const expected = await inNode(run, toNchw(pixels, { size: 64 }), 3)
      expect(difference(await pixelsOf(page, 'original'), pixels)).toBe(0)
      expect(difference(await pixelsOf(page, 'reconstruction'), expected.pixels)).toBeLessThan(1e-2)
      expect(await figures(page)).toContain(`${expected.psnr.toFixed(2)} dB`)
      expect(await figures(page)).toContain(expected.bitsPerPixel.toFixed(3))
      expect(await page.getByRole('group', { name: 'Decoder steps' }).getByRole('button').count()).toBe(5)

      await page.getByRole('button', { name: 'after 4 steps' }).click()
      await page.getByLabel('Shown').selectOption('channel 5')
      await page.reload()
      expect(new URL(page.url()).hash).toBe('#seed=3&decoderSteps=4&view=5&device=wasm')
      expect(await page.locator('canvas').count()).toBe(0)
    })
  })

  it('of any size is cropped or padded as it is said, and a picture is saved as PNG', async () => {
    const wide = await image(90, 40, (x) => [x < 25 || x >= 65 ? 255 : 20, 0, 0])
      .png()
      .toBuffer()
    await inPlayground('', async (page) => {
      await chooseImage(page, 'wide.png', wide)
      await page.getByRole('button', { name: 'after 16 steps' }).waitFor()
      await page
        .getByText('wide.png: 90 × 40 pixels, its centre 40 × 40 cropped, resized to 64 × 64')
        .waitFor()
      const cropped = await pixelsOf(page, 'original')
      expect([...cropped.subarray(0, 3), ...cropped.subarray(-3)]).toEqual([20, 0, 0, 20, 0, 0])

      await page.getByLabel('Images that are not square').selectOption('pad with white')
      await page.getByText('padded with white').waitFor()
      expect([...(await pixelsOf(page, 'original')).subarray(0, 3)]).toEqual([255, 255, 255])

      await idle(page)
      const download = page.waitForEvent('download')
      await page.getByRole('button', { name: 'Save both as PNG' }).click()
      const saved = sharp(await readFile(await (await download).path()))
      const { width, height } = await saved.metadata()
      expect([width, height]).toEqual([128, 64])
      const left = await saved
        .extract({ left: 0, top: 0, width: 64, height: 64 })
        .removeAlpha()
        .raw()
        .toBuffer()
      expect(new Uint8Array(left)).toEqual(await pixelsOf(page, 'original'))
    })
  })

  it('is taken where it is dropped or pasted', async () => {
    const { png } = await drawnImage(64)
    /** The event as a browser makes it of a file; tests know no document, so it is a text. */
    const given = (event: string, name: string): string => `{
      const data = new DataTransfer()
      const bytes = Uint8Array.from(atob('${png.toString('base64')}'), (c) => c.charCodeAt(0))
      data.items.add(new File([bytes], '${name}', { type: 'image/png' }))
      document.body.dispatchEvent(${event})
    }`
    await inPlayground('', async (page) => {
      await page.evaluate(
        given("new DragEvent('drop', { dataTransfer: data, bubbles: true })", 'dropped.png'),
      )
      await page.getByText('dropped.png: 64 × 64 pixels').waitFor()
      expect(await said(page)).toMatch(
        /^WebGPU is not used: its adapter, google swiftshader.*, is the CPU under another name\.\s+Computing on the CPU by WebAssembly/,
      )
      await page.evaluate(
        given("new ClipboardEvent('paste', { clipboardData: data, bubbles: true })", 'pasted.png'),
      )
      await page.getByText('pasted.png: 64 × 64 pixels').waitFor()
      await page.getByRole('img', { name: 'reconstruction' }).waitFor()
    })
  })

  it('that is broken is refused in one sentence, and the next one goes through', async () => {
    const { png } = await drawnImage(64)
    await inPlayground('', async (page) => {
      await chooseImage(page, 'broken.png', Buffer.from('no image at all'))
      expect(await alert(page)).toContain(
        'the file (image/png, 15 bytes) cannot be read as an image; give a PNG, JPEG, WebP, AVIF or GIF that is whole',
      )
      await chooseImage(page, 'whole.png', png)
      await page.getByRole('img', { name: 'reconstruction' }).waitFor()
    })
  })
})

describe.skipIf(chromiumLack !== null)('generation in the playground', () => {
  it('draws a class as ul does, shows it under way, and can be cancelled and asked again', async () => {
    const run = openRun(shippedModel, runtime)
    const address = '#tab=generate&seed=5&latentSteps=6&choice=Food+%26+Drink&count=1&device=wasm'
    await inPlayground(address, async (page) => {
      await page.getByRole('button', { name: 'Generate' }).click()
      await page.getByRole('img', { name: 'Sample 1, Food & Drink' }).waitFor()
      await idle(page)
      const facts = choicesOf(run)
        .filter(({ name }) => name === 'Food & Drink')
        .map((choice) => choice.facts)
      const [generator, codec] = [run.generator(1), run.codec(1)]
      const sampler = { ...latentSampler(run.config), steps: 6 }
      const z0 = await generator.generate({ facts, seed: 5, sampler, guidance: configGuidance(run.config) })
      const expected = quantiseImages(await codec.decode(z0, 5, decoderSampler(run.config)))
      await Promise.all([generator.dispose(), codec.dispose()])
      expect(difference(await pixelsOf(page, 'Sample 1, Food & Drink'), expected)).toBeLessThan(1e-2)

      await page.goto(`${server.url}#tab=generate&latentSteps=200&count=4&device=wasm`)
      await page.getByRole('button', { name: 'Generate' }).click()
      await page.getByRole('img', { name: 'Sample 1, Smileys & Emotion' }).waitFor()
      await page.getByRole('button', { name: 'Cancel' }).click()
      await idle(page)
      expect(await page.getByRole('alert').count()).toBe(0)
      const before = await pixelsOf(page, 'Sample 1, Smileys & Emotion')
      await page.goto(`${server.url}#tab=generate&latentSteps=2&count=4&device=wasm`)
      await page.getByRole('button', { name: 'Generate' }).click()
      await page.getByRole('img', { name: 'Sample 4, Food & Drink' }).waitFor()
      await idle(page)
      expect(difference(await pixelsOf(page, 'Sample 1, Smileys & Emotion'), before)).toBeGreaterThan(0)
    })
  })

  it('repaints what is painted, and leaves what is far from it as it was', async () => {
    await inPlayground('#tab=repaint&image=panda&latentSteps=4&seed=2&device=wasm', async (page) => {
      const cells = page.getByRole('group', { name: 'Positions of the latent to paint' }).getByRole('button')
      await cells.first().waitFor()
      expect(await page.getByRole('button', { name: 'Resample what is painted' }).isDisabled()).toBe(true)
      // One corner is painted; far from it the picture is the reconstruction, to the decoder's reach.
      await cells.first().click()
      expect(await cells.first().getAttribute('aria-pressed')).toBe('true')
      await page.getByText('1 of 64 positions are drawn anew').waitFor()
      await page.getByRole('button', { name: 'Resample what is painted' }).click()
      await page.getByRole('img', { name: 'panda, repainted' }).waitFor()
      await idle(page)
      const repainted = await pixelsOf(page, 'panda, repainted')
      await page.getByRole('tab', { name: 'Reconstruct' }).click()
      await page.getByRole('button', { name: 'after 16 steps' }).waitFor()
      await idle(page)
      const plain = await pixelsOf(page, 'reconstruction')
      const mean = (rows: readonly [number, number], columns: readonly [number, number]): number => {
        let sum = 0
        for (let y = rows[0]; y < rows[1]; y++)
          for (let i = 3 * (64 * y + columns[0]); i < 3 * (64 * y + columns[1]); i++)
            sum += Math.abs(repainted[i] - plain[i])
        return sum / (3 * (rows[1] - rows[0]) * (columns[1] - columns[0]))
      }
      expect(mean([32, 64], [32, 64])).toBeLessThan(mean([0, 8], [0, 8]))
    })
  })

  it('mixes two images: the ends of the strip are their reconstructions', async () => {
    await inPlayground('#tab=interpolate&image=panda&other=penguin&mix=0&device=wasm', async (page) => {
      await page.getByRole('img', { name: '100 %', exact: true }).waitFor()
      await idle(page)
      expect(await page.getByRole('button', { name: 'Save the strip as PNG' }).isEnabled()).toBe(true)
      const [first, last] = [await pixelsOf(page, '0 %'), await pixelsOf(page, '100 %')]
      expect(difference(await pixelsOf(page, '0 % of the way'), first)).toBe(0)
      await page.getByRole('button', { name: '100 % of the second image' }).click()
      await page.getByRole('img', { name: '100 % of the way' }).waitFor()
      await idle(page)
      expect(difference(await pixelsOf(page, '100 % of the way'), last)).toBe(0)
      await page.getByRole('tab', { name: 'Reconstruct' }).click()
      await page.getByRole('button', { name: 'after 16 steps' }).waitFor()
      expect(difference(await pixelsOf(page, 'reconstruction'), first)).toBe(0)
    })
  })
})

describe.skipIf(chromiumLack !== null)('another model in the playground', () => {
  const folderInput = 'input[webkitdirectory]'
  const zipInput = 'input[accept*=zip]'

  it('is opened from what ul export wrote of a run of ul train: a folder, a zip, an address; and reconstructs as ul', async () => {
    const exported = join(folder, 'exported')
    const run = openRun(exported, runtime)
    const { pixels, png } = await drawnImage(16)
    const expected = await inNode(run, toNchw(pixels, { size: 16 }), 0)
    const archive = zipSync(
      Object.fromEntries(
        modelFiles.map((name) => [`run/${name}`, new Uint8Array(readFileSync(join(exported, name)))]),
      ),
    )
    const opens: readonly [string, string, (page: Page) => Promise<void>][] = [
      ['exported', '', (page) => page.locator(folderInput).setInputFiles(exported)],
      [
        'run.zip',
        '',
        (page) =>
          page
            .locator(zipInput)
            .setInputFiles({ name: 'run.zip', mimeType: 'application/zip', buffer: Buffer.from(archive) }),
      ],
      ['own', '?model=/own/', async () => undefined],
    ]
    for (const [name, address, open] of opens) {
      await inPlayground(`${address}#device=wasm`, async (page) => {
        await open(page)
        await page.getByText('16 × 16 pixels').waitFor()
        expect(await page.locator('summary').innerText()).toContain(name)
        await chooseImage(page, 'drawn.png', png)
        await page.getByRole('button', { name: 'after 16 steps' }).waitFor()
        await idle(page)
        expect(difference(await pixelsOf(page, 'reconstruction'), expected.pixels)).toBeLessThan(1e-2)
        expect(await figures(page)).toContain(expected.bitsPerPixel.toFixed(3))
      })
    }
  })

  it('that is broken is refused in one sentence naming the file, and the shipped one goes on', async () => {
    const exported = join(folder, 'exported')
    const broken: readonly [string, (name: string, bytes: Buffer) => Buffer | null, string][] = [
      [
        'cut',
        (name, bytes) => (name.startsWith('weights') ? bytes.subarray(0, 900) : bytes),
        'weights.safetensors',
      ],
      ['no-info', (name, bytes) => (name === 'run.json' ? null : bytes), 'run.json: there is no such file'],
      ['no-config', (name, bytes) => (name === 'config.yaml' ? Buffer.from('{') : bytes), 'config.yaml'],
    ]
    await inPlayground('#device=wasm', async (page) => {
      for (const [name, change, sentence] of broken) {
        const dir = join(folder, name)
        await mkdir(dir)
        for (const file of modelFiles) {
          const bytes = change(file, readFileSync(join(exported, file)))
          if (bytes !== null) await writeFile(join(dir, file), bytes)
        }
        await page.locator(folderInput).setInputFiles(dir)
        expect(await alert(page)).toContain(sentence)
        await page.getByRole('button', { name: /^Dismiss/ }).click()
      }
      await page
        .locator(zipInput)
        .setInputFiles({ name: 'no.zip', mimeType: 'application/zip', buffer: Buffer.from('PK') })
      expect(await alert(page)).toContain('no.zip: it does not read as a zip archive of a model')
      await page.getByRole('button', { name: /^Dismiss/ }).click()
      await page.getByRole('button', { name: 'panda' }).click()
      await page.getByRole('img', { name: 'reconstruction' }).waitFor()
      expect(await page.locator('summary').innerText()).toContain('emoji64')
    })
  })

  it('on another server is refused', async () => {
    await inPlayground('?model=https://example.org/run', async (page) => {
      expect(await alert(page)).toContain('a model on another server (https://example.org) is not read')
    })
  })
})

/** What an unnamed tiny model makes of a drawing: by Node, and by pages that open the model of `own`. */
describe.skipIf(chromiumLack !== null)('WebGPU in the playground', () => {
  let drawn: Awaited<ReturnType<typeof drawnImage>>
  let expected: Awaited<ReturnType<typeof inNode>>
  const onCpu = /\s+Computing on the CPU by WebAssembly with \d threads?\.$/

  beforeAll(async () => {
    drawn = await drawnImage(16)
    const run = openRun(join(folder, 'exported'), runtime)
    expected = await inNode(run, toNchw(drawn.pixels, { size: 16 }), 0)
  })

  /** Waits for what is made first of an image, and compares it with Node. */
  const expectAsNode = async (page: Page): Promise<void> => {
    await expect.poll(() => figures(page), { timeout: 60_000 }).toMatch(/\d bits[^…]*$/)
    const number = async (pattern: RegExp): Promise<number> => Number(pattern.exec(await figures(page))?.[1])
    const { bitsPerPixel, psnr, pixels } = expected
    // The page shows three digits of the rate and two of the PSNR.
    const bits = await number(/Bits\/pixel\s+([\d.]+)/)
    expect(Math.abs(bits - bitsPerPixel)).toBeLessThan(2 ** -11 * bitsPerPixel + 5.01e-4)
    expect(Math.abs((await number(/PSNR\s+([\d.]+)/)) - psnr)).toBeLessThan(2 ** -11 * psnr + 5.01e-3)
    expect(difference(await pixelsOf(page, 'reconstruction'), pixels)).toBeLessThan(1e-2)
  }

  it('computes what Node does and is said; when the GPU is lost in the middle, the CPU goes on, and that is said', async () => {
    await inPlayground('?model=/own/#device=webgpu', async (page) => {
      await chooseImage(page, 'drawn.png', drawn.png) // while the model is opened, which stays the one that is open
      await expectAsNode(page)
      expect(await page.getByText('Back to emoji64').count()).toBe(1)
      expect(await said(page)).toMatch(/^Computing by WebGPU on google swiftshader/)
      await page.getByRole('img', { name: 'latent' }).first().waitFor()

      await loseGpu(browser) // while it decodes in more steps
      expect(await alert(page)).toMatch(
        /^the GPU was lost \(.+\); the CPU goes on, reload the page to have the GPU again/,
      )
      await page.getByRole('button', { name: 'after 16 steps' }).waitFor()
      await idle(page)
      expect(await said(page)).toMatch(/^WebGPU is not used: the GPU was lost \(.+\); reload the page/)
      expect(await said(page)).toMatch(onCpu)
      await page.getByLabel('Seed').fill('1')
      await page.getByLabel('Seed').fill('0')
      await expectAsNode(page)
    })
  })

  it.each([
    [
      'has no adapter',
      'navigator.gpu.requestAdapter = async () => null',
      /^WebGPU is not used: the browser offers no GPU for it\./,
    ],
    [
      'does not start',
      "GPUAdapter.prototype.requestDevice = async () => { throw new Error('out of order') }",
      /^WebGPU is not used: ONNX Runtime could not start it \(.+/,
    ],
    [
      'takes too little',
      "Object.defineProperty(GPUSupportedLimits.prototype, 'maxBufferSize', { get: () => 2048 })",
      /^WebGPU is not used: program encode: its largest tensor, .+, takes .+ MiB, but the adapter 'google swiftshader.*' takes .+ MiB at most/,
    ],
  ])('that %s is left for the CPU, and that is said', async (_, script, why) => {
    await inPlayground(
      '?model=/own/#device=webgpu',
      async (page) => {
        await chooseImage(page, 'drawn.png', drawn.png)
        await expectAsNode(page)
        expect(await said(page)).toMatch(why)
        expect(await said(page)).toMatch(onCpu)
        expect(await page.getByRole('alert').count()).toBe(0)
      },
      await withGpu(browser, script),
    )
  })
})
