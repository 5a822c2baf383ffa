/** @file Base model of stage 2: a two-level transformer that generates latents, conditioned on class (method.md sections 4 and 5). */
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
import { type Params, param } from '../../engine/nn/params.ts'
import { stack, stackSpec } from '../../engine/nn/transformer.ts'
import { depthToSpace, spaceToDepth } from '../../engine/ops/conv.ts'
import { add, sub } from '../../engine/ops/core.ts'
import { gather } from '../../engine/ops/gather.ts'
import type { ModelConfig } from './config.ts'

type BaseSpec = {
  readonly logSnr: LogSnrSpec
  readonly classes: ReturnType<typeof param>
  readonly in: LinearSpec
  readonly before: ReturnType<typeof stackSpec>
  readonly down: LinearSpec
  readonly middle: ReturnType<typeof stackSpec>
  readonly up: LinearSpec
  readonly after: ReturnType<typeof stackSpec>
  readonly film: LinearSpec
  readonly out: LinearSpec
}

/** The label that stands for "no class": one past the last. */
export const nullLabel = (config: ModelConfig): number => config.classes

/** Parameters of the base model. */
export const baseSpec = (config: ModelConfig): BaseSpec => {
  const { widths, blocks, headWidth, dropout } = config.base
  const [outer, inner] = widths
  const first = Math.ceil(blocks[0] / 2)
  const level = (width: number, count: number) =>
    stackSpec({ width, blocks: count, headWidth, dropout }, inner)
  return {
    logSnr: logSnrSpec(inner),
    classes: param([config.classes + 1, inner], 1),
    in: linearSpec(config.latent.channels, outer),
    before: level(outer, first),
    down: linearSpec(4 * outer, inner),
    middle: level(inner, blocks[1]),
    up: linearSpec(inner, 4 * outer),
    after: level(outer, blocks[0] - first),
    film: filmSpec(inner, outer),
    out: linearSpec(outer, config.latent.channels, 0),
  }
}

/**
 * v̂ of the latent: zT [B, c, h, w], logSnr [B], labels int32 [B] → [B, c, h, w].
 * @param seed int32 scalar that drives dropout; none at evaluation
 */
export const baseV = (
  p: Params<BaseSpec>,
  config: ModelConfig,
  zT: Value,
  logSnr: Value,
  labels: Value,
  seed?: Value,
): Value =>
  scope('base', () => {
    const [outer, inner] = config.base.widths
    const [, , h, w] = zT.shape as [number, number, number, number]
    const embedding = add(logSnrEmbedding(p.logSnr, logSnr), gather(p.classes, labels)) // [B, E]
    const { headWidth, dropout } = config.base
    const level = (name: string, blocks: typeof p.before, x: Value): Value => {
      return stack(blocks, x, { name, embedding, headWidth, dropout, seed, recompute: config.recompute })
    }
    const tokens = add(applyLinear(p.in, toTokens(zT)), positionTable([h, w], outer)) // [B, hw, D1]
    const fine = level('before', p.before, tokens)
    const merged = toTokens(spaceToDepth(toMaps(fine, h, w), 2)) // [B, hw/4, 4·D1]
    const coarse = add(applyLinear(p.down, merged), positionTable([h / 2, w / 2], inner)) // [B, hw/4, D2]
    const change = sub(level('middle', p.middle, coarse), coarse)
    const spread = toTokens(depthToSpace(toMaps(applyLinear(p.up, change), h / 2, w / 2), 2)) // [B, hw, D1]
    const joined = level('after', p.after, add(fine, spread))
    return toMaps(applyLinear(p.out, filmTokens(p.film, norm(joined), embedding)), h, w)
  })
