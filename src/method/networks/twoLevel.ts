/** @file The two-level transformer of the paper's base model (method.md section 5): half of the first level's blocks before and half after the second. */
import type { Value } from '../../engine/ir/graph.ts'
import {
  applyLinear,
  filmSpec,
  filmTokens,
  type LinearSpec,
  linearSpec,
  norm,
  positionTable,
  toMaps,
  toTokens,
} from '../../engine/nn/layers.ts'
import type { Params } from '../../engine/nn/params.ts'
import { stack, stackSpec } from '../../engine/nn/transformer.ts'
import { depthToSpace, spaceToDepth } from '../../engine/ops/conv.ts'
import { add, sub } from '../../engine/ops/core.ts'
import type { DropoutKey } from '../../engine/ops/dropout.ts'
import type { TwoLevelSizes } from './config.ts'

export type TwoLevelSpec = {
  readonly in: LinearSpec
  readonly before: ReturnType<typeof stackSpec>
  readonly down: LinearSpec
  readonly middle: ReturnType<typeof stackSpec>
  readonly up: LinearSpec
  readonly after: ReturnType<typeof stackSpec>
  readonly film: LinearSpec
  readonly out: LinearSpec
}

/** Its sizes and the channels that it reads and writes. */
export interface TwoLevelConfig extends TwoLevelSizes {
  readonly channels: number
  readonly recompute: boolean
}

/** Parameters; the second level's width is the embedding's. The last layer starts at zero. */
export const twoLevelSpec = (network: TwoLevelConfig): TwoLevelSpec => {
  const { widths, blocks, headWidth, dropout, channels } = network
  const [outer, inner] = widths
  const first = Math.ceil(blocks[0] / 2)
  const level = (width: number, count: number) =>
    stackSpec({ width, blocks: count, headWidth, dropout }, inner)
  return {
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

/** Latents [B, c, h, w] of latents. @param reads the embedding of all blocks [B, E], and what drives dropout */
export const twoLevel = (
  p: Params<TwoLevelSpec>,
  network: TwoLevelConfig,
  given: Value,
  { embedding, dropout: key }: { readonly embedding: Value; readonly dropout?: DropoutKey | undefined },
): Value => {
  const { headWidth, dropout, recompute } = network
  const [outer, inner] = network.widths
  const [, , h, w] = given.shape as [number, number, number, number]
  const level = (name: string, blocks: typeof p.before, x: Value): Value =>
    stack(blocks, x, { name, embedding, headWidth, dropout, key, recompute })
  const tokens = add(applyLinear(p.in, toTokens(given)), positionTable([h, w], outer)) // [B, hw, D1]
  const fine = level('before', p.before, tokens)
  const merged = toTokens(spaceToDepth(toMaps(fine, h, w), 2)) // [B, hw/4, 4·D1]
  const coarse = add(applyLinear(p.down, merged), positionTable([h / 2, w / 2], inner)) // [B, hw/4, D2]
  const change = sub(level('middle', p.middle, coarse), coarse)
  const spread = toTokens(depthToSpace(toMaps(applyLinear(p.up, change), h / 2, w / 2), 2)) // [B, hw, D1]
  const joined = level('after', p.after, add(fine, spread))
  return toMaps(applyLinear(p.out, filmTokens(p.film, norm(joined), embedding)), h, w)
}
