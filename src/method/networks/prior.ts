/** @file Prior P of stage 1: a one-level transformer that denoises latents; its loss is their bitrate (method.md sections 3 and 5). */
import { scope, type Value } from '../../engine/ir/graph.ts'
import {
  applyLinear,
  filmSpec,
  filmTokens,
  type LinearSpec,
  type LogSnrSpec,
  linearSpec,
  logSnrEmbedding,
  logSnrSpec,
  norm,
  positionTable,
  toMaps,
  toTokens,
} from '../../engine/nn/layers.ts'
import type { Params } from '../../engine/nn/params.ts'
import { stack, stackSpec, type TransformerConfig } from '../../engine/nn/transformer.ts'
import { add } from '../../engine/ops/core.ts'
import type { ModelConfig } from './config.ts'

type PriorSpec = {
  readonly logSnr: LogSnrSpec
  readonly in: LinearSpec
  readonly blocks: ReturnType<typeof stackSpec>
  readonly film: LinearSpec
  readonly out: LinearSpec
}

const transformerOf = ({ prior }: ModelConfig): TransformerConfig => ({ ...prior, dropout: 0 })

/** Parameters of the prior. */
export const priorSpec = (config: ModelConfig): PriorSpec => {
  const { width } = config.prior
  const { channels } = config.latent
  return {
    logSnr: logSnrSpec(width),
    in: linearSpec(channels, width),
    blocks: stackSpec(transformerOf(config), width),
    film: filmSpec(width, width),
    out: linearSpec(width, channels, 0),
  }
}

/** v̂ of the latent: zT [B, c, h, w], logSnr [B] → [B, c, h, w]. */
export const priorV = (p: Params<PriorSpec>, config: ModelConfig, zT: Value, logSnr: Value): Value =>
  scope('prior', () => {
    const [, , h, w] = zT.shape as [number, number, number, number]
    const embedding = logSnrEmbedding(p.logSnr, logSnr) // [B, D]
    const tokens = add(applyLinear(p.in, toTokens(zT)), positionTable([h, w], config.prior.width)) // [B, N, D]
    const { recompute, prior } = config
    const mixed = stack(p.blocks, tokens, {
      name: 'blocks',
      embedding,
      headWidth: prior.headWidth,
      dropout: 0,
      recompute,
    })
    return toMaps(applyLinear(p.out, filmTokens(p.film, norm(mixed), embedding)), h, w)
  })
