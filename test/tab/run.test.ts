/** @file A run that begins in a tab is the run that `ul train` makes: the same batches, and the same bits wherever it goes on. */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, it } from 'vitest'
import { showConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'
import { openBatchReader } from '../../src/data/batches.ts'
import { openData } from '../../src/data/open.ts'
import { wholeBatch } from '../../src/engine/host/part.ts'
import { loadCheckpoint } from '../../src/runs/checkpoint.ts'
import type { JobEvent } from '../../src/runs/events.ts'
import { readMetrics } from '../../src/runs/metrics.ts'
import { readRunConfig } from '../../src/runs/runDirectory.ts'
import { trainingPlan } from '../../src/stages/images.ts'
import { downloadOf } from '../../src/tab/download.ts'
import { memoryFiles, type RunFiles } from '../../src/tab/files.ts'
import {
  keepPictures,
  keptPictures,
  ownPictures,
  type Pictures,
  pictureSplit,
  picturesOf,
} from '../../src/tab/pictures.ts'
import { beginRun, trainRun } from '../../src/tab/run.ts'
import { configOf, usualChoices } from '../../src/tab/settings.ts'
import { runDir, runtime, tinyConfigOf, trainTiny } from '../stages/tinyRun.ts'

const size = 16
const steps = 6

/** Pictures that differ, some of them with names that are hard on a file system. */
const brought = (count: number): Pictures => {
  const names = ['a cat.jpg', 'ö/ü?.png', '', 'train', 'validation.webp', 'x'.repeat(90)]
  const given = Array.from({ length: count }, (_, n) => ({
    name: names[n] ?? `picture ${n}.heic`,
    pixels: Uint8Array.from({ length: size * size * 3 }, (_, i) => (i * (n + 3) + 40 * n) % 256),
  }))
  return ownPictures('own pictures', size, given, [{ file: 'broken.png', reason: 'is cut off' }])
}

const configAt = (folder: string): Config =>
  tinyConfigOf(
    ...['data.balance=false', 'data.flip=true', `data.path=${folder}`, `train.stage1.steps=${steps}`],
    ...['train.logEvery=1', 'train.sampleEvery=2', 'train.checkpointEvery=100'],
  )

/** Trains in a tab's files until a step is done, or to the end. */
const trainThere = async (files: RunFiles, pictures: Pictures, until = steps, saveEvery = 1000) => {
  const events: JobEvent[] = []
  const stop = new AbortController()
  let now = 0
  const drawn: Uint8Array[] = []
  const isFinished = await trainRun({
    ...{ files, runtime, saveEvery, signal: stop.signal },
    now: () => now++ * 1000,
    onDrawn: (png) => drawn.push(png),
    data: pictureSplit(pictures),
    listen: (event) => {
      events.push(event)
      if (event.event === 'step' && event.step === until) stop.abort()
    },
  })
  return { isFinished, events, drawn }
}

/** Writes a run's download into a folder, its pictures where the configuration wants them. */
const unpack = async (files: RunFiles, dir: string): Promise<void> => {
  for await (const [path, bytes] of downloadOf(files, await keptPictures(files))) {
    mkdirSync(dirname(join(dir, path)), { recursive: true })
    writeFileSync(join(dir, path), bytes)
  }
}

const tensorsAt = (dir: string, step: number) =>
  loadCheckpoint(join(dir, 'checkpoints', `stage1-${String(step).padStart(9, '0')}`)).tensors

/** Lines of the log without what a clock says. */
const logOf = (dir: string) =>
  readMetrics(join(dir, 'metrics.jsonl')).map(({ imagesPerSecond: _, ...rest }) => rest)

const begun = async (name: string) => {
  const dir = runDir(name)
  const config = configAt(join(dir, 'images'))
  const files = memoryFiles()
  const pictures = brought(23)
  await keepPictures(files, pictures)
  await beginRun(files, config, pictureSplit(pictures))
  return { dir, config, files, pictures }
}

it('is read from the downloaded folder as the tab had it: names, halves, pixels, and so every batch', async () => {
  const { dir, config, files, pictures } = await begun('batches')
  await unpack(files, dir)
  const [there, here] = [
    pictureSplit(pictures),
    await openData({ source: 'folder', path: config.data.path, size }),
  ]
  expect([here.train.count, here.validation.count]).toEqual([20, 3])
  const batch = 5
  for (const half of ['train', 'validation'] as const) {
    const ids = (source: typeof here.train) => Array.from({ length: source.count }, (_, i) => source.id(i))
    expect(ids(here[half])).toEqual(ids(there[half]))
    const [a, b] = [there[half], here[half]].map((source) =>
      openBatchReader({ source, plan: trainingPlan({ config, source }, 3), part: wholeBatch(batch) }),
    )
    for (const step of [0, 1, 7, 30]) expect(await b.next(step)).toEqual(await a.next(step))
    await Promise.all([a.close(), b.close()])
  }
})

it('goes on by `ul train` after a download, bit for bit as the run that was never moved', async () => {
  const { dir, config, files, pictures } = await begun('moved')
  const { isFinished, events, drawn } = await trainThere(files, pictures, 3)
  expect(isFinished).toBe(false)
  expect(events.at(-1)).toEqual({ event: 'stopped', stage: 'stage1', step: 3 })
  expect(drawn).toHaveLength(1)
  await unpack(files, dir)
  expect(readdirSync(join(dir, 'samples'))).toEqual(['reconstructions-000000002.png'])
  await trainTiny('moved', readRunConfig(dir), '1')
  // The same pictures, never moved.
  await trainTiny('unmoved', config, '1')
  expect(tensorsAt(dir, steps)).toEqual(tensorsAt(runDir('unmoved'), steps))
  expect(logOf(dir)).toEqual(logOf(runDir('unmoved')))
})

it('goes on in the tab where it was closed, from what was saved at intervals of time', async () => {
  const { dir, files, pictures } = await begun('closed')
  const whole = memoryFiles()
  await beginRun(whole, configAt(join(dir, 'images')), pictureSplit(pictures))
  await trainThere(whole, pictures)
  await trainThere(files, pictures, 4, 2)
  expect((await files.list('checkpoints')).length).toBe(2)
  // The tab was closed while it saved: the newest has its tensors and no record yet.
  const [, newest] = await files.list('checkpoints')
  await files.remove(`checkpoints/${newest}/state.json`)
  const { isFinished, events } = await trainThere(files, pictures)
  expect(isFinished).toBe(true)
  const warnings = events.flatMap((event) => (event.event === 'warning' ? [event.text] : []))
  expect(warnings).toEqual([
    expect.stringMatching(/^checkpoints\/stage1-000000004: it was not saved to its end; /),
  ])
  const last = `checkpoints/stage1-${String(steps).padStart(9, '0')}/state.safetensors`
  expect(await files.read(last)).toEqual(await whole.read(last))
})

it('is refused with other pictures than it began with, and with damaged ones', async () => {
  const { files, pictures } = await begun('others')
  await expect(trainThere(files, brought(24))).rejects.toThrow(
    'training images 20 then, 21 now; delete this run',
  )
  const cut = { ...pictures, pixels: pictures.pixels.subarray(1) }
  await expect(trainThere(files, cut)).rejects.toThrow(
    /own pictures: its pictures have 17663 bytes, not the 17664/,
  )
})

it('knows the bundled pictures by the list and pixels that the site has of them', async () => {
  const emoji = await openData({ source: 'emoji', size, skinTones: false })
  const { train, validation } = pictureSplit(await picturesOf('emoji', emoji))
  for (const [packed, source] of [
    [train, emoji.train],
    [validation, emoji.validation],
  ] as const) {
    const all = Array.from({ length: source.count }, (_, i) => i)
    expect(all.map((i) => [packed.id(i), packed.label(i)])).toEqual(
      all.map((i) => [source.id(i), source.label(i)]),
    )
    expect(await packed.read(all)).toEqual(await source.read(all))
  }
})

it('has the preset with what was chosen, and its own pictures where the download puts them', () => {
  const chosen = { ...usualChoices, name: 'mine-2', lossFactor: 4, channels: 16 }
  const own = configOf({ ...chosen, pictures: 'own' })
  expect([own.name, own.data.path, own.decoder.lossFactor, own.latent.channels]).toEqual([
    ...['mine-2', 'runs/mine-2/images', 4, 16],
  ])
  expect(configOf({ ...chosen, pictures: 'bundled' }).data.source).toBe('emoji')
  expect(() => configOf({ ...chosen, name: '../x', pictures: 'own' })).toThrow(
    /^the name is "\.\.\/x"; give one/,
  )
  expect(showConfig(own)).toContain('name: mine-2\n')
})
