/** @file A trained run opened for use: its configuration, its codec and its generator, from the newest checkpoints. */
import { type Config, modelConfig } from '../config/schema.ts'
import type { ModelConfig } from '../models/config.ts'
import { type Codec, createCodec } from '../pipeline/codec.ts'
import { createGenerator, type Generator } from '../pipeline/generator.ts'
import { latestCheckpoint, loadCheckpoint } from '../run/checkpoint.ts'
import { type RunInfo, readRunConfig, readRunInfo } from '../run/runDirectory.ts'
import type { Runtime } from '../runtime/runtime.ts'
import { copyIn, type Weights } from '../train/step.ts'

/** A run directory opened for use. */
export interface OpenedRun {
  readonly config: Config
  readonly model: ModelConfig
  readonly info: RunInfo
  /** Averaged stage-1 weights. */
  stage1(): Weights
  /** Encoder and decoder for batches of B. */
  codec(B: number): Codec
  /** Base model for batches of B. */
  generator(B: number): Promise<Generator>
}

/** The averaged weights of a stage's newest checkpoint. @throws when the stage was never saved. */
const loadAverages = (dir: string, stage: string, warn: (text: string) => void): Weights => {
  const found = latestCheckpoint(dir, stage)
  for (const text of found?.ignored ?? []) warn(text)
  if (found === null) {
    throw new Error(
      `${dir}: there is no checkpoint of ${stage}; train it first with 'ul train … --out ${dir}'`,
    )
  }
  return copyIn(loadCheckpoint(found.path).tensors, 'ema')
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
  let loaded: Weights | undefined
  const stage1 = (): Weights => {
    loaded ??= loadAverages(dir, 'stage1', warn)
    return loaded
  }
  return {
    config,
    model,
    info,
    stage1,
    codec: (B) => createCodec(runtime, model, stage1(), B),
    generator: async (B) => createGenerator(runtime, model, loadAverages(dir, 'stage2', warn), B),
  }
}
