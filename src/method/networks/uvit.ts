/**
 * @file A residual U-ViT: convolutional stages from full resolution down to a grid, a transformer on it, and up again
 * (method.md section 5). The decoder is one that also reads a latent; the base model of pixels may be one (`base.uvit`).
 */
import { sizeOf } from '../../engine/host/tensor.ts'
import { scope, type Value } from '../../engine/ir/graph.ts'
import {
  biasedConv,
  biasedConvSpec,
  down,
  downSpec,
  normSilu,
  normSiluSpec,
  resBlockSpec,
  resBlocks,
  toMaps,
  toTokens,
  up,
  upSpec,
} from '../../engine/nn/layers.ts'
import type { ParamSpec, Params } from '../../engine/nn/params.ts'
import {
  perFrame,
  positions,
  type TimeBlockSpec,
  timeBlockSpec,
  timeBlocks,
  timeDown,
  timeDownSpec,
  timePositionSpec,
  timeUp,
  timeUpSpec,
} from '../../engine/nn/time.ts'
import { stack, stackSpec } from '../../engine/nn/transformer.ts'
import { add, reshape, sub } from '../../engine/ops/core.ts'
import type { DropoutKey } from '../../engine/ops/dropout.ts'
import { type TimeSizes, timeHalvings } from './config.ts'

type LevelSpec = {
  readonly before: readonly ReturnType<typeof resBlockSpec>[]
  readonly timeBefore: readonly TimeBlockSpec[]
  readonly down: ParamSpec
  readonly timeDown: readonly ParamSpec[]
  readonly timeUp: readonly ParamSpec[]
  readonly up: ParamSpec
  readonly after: readonly ReturnType<typeof resBlockSpec>[]
  readonly timeAfter: readonly TimeBlockSpec[]
}

/** @param at the level's channels, those of the next, and how often time is halved between them */
const levelSpec = (
  { convBlocks, width, time }: Pick<UvitConfig, 'convBlocks' | 'width' | 'time'>,
  at: { readonly channels: number; readonly next: number; readonly halved: number },
): LevelSpec => {
  const { channels, next, halved } = at
  const inSpace = () => Array.from({ length: convBlocks }, () => resBlockSpec(channels, width))
  const overTime = () => (time === undefined ? [] : [timeBlockSpec(channels, time.kernel)])
  return {
    before: inSpace(),
    timeBefore: overTime(),
    down: downSpec(channels, next),
    timeDown: Array.from({ length: halved }, () => timeDownSpec(next)),
    timeUp: Array.from({ length: halved }, () => timeUpSpec(next)),
    up: upSpec(next, channels),
    after: inSpace(),
    timeAfter: overTime(),
  }
}

export type UvitSpec = {
  readonly in: ReturnType<typeof biasedConvSpec>
  readonly levels: readonly LevelSpec[]
  /** One for clips. */
  readonly timePosition: readonly ParamSpec[]
  readonly blocks: ReturnType<typeof stackSpec>
  readonly norm: ReturnType<typeof normSiluSpec>
  readonly out: ReturnType<typeof biasedConvSpec>
}

/** A U-ViT's sizes, every stage of it given. */
export interface UvitConfig {
  /** Channels that it reads and writes. */
  readonly io: number
  /** Channels of each convolutional stage; every stage halves the grid after it. */
  readonly stages: readonly number[]
  /** Residual blocks per stage, on the way down and again on the way up. */
  readonly convBlocks: number
  /** Of the transformer on the smallest grid; its width is the embedding's, too. */
  readonly width: number
  readonly blocks: number
  readonly headWidth: number
  readonly dropout: number
  /** Of clips; absent for images. */
  readonly time?: TimeSizes | undefined
  readonly recompute: boolean
}

/** Parameters of a U-ViT, without those of the embedding. The last layer starts at zero. */
export const uvitSpec = (network: UvitConfig): UvitSpec => {
  const { io, stages, width, time } = network
  const all = [...stages, width]
  const inTime = timeHalvings(time, stages.length)
  return {
    in: biasedConvSpec(io, all[0], 3),
    levels: stages.map((channels, i) =>
      levelSpec(network, { channels, next: all[i + 1], halved: inTime[i] }),
    ),
    timePosition: time === undefined ? [] : [timePositionSpec(width)],
    blocks: stackSpec({ ...network, isFactorised: time?.attention === 'factorised' }, width),
    norm: normSiluSpec(all[0]),
    out: biasedConvSpec(all[0], io, 3, 0),
  }
}

/** What a U-ViT reads besides its maps. */
export interface UvitReads {
  /** Conditions every block, [B, D]. */
  readonly embedding: Value
  /** What is added to the features of the full grid, [B·T, C0, H, W]; absent where nothing is. */
  readonly start?: Value | undefined
  /**
   * Traces what is added to the tokens of the smallest grid [B, N, D]; absent where only positions are. Asked for after the way
   * down: gradients add up in the order of the nodes, and another order rounds otherwise.
   */
  readonly tokens?: () => Value
  /** Drives dropout; absent at evaluation. */
  readonly dropout?: DropoutKey | undefined
}

/** Maps [B, C, H, W] of maps of the same shape; of clips those of all frames, [B·T, C, H, W]. */
export const uvit = (p: Params<UvitSpec>, network: UvitConfig, x: Value, reads: UvitReads): Value => {
  const { width, headWidth, dropout, recompute } = network
  const { embedding, start, tokens: given, dropout: key } = reads
  const [B] = embedding.shape
  const framesIn = (maps: Value): number => maps.shape[0] / B
  const conditioned = (maps: Value) => ({ embedding: perFrame(embedding, framesIn(maps)), recompute })
  const features = biasedConv(p.in, x) // [B·T, C0, H, W]
  let h = start === undefined ? features : add(features, start)
  const skips: { readonly before: Value; readonly after: Value }[] = []
  for (const [i, level] of p.levels.entries()) {
    const before = scope(`down/${i}`, () =>
      timeBlocks(level.timeBefore, resBlocks(level.before, h, conditioned(h)), B),
    )
    h = level.timeDown.reduce((v, weight) => timeDown(weight, v), down(level.down, before))
    skips.push({ before, after: h })
  }
  const frames = framesIn(h)
  const grid = h.shape.slice(2) // h, w
  const n = sizeOf(grid)
  const table = positions(p.timePosition, [frames, ...grid], width)
  const added = given === undefined ? table : add(given(), table)
  const tokens = add(reshape(toTokens(h), [B, frames * n, width]), added) // [B, T·N, D]
  const context = { name: 'middle', frames, embedding, headWidth, dropout, key, recompute }
  const mixed = stack(p.blocks, tokens, context)
  h = toMaps(reshape(mixed, [B * frames, n, width]), grid) // [B·T, D, h, w]
  // Residual U-Net: each level adds only what the levels below it changed (SiD2, Hoogeboom et al. 2024).
  for (const [i, level] of [...p.levels.entries()].reverse()) {
    const skip = skips[i]
    const longer = level.timeUp.reduce((v, weight) => timeUp(weight, v), sub(h, skip.after))
    const joined = add(up(level.up, longer), skip.before)
    h = scope(`up/${i}`, () =>
      timeBlocks(level.timeAfter, resBlocks(level.after, joined, conditioned(joined)), B),
    )
  }
  return biasedConv(p.out, normSilu(p.norm, h))
}
