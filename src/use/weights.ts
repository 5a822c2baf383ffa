/** @file The averaged weights of networks, from a run's checkpoints or an exported model. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { widened } from '../engine/host/float16.ts'
import { inspectSafetensors, readSafetensors } from '../files/safetensors.ts'
import { checkpointStages, latestCheckpoint, loadCheckpoint, tensorsFile } from '../runs/checkpoint.ts'
import { weightsFile } from '../runs/runDirectory.ts'
import type { Weights } from '../train/frozen.ts'
import { averagesIn, isAverageOf } from '../train/state.ts'

/** The network of a parameter: the first part of its path. */
const networkOf = (path: string): string => path.split('.')[0]

/** The weights of one network among those of several. */
export const networkWeights = (weights: Weights, network: string): Weights =>
  Object.fromEntries(Object.entries(weights).filter(([path]) => networkOf(path) === network))

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

/** @throws when a network was never saved. */
export const loadNetworks = (
  dir: string,
  networks: readonly string[],
  warn: (text: string) => void,
): Weights => {
  const exported = join(dir, weightsFile)
  const missing = networks.find((network) => !hasNetwork(dir, network))
  if (missing !== undefined) {
    throw new Error(
      existsSync(exported)
        ? `${dir}: it was exported without its ${missing}; train that, and export the run again`
        : `${dir}: there is no checkpoint of its ${missing}; train it first with 'ul train … --out ${dir}'`,
    )
  }
  if (existsSync(exported)) {
    const { tensors } = readSafetensors(exported, (path) => networks.includes(networkOf(path)))
    return Object.fromEntries(Object.entries(tensors).map(([path, t]) => [path, widened(t)]))
  }
  const places = new Map<string, string[]>()
  for (const network of networks) {
    const { path, ignored } = checkpointOf(dir, network)!
    if (!places.has(path)) for (const text of ignored) warn(text)
    places.set(path, [...(places.get(path) ?? []), network])
  }
  // The parameters and their moments, three quarters of a file, are left where they are.
  const parts = [...places].map(([path, own]) => {
    const isWanted = (name: string): boolean => own.some((network) => isAverageOf(name, network))
    return averagesIn(loadCheckpoint(path, isWanted).tensors)
  })
  return Object.assign({}, ...parts)
}
