/** @file The averaged weights of networks, from a run's checkpoints or an exported model. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { inspectSafetensors, withBytesOf } from '../files/safetensors.ts'
import { decodeWeights } from '../model/exportedWeights.ts'
import { exportedWithout, networkOf } from '../model/networks.ts'
import { checkpointStages, latestCheckpoint, loadNewest, tensorsFile } from '../runs/checkpoint.ts'
import { otherConfiguration } from '../runs/configHash.ts'
import { readRunConfig, weightsFile } from '../runs/runDirectory.ts'
import type { Weights } from '../train/frozen.ts'
import { averagesIn, isAverageOf } from '../train/state.ts'

/** Where a network's weights are: the newest checkpoint of the last stage that trained it. */
const checkpointOf = (dir: string, network: string): ReturnType<typeof latestCheckpoint> => {
  for (const stage of checkpointStages(dir).reverse()) {
    const found = latestCheckpoint(dir, stage)
    if (found === null) continue
    const names = [...inspectSafetensors(tensorsFile(found.path)).entries.keys()]
    if (names.some((name) => isAverageOf(name, network))) return found
  }
  return null
}

/** Whether a directory has weights of a network. */
export const hasNetwork = (dir: string, network: string): boolean => {
  const exported = join(dir, weightsFile)
  if (!existsSync(exported)) return checkpointOf(dir, network) !== null
  return [...inspectSafetensors(exported).entries.keys()].some((path) => networkOf(path) === network)
}

/** The averages of networks in the newest whole checkpoint of the stage that trained them. */
const averagesOf = (
  dir: string,
  stage: string,
  networks: readonly string[],
  warn: (text: string) => void,
): Weights => {
  // The parameters and their moments, three quarters of a file, are left where they are.
  const wanted = (name: string): boolean => networks.some((network) => isAverageOf(name, network))
  const found = loadNewest(dir, stage, { wanted, take: averagesIn })!
  for (const text of found.ignored) warn(text)
  const other = otherConfiguration(dir, readRunConfig(dir), found)
  if (other !== null) warn(`${other}; what is made with it may be wrong, restore that file`)
  return found.value
}

/** @throws when a network was never saved. */
export const loadNetworks = (
  dir: string,
  networks: readonly string[],
  warn: (text: string) => void,
): Weights => {
  const exported = join(dir, weightsFile)
  const missing = networks.find((network) => !hasNetwork(dir, network))
  if (missing !== undefined) {
    if (existsSync(exported)) throw exportedWithout(dir, missing)
    throw new Error(
      `${dir}: there is no checkpoint of its ${missing}; train it first with 'ul train … --out ${dir}'`,
    )
  }
  if (existsSync(exported)) {
    const wanted = (path: string): boolean => networks.includes(networkOf(path))
    return withBytesOf(exported, (source) => decodeWeights(exported, source, wanted))
  }
  const stages = new Map<string, string[]>()
  for (const network of networks) {
    const { stage } = checkpointOf(dir, network)!
    stages.set(stage, [...(stages.get(stage) ?? []), network])
  }
  const parts = [...stages].map(([stage, own]) => averagesOf(dir, stage, own, warn))
  return Object.assign({}, ...parts)
}
