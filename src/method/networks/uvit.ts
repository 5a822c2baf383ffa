/**
 * @file A residual U-ViT: convolutional stages from full resolution down to a grid, a transformer on it, and up again
 * (method.md section 5). The decoder is one that also reads a latent; the base model of pixels may be one (`base.uvit`).
 */
import { scope, type Value } from '../../engine/ir/graph.ts'
import {
  biasedConv,
  biasedConvSpec,
  down,
  downSpec,
  normSilu,
  normSiluSpec,
  positionTable,
  resBlockSpec,
  resBlocks,
  toMaps,
  toTokens,
  up,
  upSpec,
} from '../../engine/nn/layers.ts'
import type { ParamSpec, Params } from '../../engine/nn/params.ts'
import { stack, stackSpec } from '../../engine/nn/transformer.ts'
import { add, sub } from '../../engine/ops/core.ts'
import type { DropoutKey } from '../../engine/ops/dropout.ts'

type LevelSpec = {
  readonly before: readonly ReturnType<typeof resBlockSpec>[]
  readonly down: ParamSpec
  readonly up: ParamSpec
  readonly after: readonly ReturnType<typeof resBlockSpec>[]
}

const levelSpec = (channels: number, next: number, convBlocks: number, dEmbedding: number): LevelSpec => ({
  before: Array.from({ length: convBlocks }, () => resBlockSpec(channels, dEmbedding)),
  down: downSpec(channels, next),
  up: upSpec(next, channels),
  after: Array.from({ length: convBlocks }, () => resBlockSpec(channels, dEmbedding)),
})

export type UvitSpec = {
  readonly in: ReturnType<typeof biasedConvSpec>
  readonly levels: readonly LevelSpec[]
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
  readonly recompute: boolean
}

/** Parameters of a U-ViT, without those of the embedding. The last layer starts at zero. */
export const uvitSpec = (network: UvitConfig): UvitSpec => {
  const { io, stages, convBlocks, width } = network
  const all = [...stages, width]
  return {
    in: biasedConvSpec(io, all[0], 3),
    levels: stages.map((c, i) => levelSpec(c, all[i + 1], convBlocks, width)),
    blocks: stackSpec(network, width),
    norm: normSiluSpec(all[0]),
    out: biasedConvSpec(all[0], io, 3, 0),
  }
}

/** What a U-ViT reads besides its maps. */
export interface UvitReads {
  /** Conditions every block, [B, D]. */
  readonly embedding: Value
  /**
   * Traces what is added to the tokens of the smallest grid [B, N, D]; absent where only positions are. Asked for after the way
   * down: gradients add up in the order of the nodes, and another order rounds otherwise.
   */
  readonly tokens?: () => Value
  /** Drives dropout; absent at evaluation. */
  readonly dropout?: DropoutKey | undefined
}

/** Maps [B, C, H, W] of maps of the same shape. */
export const uvit = (p: Params<UvitSpec>, network: UvitConfig, x: Value, reads: UvitReads): Value => {
  const { width, headWidth, dropout, recompute } = network
  const { embedding, tokens: given, dropout: key } = reads
  let h = biasedConv(p.in, x) // [B, C0, H, W]
  const skips: { readonly before: Value; readonly after: Value }[] = []
  for (const [i, level] of p.levels.entries()) {
    const before = scope(`down/${i}`, () => resBlocks(level.before, h, { embedding, recompute }))
    h = down(level.down, before)
    skips.push({ before, after: h })
  }
  const [, , gridH, gridW] = h.shape as [number, number, number, number]
  const positions = positionTable([gridH, gridW], width)
  const added = given === undefined ? positions : add(given(), positions)
  const tokens = add(toTokens(h), added) // [B, N, D]
  const mixed = stack(p.blocks, tokens, { name: 'middle', embedding, headWidth, dropout, key, recompute })
  h = toMaps(mixed, gridH, gridW) // [B, D, h, w]
  // Residual U-Net: each level adds only what the levels below it changed (SiD2, Hoogeboom et al. 2024).
  for (const [i, level] of [...p.levels.entries()].reverse()) {
    const skip = skips[i]
    const joined = add(up(level.up, sub(h, skip.after)), skip.before)
    h = scope(`up/${i}`, () => resBlocks(level.after, joined, { embedding, recompute }))
  }
  return biasedConv(p.out, normSilu(p.norm, h))
}
