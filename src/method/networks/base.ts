/** @file Base model of stage 2: a two-level transformer that generates latents, told what its conditions say (method.md sections 4 and 5). */
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
import type { Network } from '../../engine/nn/network.ts'
import { bindParams, type Params } from '../../engine/nn/params.ts'
import { stack, stackSpec } from '../../engine/nn/transformer.ts'
import { depthToSpace, spaceToDepth } from '../../engine/ops/conv.ts'
import { add, sub } from '../../engine/ops/core.ts'
import type { DropoutKey } from '../../engine/ops/dropout.ts'
import { latentV } from '../diffusion/precondition.ts'
import type { LatentConfig, TwoLevelSizes } from './config.ts'

export type BaseSpec = {
  readonly logSnr: LogSnrSpec
  readonly in: LinearSpec
  readonly before: ReturnType<typeof stackSpec>
  readonly down: LinearSpec
  readonly middle: ReturnType<typeof stackSpec>
  readonly up: LinearSpec
  readonly after: ReturnType<typeof stackSpec>
  readonly film: LinearSpec
  readonly out: LinearSpec
}

/** The base model's sizes and the channels of the latent. */
export interface BaseConfig extends TwoLevelSizes, Pick<LatentConfig, 'deviation'> {
  readonly channels: number
  readonly recompute: boolean
}

/** Width of the embedding that conditions all its blocks. */
export const embeddingWidth = ({ widths }: BaseConfig): number => widths[1]

/** Parameters of the base model, without those of its conditions. */
export const baseSpec = (network: BaseConfig): BaseSpec => {
  const { widths, blocks, headWidth, dropout, channels } = network
  const [outer, inner] = widths
  const first = Math.ceil(blocks[0] / 2)
  const level = (width: number, count: number) =>
    stackSpec({ width, blocks: count, headWidth, dropout }, inner)
  return {
    logSnr: logSnrSpec(inner),
    in: linearSpec(channels, outer),
    before: level(outer, first),
    down: linearSpec(4 * outer, inner),
    middle: level(inner, blocks[1]),
    up: linearSpec(inner, 4 * outer),
    after: level(outer, blocks[0] - first),
    film: filmSpec(inner, outer),
    out: linearSpec(outer, channels, 0),
  }
}

/** Traces what the embedding of all blocks gains by a condition, [B, E], from the conditions' inputs. */
export type ConditionEmbedding = (inputs: Readonly<Record<string, Value>>) => Value

/** What the base model reads. */
export interface BaseReads {
  /** [B, c, h, w] */
  readonly zT: Value
  /** λ of zT, [B] */
  readonly logSnr: Value
  /** Inputs of the conditions. */
  readonly conditions: Readonly<Record<string, Value>>
  /** Drives dropout; absent at evaluation. */
  readonly dropout?: DropoutKey | undefined
}

/** v̂ of the latent [B, c, h, w]. */
export const baseV = (
  p: Params<BaseSpec>,
  network: BaseConfig,
  embeddings: readonly ConditionEmbedding[],
  { zT, logSnr, conditions, dropout: key }: BaseReads,
): Value =>
  scope('base', () => {
    const { headWidth, dropout, recompute, deviation } = network
    const [outer, inner] = network.widths
    const [, , h, w] = zT.shape as [number, number, number, number]
    const embedding = embeddings.reduce(
      (sum, embed) => add(sum, embed(conditions)),
      logSnrEmbedding(p.logSnr, logSnr),
    ) // [B, E]
    const level = (name: string, blocks: typeof p.before, x: Value): Value =>
      stack(blocks, x, { name, embedding, headWidth, dropout, key, recompute })
    const output = (given: Value): Value => {
      const tokens = add(applyLinear(p.in, toTokens(given)), positionTable([h, w], outer)) // [B, hw, D1]
      const fine = level('before', p.before, tokens)
      const merged = toTokens(spaceToDepth(toMaps(fine, h, w), 2)) // [B, hw/4, 4·D1]
      const coarse = add(applyLinear(p.down, merged), positionTable([h / 2, w / 2], inner)) // [B, hw/4, D2]
      const change = sub(level('middle', p.middle, coarse), coarse)
      const spread = toTokens(depthToSpace(toMaps(applyLinear(p.up, change), h / 2, w / 2), 2)) // [B, hw, D1]
      const joined = level('after', p.after, add(fine, spread))
      return toMaps(applyLinear(p.out, filmTokens(p.film, norm(joined), embedding)), h, w)
    }
    return latentV(output, zT, logSnr, deviation)
  })

/** The base model: v̂ of the latent [B, c, h, w] from z_t, λ and conditions. */
export type Base = (reads: BaseReads) => Value

/** The base model as a network, with the parameters of its conditions under their names among its own. */
export const baseNetwork = (
  config: BaseConfig,
  conditions: Readonly<Record<string, Network<ConditionEmbedding>>>,
): Network<Base> => {
  const spec = baseSpec(config)
  const own = Object.entries(conditions)
  return {
    spec: { ...spec, ...Object.fromEntries(own.map(([name, condition]) => [name, condition.spec])) },
    bind: (lookUp, path) => {
      const p = bindParams(spec, lookUp, path)
      const embeddings = own.map(([name, condition]) => condition.bind(lookUp, `${path}.${name}`))
      return (reads) => baseV(p, config, embeddings, reads)
    },
  }
}
