/** @file A trained run opened for use: its configuration, its codec and its generator, from the newest checkpoints. */
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { ConfigError } from '../config/load.ts'
import { type Config, modelConfig } from '../config/schema.ts'
import type { Runtime } from '../engine/runtime/runtime.ts'
import { trainedNetworks } from '../method/autoencoder.ts'
import type { ModelConfig } from '../method/config.ts'
import { partsOfVariant } from '../method/variants.ts'
import { modelOf, type OpenedModel } from '../model/model.ts'
import { warnInProcess } from '../runs/checked.ts'
import { latestCheckpoint } from '../runs/checkpoint.ts'
import { readRunConfig, readRunInfo, stage1Chain, weightsFile } from '../runs/runDirectory.ts'
import type { Weights } from '../train/frozen.ts'
import { hasNetwork, loadNetworks } from './weights.ts'

/** A run directory opened for use; stage 1's networks are each of the nearest run along train.stage1.from that trained it. */
export interface OpenedRun extends OpenedModel {
  /** Where the stage 1 that it uses was trained: here, or in the run that it takes it from. */
  readonly stage1Directory: string
  /** Where the decoder that it uses was trained: a student's run has one of its own. */
  readonly decoderDirectory: string
}

/** What figures of a stage 1 depend on besides its weights: the images, and how they are decoded. */
const measuredWith = ({ data, sampler }: Config): string =>
  JSON.stringify([data, sampler.decoderKind, sampler.decoderSteps, sampler.variance])

/** Whether a run takes its stage 1, and what would be measured of it again, from another run. */
export const sharesFigures = (
  { stage1Directory: from, decoderDirectory, config }: OpenedRun,
  dir: string,
): boolean =>
  from !== resolve(dir) &&
  from === decoderDirectory &&
  measuredWith(readRunConfig(from)) === measuredWith(config)

/** @throws ConfigError when a run takes a stage 1 that is still being trained: its latents would change later. */
export const expectFinishedStage1 = ({ stage1Directory: from, config }: OpenedRun, dir: string): void => {
  if (from === resolve(dir) || !partsOfVariant(config.variant).space.isLearned) return
  if (existsSync(join(from, weightsFile))) return
  const { steps } = readRunConfig(from).train.stage1
  const step = latestCheckpoint(from, 'stage1')?.step ?? 0
  if (step < steps) {
    throw new ConfigError(
      `train.stage1.from ${from}: its stage 1 is at step ${step} of ${steps}; train it to the end first`,
    )
  }
}

/** What two runs must share for one to use the other's stage 1, under the names of their configurations. */
const stage1Parts = ({ size, frames, latent, encoder, prior, decoder, variant, video }: ModelConfig) => ({
  'data.size': size,
  'data.frames': frames,
  latent,
  encoder,
  prior,
  decoder,
  variant,
  video,
})

/**
 * The absolute directories from a run to the one whose stage 1 it uses.
 * @throws ConfigError when a run on the way has other networks, or when runs name each other.
 */
const checkedChain = (dir: string, config: Config, model: ModelConfig): readonly string[] => {
  const chain = stage1Chain(dir, config)
  const own = new Map<string, unknown>(Object.entries(stage1Parts(model)))
  for (const from of chain.slice(1)) {
    if (chain.indexOf(from) !== chain.lastIndexOf(from)) {
      throw new ConfigError(
        `train.stage1.from ${from}: that run takes its stage 1 from this one; name the run that trained it`,
      )
    }
    const theirs = Object.entries(stage1Parts(modelConfig(readRunConfig(from), model.classes)))
    const differing = theirs.filter(([name, part]) => JSON.stringify(part) !== JSON.stringify(own.get(name)))
    if (differing.length > 0) {
      const names = differing.map(([name]) => name).join(', ')
      throw new ConfigError(
        `train.stage1.from ${from}: that run differs from this one in ${names}; set the same values here`,
      )
    }
  }
  return chain
}

/** The first of directories that has weights of a network; the last where none has. */
const nearestWith = (chain: readonly string[], network: string): string =>
  chain.find((dir) => hasNetwork(dir, network)) ?? chain.at(-1)!

/** Weights of networks, each of its own directory. */
const loadedFrom = (places: ReadonlyMap<string, string>, warn: (text: string) => void): Weights => {
  const directories = [...new Set(places.values())]
  return Object.assign(
    {},
    ...directories.map((dir) => {
      const own = [...places].filter(([, place]) => place === dir).map(([network]) => network)
      return loadNetworks(dir, own, warn)
    }),
  )
}

/** A value that is made when it is first asked for. */
const once = <T>(make: () => T): (() => T) => {
  let made: { readonly value: T } | undefined
  return () => {
    made ??= { value: make() }
    return made.value
  }
}

/**
 * Opens a run.
 * @param warn told when a checkpoint is damaged and an older one is used
 * @throws one sentence when the directory is not a run or holds no checkpoint.
 */
export const openRun = (
  dir: string,
  runtime: Runtime,
  warn: (text: string) => void = warnInProcess,
): OpenedRun => {
  const config = readRunConfig(dir)
  const info = readRunInfo(dir)
  const model = modelConfig(config, info.classes.length)
  const chain = checkedChain(dir, config, model)
  const { isLearned } = partsOfVariant(config.variant).space
  const places = (): Map<string, string> =>
    new Map(trainedNetworks(model).map((network) => [network, nearestWith(chain, network)]))
  const autoencoder = once(() => (isLearned ? loadedFrom(places(), warn) : {}))
  // A student's run has its base model from its teacher's; any other trains its own.
  const baseDirectory = config.student === undefined ? dir : nearestWith(chain, 'base')
  const base = once(() => loadNetworks(baseDirectory, ['base'], warn))
  return {
    ...modelOf(runtime, { config, info, hasBase: hasNetwork(baseDirectory, 'base'), autoencoder, base }),
    stage1Directory: chain.at(-1)!,
    decoderDirectory: nearestWith(chain, 'decoder'),
  }
}
