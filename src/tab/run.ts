/** @file Stage 1 of a run in a tab: begun, and trained from wherever it stands, by the job that trains it everywhere else. */
import { parseRunConfig, showConfig } from '../config/load.ts'
import { type Config, modelConfig } from '../config/schema.ts'
import { readImages } from '../data/batches.ts'
import type { DataSplit } from '../data/images/source.ts'
import { alone } from '../distributed/collective.ts'
import type { Runtime } from '../engine/runtime/runtime.ts'
import { stoppable } from '../engine/runtime/stoppable.ts'
import { infoSchema, showRunInfo } from '../model/info.ts'
import { type Listener, onceEach } from '../runs/events.ts'
import { runFiles } from '../runs/files.ts'
import { dataDifference } from '../runs/runInfo.ts'
import { autoencoder } from '../stages/autoencoder.ts'
import { shownWhileTraining } from '../stages/images.ts'
import { runStage } from '../stages/runStage.ts'
import { parseChecked } from '../stored/checkedJson.ts'
import { infoOf } from '../use/dataInfo.ts'
import { evenly } from '../use/evenly.ts'
import { type RunFiles, readText, writeText } from './files.ts'
import { type TabStoreOptions, tabStore } from './store.ts'

/** Writes what a run begins with. */
export const beginRun = async (files: RunFiles, config: Config, data: DataSplit): Promise<void> => {
  await writeText(files, runFiles.info, showRunInfo(infoOf(data)))
  await writeText(files, runFiles.config, showConfig(config))
}

/** The configuration of a run. @throws when there is none, or it does not read */
export const readConfig = async (files: RunFiles): Promise<Config> => {
  const text = await readText(files, runFiles.config)
  if (text === null)
    throw new Error(`${runFiles.config}: there is none, so nothing was begun; delete this run`)
  return parseRunConfig(text, runFiles.config)
}

/** @throws when a run was begun with other pictures */
const expectSameData = async (files: RunFiles, data: DataSplit): Promise<void> => {
  const text = (await readText(files, runFiles.info)) ?? ''
  const begun = parseChecked(infoSchema, text, runFiles.info, 'delete this run')
  const difference = dataDifference(begun, infoOf(data))
  if (difference !== null)
    throw new Error(`the pictures are not those that this run began with: ${difference}; delete this run`)
}

/** What is trained, on what, and whom to tell. */
export interface TabRequest extends Pick<TabStoreOptions, 'saveEvery' | 'now' | 'onDrawn'> {
  readonly files: RunFiles
  readonly data: DataSplit
  readonly runtime: Runtime
  readonly listen: Listener
  /** Aborting saves a checkpoint and stops. */
  readonly signal: AbortSignal
}

/**
 * Trains stage 1 of a run that was begun, from its newest checkpoint when there is one.
 * @returns whether it got to the last step; false when it was stopped, its state is then saved.
 * @throws DivergedError, and one sentence when the run does not read or its pictures are others
 */
export const trainRun = async ({
  files,
  data,
  runtime,
  listen,
  signal,
  ...keeping
}: TabRequest): Promise<boolean> => {
  const config = await readConfig(files)
  await expectSameData(files, data)
  const { train, validation } = data
  const warn = onceEach((text) => listen({ event: 'warning', text }))
  const context = {
    config,
    model: modelConfig(config, train.classes.length),
    runtime,
    leaving: stoppable(runtime, signal),
    dir: config.name,
    store: tabStore(files, { ...keeping, warn }),
    source: train,
    shown: await readImages(validation, evenly(shownWhileTraining, validation.count)),
    listen,
    together: alone,
    warn,
    signal,
  }
  return runStage(context, autoencoder)
}
