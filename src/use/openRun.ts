/** @file A trained run opened for use: its configuration, its codec and its generator, from the newest checkpoints. */
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { ConfigError } from '../config/load.ts'
import { type Config, modelConfig } from '../config/schema.ts'
import { widened } from '../engine/host/float16.ts'
import type { Runtime } from '../engine/runtime/runtime.ts'
import { inspectSafetensors, readSafetensors } from '../files/safetensors.ts'
import { type Codec, createCodec } from '../method/codec.ts'
import { createGenerator, type Generator } from '../method/generator.ts'
import type { ModelConfig } from '../method/networks/config.ts'
import { latestCheckpoint, loadCheckpoint } from '../runs/checkpoint.ts'
import { type RunInfo, readRunConfig, readRunInfo, stage1Chain, weightsFile } from '../runs/runDirectory.ts'
import { copyIn, isOfCopy, type Weights } from '../train/step.ts'

/** A run directory opened for use. */
export interface OpenedRun {
  readonly config: Config
  readonly model: ModelConfig
  readonly info: RunInfo
  /** Where the stage 1 that it uses was trained: here, or in the run that it takes it from. */
  readonly stage1Directory: string
  /** Whether its base model was trained. */
  readonly hasBase: boolean
  /** Whether what it generates is drawn by class. */
  readonly generatesByClass: boolean
  /** Averaged stage-2 weights. */
  stage2(): Weights
  /** Averaged stage-1 weights: of this run, or of the one that it takes its stage 1 from. */
  stage1(): Weights
  /** Encoder and decoder for batches of B. */
  codec(B: number): Codec
  /** The model that generates latents, for batches of B. */
  generator(B: number): Generator
}

/** Whether a directory has weights of a stage's networks. */
export const hasStage = (dir: string, stage: 'stage1' | 'stage2'): boolean => {
  const exported = join(dir, weightsFile)
  if (!existsSync(exported)) return latestCheckpoint(dir, stage) !== null
  return [...inspectSafetensors(exported).entries.keys()].some((path) => isOfStage(path, stage))
}

const isOfStage = (path: string, stage: string): boolean => path.startsWith('base.') === (stage === 'stage2')

/** The averaged weights of an exported run, or of a stage's newest checkpoint. @throws when the stage was never saved. */
const loadAverages = (dir: string, stage: 'stage1' | 'stage2', warn: (text: string) => void): Weights => {
  const exported = join(dir, weightsFile)
  if (existsSync(exported)) {
    const own = Object.entries(readSafetensors(exported, (path) => isOfStage(path, stage)).tensors)
    if (own.length === 0) {
      throw new Error(`${dir}: it was exported without ${stage}; train that, and export the run again`)
    }
    return Object.fromEntries(own.map(([path, t]) => [path, widened(t)]))
  }
  const found = latestCheckpoint(dir, stage)
  for (const text of found?.ignored ?? []) warn(text)
  if (found === null) {
    throw new Error(
      `${dir}: there is no checkpoint of ${stage}; train it first with 'ul train … --out ${dir}'`,
    )
  }
  // The parameters and their two moments, three quarters of the file, are left where they are.
  return copyIn(loadCheckpoint(found.path, (name) => isOfCopy(name, 'ema')).tensors, 'ema')
}

/** What figures of a stage 1 depend on besides its weights: the images, and how they are decoded. */
const measuredWith = ({ data, sampler }: Config): string =>
  JSON.stringify([data, sampler.decoderKind, sampler.decoderSteps, sampler.variance])

/**
 * Whether what a run generates is drawn by class: the data has classes and the base model saw them. The prior of stage 1
 * knows none.
 */
export const generatesByClass = ({ sampler, base }: Config, classes: number): boolean =>
  sampler.generator === 'base' && classes > 0 && base.labelDropout < 1

/** Whether a run takes its stage 1, and what would be measured of it again, from another run. */
export const sharesFigures = ({ stage1Directory: from, config }: OpenedRun, dir: string): boolean =>
  from !== resolve(dir) && measuredWith(readRunConfig(from)) === measuredWith(config)

/** @throws ConfigError when a run takes a stage 1 that is still being trained: its latents would change later. */
export const expectFinishedStage1 = ({ stage1Directory: from, config }: OpenedRun, dir: string): void => {
  if (from === resolve(dir) || config.variant.encoder === 'pixels') return
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
const stage1Parts = ({ size, frames, latent, encoder, prior, decoder, variant }: ModelConfig) => ({
  'data.size': size,
  'data.frames': frames,
  latent,
  encoder,
  prior,
  decoder,
  variant,
})

/**
 * The absolute directory whose stage 1 a run uses; that run may itself have taken it from another.
 * @throws ConfigError when a run on the way has other networks, or when runs name each other.
 */
const stage1Directory = (dir: string, config: Config, model: ModelConfig): string => {
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
  return chain.at(-1)!
}

/**
 * Opens a run.
 * @param warn told when a checkpoint is unreadable and an older one is used
 * @throws one sentence when the directory is not a run or holds no checkpoint.
 */
export const openRun = (
  dir: string,
  runtime: Runtime,
  warn: (text: string) => void = () => undefined,
): OpenedRun => {
  const config = readRunConfig(dir)
  const info = readRunInfo(dir)
  const model = modelConfig(config, info.classes.length)
  const from = stage1Directory(dir, config, model)
  let loaded1: Weights | undefined
  const stage1 = (): Weights => {
    loaded1 ??= config.variant.encoder === 'pixels' ? {} : loadAverages(from, 'stage1', warn)
    return loaded1
  }
  let loaded2: Weights | undefined
  const stage2 = (): Weights => {
    loaded2 ??= loadAverages(dir, 'stage2', warn)
    return loaded2
  }
  const { generator: kind } = config.sampler
  return {
    config,
    model,
    info,
    stage1Directory: from,
    hasBase: hasStage(dir, 'stage2'),
    generatesByClass: generatesByClass(config, model.classes),
    stage1,
    stage2,
    codec: (B) => createCodec(runtime, model, stage1(), B),
    generator: (B) => createGenerator(runtime, model, kind === 'prior' ? stage1() : stage2(), B, kind),
  }
}
