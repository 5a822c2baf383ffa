/** @file The worker of the page of training: it keeps the runs, and trains one at a time. */

import { DeviceLostError, openWebRuntime } from 'unified-latents/web'
import {
  beginRun,
  type Choices,
  configOf,
  DivergedError,
  downloadOf,
  type JobEvent,
  keepPictures,
  keptPictures,
  ownPictures,
  type Pictures,
  pictureSize,
  pictureSplit,
  runFiles,
  runFolder,
  trainRun,
  writeModel,
} from '../../../../src/tab/page.ts'
import { modelFolder } from '../../shell/keptRuns.ts'
import type { Command, DeviceChoice, Said } from '../messages.ts'
import { addPictures } from './addPictures.ts'
import { bundledPictures } from './bundled.ts'
import { deleteRun, filesOf, isKept, shownRun, storedRun, storedRuns, whileHeld } from './runs.ts'
import { zipOf } from './zip.ts'

/** Seconds between checkpoints: what a closed tab costs at most. */
const saveEvery = 20

const say = (said: Said): void => postMessage(said)
const warn = (text: string): void => say({ said: 'warning', text })

const png = (bytes: Uint8Array): Blob => new Blob([bytes as Uint8Array<ArrayBuffer>], { type: 'image/png' })

/** The pictures of a run: its own, or the bundled ones. */
const picturesOf = async (name: string): Promise<Pictures> =>
  (await keptPictures(await filesOf(name))) ?? (await bundledPictures())

/** Passes on what the job tells. */
const tell = (event: JobEvent): void => {
  if (event.event === 'step') say({ said: 'step', event })
  else if (event.event === 'validation') say({ said: 'psnr', step: event.step, psnr: event.psnr })
  else if (event.event === 'note' || event.event === 'warning') say({ said: event.event, text: event.text })
}

let pausing = new AbortController()

/** Trains a run that was begun, until it is paused or done. */
const train = async (name: string, device: DeviceChoice): Promise<void> => {
  say({ said: 'under way', what: 'Starting' })
  const { runtime, said: sentences } = await openWebRuntime({ device, fallBack: true })
  say({ said: 'device', sentences })
  const isFinished = await trainRun({
    files: await filesOf(name),
    data: pictureSplit(await picturesOf(name)),
    runtime,
    saveEvery,
    now: () => performance.now(),
    listen: tell,
    onDrawn: (drawing) => say({ said: 'drawn', drawing: png(drawing) }),
    signal: pausing.signal,
  })
  const run = await storedRun(name)
  if (run !== null) say({ said: 'ended', isFinished, run })
}

/** Makes a run of what was chosen; nothing of it is left when that fails. */
const begin = async (choices: Choices, given: readonly File[]): Promise<void> => {
  const { name } = choices
  const config = configOf(choices)
  const isOver = await isKept(name)
  if (isOver && (await storedRun(name)) !== null)
    throw new Error(`${name}: this browser keeps a run of that name; give another name, or delete that run`)
  try {
    const files = await filesOf(name)
    if (choices.pictures === 'bundled') {
      say({ said: 'under way', what: 'Fetching the bundled pictures' })
      await beginRun(files, config, pictureSplit(await bundledPictures()))
    } else {
      const told = (done: number, of: number): void =>
        say({ said: 'under way', what: `Decoding ${of} files`, share: done / of })
      const { pictures, leftOut } = await addPictures(given, pictureSize, told, pausing.signal)
      if (leftOut.length > 0) say({ said: 'left out', files: leftOut })
      const own = ownPictures(name, pictureSize, pictures, leftOut)
      await keepPictures(files, own)
      await beginRun(files, config, pictureSplit(own))
    }
  } catch (error) {
    await deleteRun(name).catch(() => undefined) // what was thrown says more
    throw error
  }
}

const show = async (name: string): Promise<void> => say(await shownRun(name, warn))

const download = async (name: string): Promise<void> => {
  say({ said: 'under way', what: 'Packing the run' })
  const files = await filesOf(name)
  const zip = await zipOf(runFolder(name), downloadOf(files, await keptPictures(files)))
  say({ said: 'zip', name, zip })
}

const model = async (name: string): Promise<void> => {
  await writeModel(await filesOf(name), modelFolder)
  say({ said: 'model', name })
}

const remove = async (name: string): Promise<void> => {
  // Without its configuration a run is none, should the rest be interrupted.
  await (await filesOf(name)).remove(runFiles.config)
  await deleteRun(name)
  say({ said: 'deleted', name })
}

const obey = async (command: Exclude<Command, { do: 'pause' }>): Promise<void> => {
  if (command.do === 'list') return say({ said: 'runs', runs: await storedRuns() })
  if (command.do === 'show') return show(command.name)
  if (command.do === 'download') return whileHeld(command.name, () => download(command.name))
  if (command.do === 'model') return whileHeld(command.name, () => model(command.name))
  if (command.do === 'delete') return whileHeld(command.name, () => remove(command.name))
  pausing = new AbortController()
  if (command.do === 'train') return whileHeld(command.name, () => train(command.name, command.device))
  const { name } = command.choices
  return whileHeld(name, async () => {
    await begin(command.choices, command.files)
    await show(name)
    await train(name, command.device)
  })
}

/** What went wrong, in a sentence for who reads it in a page. */
const sentenceOf = (error: unknown): string => {
  if (error instanceof DivergedError && error.cause instanceof Error)
    return `training has diverged: ${error.cause.message}; what was saved before is kept, begin a new run with another loss factor`
  if (error instanceof DeviceLostError)
    return `${error.reason}, and with it the steps since the last save; resume, and the CPU goes on, or reload the page to have the GPU again`
  return error instanceof Error ? error.message : String(error)
}

let before: Promise<void> = Promise.resolve()

addEventListener('message', ({ data }: MessageEvent<Command>) => {
  if (data.do === 'pause') {
    pausing.abort(new Error('this was cancelled, and nothing of it is kept'))
    return
  }
  before = before
    .then(() => obey(data))
    .catch((error: unknown) => say({ said: 'failed', text: sentenceOf(error) }))
})
