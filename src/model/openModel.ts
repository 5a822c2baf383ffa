/** @file An exported model opened from its files, wherever they come from: a server, a folder that was dropped, a cache. */
import { parseRunConfig } from '../config/load.ts'
import { modelConfig } from '../config/schema.ts'
import type { Runtime } from '../engine/runtime/runtime.ts'
import { trainedNetworks } from '../method/autoencoder.ts'
import { partsOfVariant } from '../method/variants.ts'
import { parseChecked } from '../stored/checkedJson.ts'
import { sourceOf } from '../stored/safetensors.ts'
import type { Weights } from '../train/frozen.ts'
import { decodeWeights } from './exportedWeights.ts'
import { runFiles } from './files.ts'
import { expectModelFits } from './fits.ts'
import { infoSchema } from './info.ts'
import { modelOf, type OpenedModel } from './model.ts'
import { exportedWithout, networkOf } from './networks.ts'

/** Reads a file of a model by its name (`model/files.ts`); null where there is none. */
export type ReadFile = (name: string) => Promise<Uint8Array | null>

const required = async (read: ReadFile, name: string): Promise<Uint8Array> => {
  const bytes = await read(name)
  if (bytes !== null) return bytes
  const all = [runFiles.config, runFiles.info, runFiles.weights].join(', ')
  throw new Error(
    `${name}: there is no such file, so this is not a model; give what 'ul export' wrote (${all})`,
  )
}

const requiredText = async (read: ReadFile, name: string): Promise<string> =>
  new TextDecoder().decode(await required(read, name))

/**
 * Opens an exported model. Its configuration is read first and compared with what the device takes, for batches of one; only
 * then are its weights asked for.
 * @throws one sentence naming the file that is missing or damaged, or the tensor that the device does not take
 */
export const openModel = async (runtime: Runtime, read: ReadFile): Promise<OpenedModel> => {
  const config = parseRunConfig(await requiredText(read, runFiles.config), runFiles.config)
  const infoText = await requiredText(read, runFiles.info)
  const info = parseChecked(infoSchema, infoText, runFiles.info, "export the run again with 'ul export'")
  expectModelFits(runtime.limits, config, info.classes.length, 1)
  const weights = decodeWeights(runFiles.weights, sourceOf(await required(read, runFiles.weights)))
  const networks = new Set(Object.keys(weights).map(networkOf))
  const { isLearned } = partsOfVariant(config.variant).space
  const stage1 = isLearned ? trainedNetworks(modelConfig(config, info.classes.length)) : []
  const missing = stage1.find((network) => !networks.has(network))
  if (missing !== undefined) throw exportedWithout(runFiles.weights, missing)
  const base = (): Weights => {
    if (networks.has('base')) return weights
    throw exportedWithout(runFiles.weights, 'base')
  }
  return modelOf(runtime, { config, info, hasBase: networks.has('base'), autoencoder: () => weights, base })
}
