/**
 * @file Decoder D: a residual U-ViT that denoises the image given the noisy latent (method.md sections 3 and 5). The latent enters where the grids coincide, at the transformer.
 */
import { scope, type Value } from '../../engine/ir/graph.ts'
import {
  applyLinear,
  biasedConv,
  biasedConvSpec,
  down,
  downSpec,
  type LinearSpec,
  type LogSnrSpec,
  linearSpec,
  logSnrEmbedding,
  logSnrSpec,
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
import { type Network, networkOf } from '../../engine/nn/network.ts'
import type { ParamSpec, Params } from '../../engine/nn/params.ts'
import { stack, stackSpec } from '../../engine/nn/transformer.ts'
import { depthToSpace, spaceToDepth } from '../../engine/ops/conv.ts'
import { add, sub } from '../../engine/ops/core.ts'
import type { DropoutKey } from '../../engine/ops/dropout.ts'
import { imageV } from '../diffusion/precondition.ts'
import { type DecoderSizes, halvings, stageChannels } from './config.ts'
import { patchChannels } from './shapes.ts'

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

export type DecoderSpec = {
  readonly logSnr: LogSnrSpec
  /** Of the latent's own noise, where it differs from image to image (`variant.priorBias`); else empty. */
  readonly latentLogSnr: readonly LogSnrSpec[]
  readonly in: ReturnType<typeof biasedConvSpec>
  readonly latent: LinearSpec
  readonly levels: readonly LevelSpec[]
  readonly blocks: ReturnType<typeof stackSpec>
  readonly norm: ReturnType<typeof normSiluSpec>
  readonly out: ReturnType<typeof biasedConvSpec>
}

/** The decoder's sizes, what it reads and what it writes. */
export interface DecoderConfig extends DecoderSizes {
  readonly imageChannels: number
  readonly latentChannels: number
  /** Pixels per latent position along height and width. */
  readonly downsample: number
  /** Whether it is told the latent's own noise, because that differs from image to image. */
  readonly seesLatentNoise: boolean
  readonly recompute: boolean
}

/** Parameters of the decoder. */
export const decoderSpec = (network: DecoderConfig): DecoderSpec => {
  const { patch, channels, convBlocks, width, imageChannels, latentChannels } = network
  const all = [...stageChannels(channels, halvings(patch, network.downsample)), width]
  const outer = all[0]
  return {
    logSnr: logSnrSpec(width),
    latentLogSnr: network.seesLatentNoise ? [logSnrSpec(width)] : [],
    in: biasedConvSpec(patchChannels(imageChannels, patch), outer, 3),
    latent: linearSpec(latentChannels, width),
    levels: all.slice(0, -1).map((c, i) => levelSpec(c, all[i + 1], convBlocks, width)),
    blocks: stackSpec(network, width),
    norm: normSiluSpec(outer),
    out: biasedConvSpec(outer, patchChannels(imageChannels, patch), 3, 0),
  }
}

/** What the decoder reads. */
export interface DecoderReads {
  /** [B, 3, H, W] */
  readonly xT: Value
  /** [B, c, h, w] */
  readonly z0: Value
  /** λ of xT and of z0, [B] */
  readonly logSnr: Value
  readonly z0LogSnr: Value
  /** Drives dropout; absent at evaluation. */
  readonly dropout?: DropoutKey | undefined
}

/** v̂ of the image [B, 3, H, W]. */
export const decoderV = (
  p: Params<DecoderSpec>,
  network: DecoderConfig,
  { xT, z0, logSnr, z0LogSnr, dropout: key }: DecoderReads,
): Value =>
  scope('decoder', () => {
    const { patch, width, headWidth, dropout, recompute } = network
    const [, , gridH, gridW] = z0.shape as [number, number, number, number]
    const embedding = p.latentLogSnr.reduce(
      (sum, own) => add(sum, logSnrEmbedding(own, z0LogSnr)),
      logSnrEmbedding(p.logSnr, logSnr),
    ) // [B, D]
    let h = biasedConv(p.in, spaceToDepth(xT, patch)) // [B, C0, H/patch, W/patch]
    const skips: { readonly before: Value; readonly after: Value }[] = []
    for (const [i, level] of p.levels.entries()) {
      const before = scope(`down/${i}`, () => resBlocks(level.before, h, { embedding, recompute }))
      h = down(level.down, before)
      skips.push({ before, after: h })
    }
    const positions = positionTable([gridH, gridW], width)
    const latentTokens = add(applyLinear(p.latent, toTokens(z0)), positions) // [B, N, D]
    const tokens = add(toTokens(h), latentTokens)
    const mixed = stack(p.blocks, tokens, { name: 'middle', embedding, headWidth, dropout, key, recompute })
    h = toMaps(mixed, gridH, gridW) // [B, D, h, w]
    // Residual U-Net: each level adds only what the levels below it changed (SiD2, Hoogeboom et al. 2024).
    for (const [i, level] of [...p.levels.entries()].reverse()) {
      const skip = skips[i]
      const joined = add(up(level.up, sub(h, skip.after)), skip.before)
      h = scope(`up/${i}`, () => resBlocks(level.after, joined, { embedding, recompute }))
    }
    const out = depthToSpace(biasedConv(p.out, normSilu(p.norm, h)), patch) // [B, 3, H, W]
    return imageV(out, xT, logSnr, network.deviation)
  })

/** D: v̂ of the image [B, 3, H, W] from x_t, z_0 and their λ. */
export type Decoder = (reads: DecoderReads) => Value

/** The decoder as a network. */
export const decoderNetwork = (config: DecoderConfig): Network<Decoder> =>
  networkOf(decoderSpec(config), (p) => (reads) => decoderV(p, config, reads))
