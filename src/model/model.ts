/** @file A trained model opened for use: codec and generator from a configuration and averaged weights, wherever those came from. */
import { type Config, modelConfig } from '../config/schema.ts'
import type { Runtime } from '../engine/runtime/runtime.ts'
import { type Codec, createCodec } from '../method/codec.ts'
import type { ModelConfig } from '../method/config.ts'
import { createGenerator, type Generator } from '../method/generator.ts'
import type { Weights } from '../train/frozen.ts'
import type { RunInfo } from './info.ts'

/** What a model is made of. */
export interface ModelParts {
  readonly config: Config
  readonly info: RunInfo
  /** Whether its base model was trained. */
  readonly hasBase: boolean
  /** Averaged weights of encoder, prior and decoder; none where latents are pixels. */
  autoencoder(): Weights
  /** Averaged weights of the base model. @throws when it was never trained */
  base(): Weights
}

/** A model opened for use. */
export interface OpenedModel extends ModelParts {
  readonly model: ModelConfig
  /** Whether it has the network that generates. */
  readonly generates: boolean
  /** Encoder and decoder for batches of B. */
  codec(B: number): Codec
  /** The model that generates latents, for batches of B. */
  generator(B: number): Generator
}

/** Opens a model. Weights are asked for when they are first used. */
export const modelOf = (runtime: Runtime, parts: ModelParts): OpenedModel => {
  const { config, info, hasBase, autoencoder, base } = parts
  const model = modelConfig(config, info.classes.length)
  const { generator: kind } = config.sampler
  return {
    ...parts,
    model,
    generates: kind === 'prior' || hasBase,
    codec: (B) => createCodec(runtime, model, autoencoder(), B),
    generator: (B) => createGenerator(runtime, model, kind === 'prior' ? autoencoder() : base(), B, kind),
  }
}
