/** @file The two-level transformer of the paper's base model (method.md section 5): half of the first level's blocks before and half after the second. */
import { sizeOf } from '../../engine/host/tensor.ts'
import type { Value } from '../../engine/ir/graph.ts'
import {
  applyLinear,
  filmSpec,
  filmTokens,
  type LinearSpec,
  linearSpec,
  norm,
  toMaps,
  toTokens,
} from '../../engine/nn/layers.ts'
import type { ParamSpec, Params } from '../../engine/nn/params.ts'
import { addClipMean, clipMeanSpec, framesOfGrid, positions, timePositionSpec } from '../../engine/nn/time.ts'
import { stack, stackSpec } from '../../engine/nn/transformer.ts'
import { depthToSpace, spaceToDepth } from '../../engine/ops/conv.ts'
import { add, reshape, sub } from '../../engine/ops/core.ts'
import type { DropoutKey } from '../../engine/ops/dropout.ts'
import type { TimeSizes, TwoLevelSizes } from './config.ts'

export type TwoLevelSpec = {
  readonly in: LinearSpec
  /** For both levels, of clips. */
  readonly timePosition: readonly ParamSpec[]
  /** One for clips. */
  readonly clipMean: readonly LinearSpec[]
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
  /** Of clips; absent for images. */
  readonly time?: TimeSizes | undefined
  readonly recompute: boolean
}

/** Parameters; the second level's width is the embedding's. The last layer starts at zero. */
export const twoLevelSpec = (network: TwoLevelConfig): TwoLevelSpec => {
  const { widths, blocks, headWidth, dropout, channels, time } = network
  const [outer, inner] = widths
  const first = Math.ceil(blocks[0] / 2)
  const level = (width: number, count: number) =>
    stackSpec(
      { width, blocks: count, headWidth, dropout, isFactorised: time?.attention === 'factorised' },
      inner,
    )
  return {
    in: linearSpec(channels, outer),
    timePosition: time === undefined ? [] : widths.map(timePositionSpec),
    clipMean: time === undefined ? [] : [clipMeanSpec(channels, outer)],
    before: level(outer, first),
    down: linearSpec(4 * outer, inner),
    middle: level(inner, blocks[1]),
    up: linearSpec(inner, 4 * outer),
    after: level(outer, blocks[0] - first),
    film: filmSpec(inner, outer),
    out: linearSpec(outer, channels, 0),
  }
}

/** What the backbone of a base model reads besides latents. */
export interface BackboneReads {
  /** Conditions every block, [B, E]. */
  readonly embedding: Value
  /** Added to the tokens of the latent's own grid, [B, N, D1]; absent where nothing is. */
  readonly added?: Value | undefined
  /** Drives dropout; absent at evaluation. */
  readonly dropout?: DropoutKey | undefined
}

/** Latents [B, c, h, w], of clips [B, c, T, h, w], of latents. */
export const twoLevel = (
  p: Params<TwoLevelSpec>,
  network: TwoLevelConfig,
  given: Value,
  { embedding, added, dropout: key }: BackboneReads,
): Value => {
  const { headWidth, dropout, recompute } = network
  const [outer, inner] = network.widths
  const [B] = given.shape
  const grid = given.shape.slice(2)
  const frames = framesOfGrid(grid)
  const [h, w] = grid.slice(-2)
  const half = [...grid.slice(0, -2), h / 2, w / 2]
  const [fineTime, coarseTime] = [p.timePosition.slice(0, 1), p.timePosition.slice(1)]
  const level = (name: string, blocks: typeof p.before, x: Value): Value =>
    stack(blocks, x, { name, frames, embedding, headWidth, dropout, key, recompute })
  /** Tokens of all frames as maps [B·T, D, …], and back. */
  const maps = (tokens: Value, shape: readonly number[]): Value =>
    toMaps(reshape(tokens, [B * frames, sizeOf(shape), tokens.shape[2]]), shape)
  const tokensOf = (x: Value): Value => {
    const tokens = toTokens(x)
    return reshape(tokens, [B, frames * tokens.shape[1], tokens.shape[2]])
  }
  const own = add(applyLinear(p.in, toTokens(given)), positions(fineTime, grid, outer)) // [B, N, D1]
  const placed = addClipMean(p.clipMean, own, given)
  const fine = level('before', p.before, added === undefined ? placed : add(placed, added))
  const merged = tokensOf(spaceToDepth(maps(fine, [h, w]), 2)) // [B, N/4, 4·D1]
  const coarse = add(applyLinear(p.down, merged), positions(coarseTime, half, inner)) // [B, N/4, D2]
  const change = sub(level('middle', p.middle, coarse), coarse)
  const spread = tokensOf(depthToSpace(maps(applyLinear(p.up, change), [h / 2, w / 2]), 2)) // [B, N, D1]
  const joined = level('after', p.after, add(fine, spread))
  return toMaps(applyLinear(p.out, filmTokens(p.film, norm(joined), embedding)), grid)
}
