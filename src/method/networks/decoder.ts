/**
 * @file Decoder D: a residual U-ViT that denoises the image given the noisy latent (method.md sections 3 and 5). The latent enters where the grids coincide, at the transformer.
 */
import { scope, type Value } from '../../engine/ir/graph.ts'
import {
  applyLinear,
  type LinearSpec,
  type LogSnrSpec,
  linearSpec,
  logSnrEmbedding,
  logSnrSpec,
  toTokens,
} from '../../engine/nn/layers.ts'
import { type Network, networkOf } from '../../engine/nn/network.ts'
import type { Params } from '../../engine/nn/params.ts'
import { depthToSpace, spaceToDepth } from '../../engine/ops/conv.ts'
import { add } from '../../engine/ops/core.ts'
import type { DropoutKey } from '../../engine/ops/dropout.ts'
import { imageV } from '../diffusion/precondition.ts'
import { type DecoderSizes, halvings, stageChannels } from './config.ts'
import { patchChannels } from './shapes.ts'
import { type UvitConfig, type UvitSpec, uvit, uvitSpec } from './uvit.ts'

export type DecoderSpec = UvitSpec & {
  readonly logSnr: LogSnrSpec
  /** Of the latent's own noise, where it differs from image to image (`variant.priorBias`); else empty. */
  readonly latentLogSnr: readonly LogSnrSpec[]
  readonly latent: LinearSpec
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

/** Its U-ViT: from the patch grid down to the latent grid. */
const uvitOf = (network: DecoderConfig): UvitConfig => ({
  io: patchChannels(network.imageChannels, network.patch),
  stages: stageChannels(network.channels, halvings(network.patch, network.downsample)),
  convBlocks: network.convBlocks,
  width: network.width,
  blocks: network.blocks,
  headWidth: network.headWidth,
  dropout: network.dropout,
  recompute: network.recompute,
})

/** Parameters of the decoder. */
export const decoderSpec = (network: DecoderConfig): DecoderSpec => {
  const { width, latentChannels, seesLatentNoise } = network
  const { in: first, ...rest } = uvitSpec(uvitOf(network))
  return {
    logSnr: logSnrSpec(width),
    latentLogSnr: seesLatentNoise ? [logSnrSpec(width)] : [],
    in: first,
    latent: linearSpec(latentChannels, width),
    ...rest,
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
  { xT, z0, logSnr, z0LogSnr, dropout }: DecoderReads,
): Value =>
  scope('decoder', () => {
    const embedding = p.latentLogSnr.reduce(
      (sum, own) => add(sum, logSnrEmbedding(own, z0LogSnr)),
      logSnrEmbedding(p.logSnr, logSnr),
    ) // [B, D]
    const tokens = (): Value => applyLinear(p.latent, toTokens(z0)) // [B, N, D]
    const patches = spaceToDepth(xT, network.patch) // [B, 3·patch², H/patch, W/patch]
    const out = uvit(p, uvitOf(network), patches, { embedding, tokens, dropout })
    return imageV(depthToSpace(out, network.patch), xT, logSnr, network.deviation)
  })

/** D: v̂ of the image [B, 3, H, W] from x_t, z_0 and their λ. */
export type Decoder = (reads: DecoderReads) => Value

/** The decoder as a network. */
export const decoderNetwork = (config: DecoderConfig): Network<Decoder> =>
  networkOf(decoderSpec(config), (p) => (reads) => decoderV(p, config, reads))
