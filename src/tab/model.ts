/** @file What a run in a tab has learned so far, as a model to use: what `ul export` writes, beside the run. */
import { encodeWeights, halvedWeights } from '../model/exportedWeights.ts'
import { runFiles } from '../model/files.ts'
import { averagesIn } from '../train/state.ts'
import type { RunFiles } from './files.ts'
import { newestCheckpoint } from './store.ts'

/** Writes the averaged weights of the newest checkpoint in half precision, with configuration and classes. @param folder of the run's files @throws when nothing is saved */
export const writeModel = async (files: RunFiles, folder: string): Promise<void> => {
  const found = await newestCheckpoint(files, 'stage1', averagesIn)
  if (found === null) throw new Error('nothing of this run is saved yet; train some steps first')
  const file = `${folder}/${runFiles.weights}`
  for (const name of [runFiles.config, runFiles.info])
    await files.write(`${folder}/${name}`, [(await files.read(name)) ?? new Uint8Array()])
  await files.write(file, encodeWeights(file, halvedWeights('this run', found.value)))
}
