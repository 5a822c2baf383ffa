/** @file A run to the Hub: what `ul export` writes, a picture and a card, in one commit. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join, relative, sep } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { CommitOperation } from '@huggingface/hub'
import { ConfigError, showConfig } from '../config/load.ts'
import type { Runtime } from '../engine/runtime/runtime.ts'
import { exportOnnx } from '../export/exportOnnx.ts'
import { writeFileAtomic } from '../files/atomic.ts'
import { describeSampler } from '../method/diffusion/sampler.ts'
import { choicesOf } from '../model/choices.ts'
import { configGuidance, decoderSampler, latentSampler } from '../model/samplers.ts'
import { writeClip } from '../report/clip.ts'
import { gridPng, visibleScale } from '../report/grid.ts'
import { runFiles } from '../runs/files.ts'
import { readRunConfig, readRunInfo, stage1Of, writeRunInfo } from '../runs/runDirectory.ts'
import { exportRun } from '../use/exportRun.ts'
import { type OpenedRun, openRun } from '../use/openRun.ts'
import { sample } from '../use/sample.ts'
import { hubCard } from './card.ts'
import { type Asked, asking, type Hub } from './client.ts'
import { cardFile, isModelFile, onnxFolder, samplesFile } from './names.ts'

/** What to push, and how. */
export interface PushOptions {
  /** owner/name */
  readonly model: string
  readonly isPrivate: boolean
  /** Whether ONNX files come with it. */
  readonly onnx: boolean
  readonly licence?: string | undefined
  readonly warn: (text: string) => void
  /** Told of every file that has arrived. */
  readonly listen?: (path: string) => void
}

/** What was pushed. */
export interface Pushed {
  readonly url: string
  readonly commit: string
  readonly files: readonly string[]
  readonly bytes: number
}

/** Samples in the picture. */
const pictured = { images: 16, clips: 4 } as const

/** Writes a picture of samples, and says what it shows; null of a run that does not generate. */
const writePicture = async (
  run: OpenedRun,
  folder: string,
): Promise<{ readonly file: string; readonly caption: string } | null> => {
  if (!run.generates) return null
  const kind = run.model.video === undefined ? 'images' : 'clips'
  const choices = choicesOf(run)
  const made = await sample(run, {
    facts: Array.from({ length: pictured[kind] }, (_, i) => choices[i % choices.length].facts),
    seed: 0,
    sampler: latentSampler(run.config),
    guidance: configGuidance(run.config),
    decoder: decoderSampler(run.config),
  })
  const file = samplesFile[kind]
  const path = join(folder, file)
  if (kind === 'clips') await writeClip(path, made)
  else writeFileAtomic(path, await gridPng(made, 4, { scale: visibleScale(made) }))
  const samplers = `${describeSampler(latentSampler(run.config))}; decoder ${describeSampler(decoderSampler(run.config))}`
  const turn = choices.length > 1 ? ', classes in turn' : ''
  return { file, caption: `${pictured[kind]} samples of seed 0, not chosen${turn}: ${samplers}` }
}

/** Takes out of an export where its data lies on this machine, and which of its files did not read: nobody else needs it. */
const forgetPlaces = (dir: string, folder: string): void => {
  const config = readRunConfig(folder)
  const { path } = config.data
  if (path !== null) {
    const named = { ...config, data: { ...config.data, path: basename(path) } }
    writeFileAtomic(join(folder, runFiles.config), showConfig(named))
  }
  writeRunInfo(folder, { ...readRunInfo(folder), skipped: [] })
  const card = join(folder, cardFile)
  const { config: stage1 } = stage1Of(dir, readRunConfig(dir))
  const places = [path, stage1.data.path].filter((place) => place !== null)
  const text = readFileSync(card, 'utf8')
  writeFileAtomic(
    card,
    places.reduce((said, place) => said.replaceAll(place, basename(place)), text),
  )
}

/** Fills a folder with everything that is pushed. */
const prepare = async (
  dir: string,
  folder: string,
  runtime: Runtime,
  options: PushOptions,
): Promise<void> => {
  const { model, licence, onnx, warn } = options
  exportRun(dir, folder, runtime, licence, warn)
  forgetPlaces(dir, folder)
  const run = openRun(folder, runtime, warn)
  if (onnx) {
    const keeping = { weights: 'inside', precision: 'float16', licence: licence ?? 'not stated' } as const
    await exportOnnx(run, folder, join(folder, onnxFolder), keeping)
  }
  const card = join(folder, cardFile)
  const text = readFileSync(card, 'utf8')
  const picture = await writePicture(run, folder)
  const isOfClips = run.model.video !== undefined
  writeFileAtomic(card, hubCard({ model, licence, isOfClips, text, picture, hasOnnx: onnx }))
}

/** Files below a folder by their paths on the Hub. */
const filesBelow = (
  folder: string,
): { readonly path: string; readonly file: string; readonly bytes: number }[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .map((file) => ({ path: relative(folder, file).split(sep).join('/'), file, bytes: statSync(file).size }))
    .sort((a, b) => (a.path < b.path ? -1 : 1))

/** Makes the model on the Hub. @returns false when it is there already */
const create = async ({ library, access }: Hub, { model, isPrivate }: PushOptions): Promise<boolean> => {
  const { accessToken = '', ...rest } = access
  try {
    const visibility = isPrivate ? 'private' : 'public'
    await library.createRepo({ repo: model, visibility, accessToken, ...rest })
    return true
  } catch (error) {
    if (error instanceof library.HubApiError && error.statusCode === 409) return false
    throw error
  }
}

/** Files that others may have added to a model that `ul push` made. */
const harmless = /^(\.gitattributes|README\.md|LICEN[CS]E(\.\w+)?)$/

/**
 * Files of earlier pushes that are not pushed now.
 * @throws ConfigError when the model is public but should not be, or is another one
 */
const staleFiles = async (
  { library, access }: Hub,
  { model, isPrivate }: PushOptions,
  now: ReadonlySet<string>,
): Promise<string[]> => {
  const { private: isHidden } = await library.modelInfo({ name: model, ...access })
  if (isPrivate && !isHidden)
    throw new ConfigError(
      `${model}: it is there already, and public; make it private in its settings on the Hub first, or leave --private out`,
    )
  const there: string[] = []
  for await (const { type, path } of library.listFiles({ repo: model, recursive: true, ...access }))
    if (type === 'file') there.push(path)
  const other = there.find((path) => !isModelFile(path) && !harmless.test(path))
  if (other !== undefined && !there.includes(runFiles.info))
    throw new ConfigError(
      `${model}: it holds something else than ul pushes (${JSON.stringify(other)}); give another name`,
    )
  return there.filter((path) => isModelFile(path) && !now.has(path))
}

/**
 * Puts the files of a folder on the Hub in one commit, which also removes what an earlier push left and this one has not.
 * @throws one sentence when the Hub refuses or cannot be reached; ConfigError when the model there is another one
 */
export const pushFolder = async (hub: Hub, folder: string, options: PushOptions): Promise<Pushed> => {
  const { model, listen } = options
  const asked: Asked = { model }
  const files = filesBelow(folder)
  const paths = new Set(files.map(({ path }) => path))
  const stale = await asking(hub, asked, async () =>
    (await create(hub, options)) ? [] : staleFiles(hub, options, paths),
  )
  const operations: CommitOperation[] = [
    ...files.map(({ path, file }) => ({
      operation: 'addOrUpdate' as const,
      path,
      content: pathToFileURL(file),
    })),
    ...stale.map((path) => ({ operation: 'delete' as const, path })),
  ]
  const done = await asking(hub, asked, async () => {
    const { library, access, signal: abortSignal } = hub
    // By the protocol of Git LFS, which every Hub speaks.
    const how = { title: 'ul push', abortSignal, useXet: false }
    const steps = library.commitIter({ ...access, ...how, repo: model, operations })
    for (;;) {
      const { done, value } = await steps.next()
      if (done === true) return value
      const hasArrived = value.event === 'fileProgress' && value.state === 'uploading' && value.progress === 1
      if (hasArrived) listen?.(value.path)
    }
  })
  return {
    url: `${hub.access.hubUrl}/${model}`,
    commit: done?.commit.oid ?? '',
    files: [...paths],
    bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
  }
}

/**
 * Pushes a run: the export's files, a picture of samples and a card.
 * @param dir of the run
 * @throws what pushFolder throws, and when the run does not open
 */
export const push = async (
  hub: Hub,
  dir: string,
  runtime: Runtime,
  options: PushOptions,
): Promise<Pushed> => {
  const folder = mkdtempSync(join(tmpdir(), 'ul-push-'))
  try {
    await prepare(dir, folder, runtime, options)
    hub.signal.throwIfAborted()
    return await pushFolder(hub, folder, options)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
