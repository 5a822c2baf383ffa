/**
 * @file Decoder D: a residual U-ViT that denoises the image given the noisy latent (method.md sections 3 and 5). The latent enters where the grids coincide, at the transformer.
 */
import { scope, type Value } from '../../engine/ir/graph.ts'
import {
  applyLinear,
  type BiasedConvSpec,
  type LinearSpec,
  type LogSnrSpec,
  linearSpec,
  logSnrEmbedding,
  logSnrSpec,
  toTokens,
} from '../../engine/nn/layers.ts'
import { type Network, networkOf } from '../../engine/nn/network.ts'
import type { Params } from '../../engine/nn/params.ts'
import { clipsLike, framesOf } from '../../engine/nn/time.ts'
import { depthToSpace, spaceToDepth } from '../../engine/ops/conv.ts'
import { add } from '../../engine/ops/core.ts'
import type { DropoutKey } from '../../engine/ops/dropout.ts'
import { imageV } from '../diffusion/precondition.ts'
import { type DecoderSizes, halvings, stageChannels, type TimeSizes } from './config.ts'
import { type GivenFrames, givenMaps, givenMapsSpec, givenSpec, givenTokens } from './given.ts'
import { patchChannels } from './shapes.ts'
import { type UvitConfig, type UvitSpec, uvit, uvitSpec } from './uvit.ts'

export type DecoderSpec = UvitSpec & {
  readonly logSnr: LogSnrSpec
  /** Of the latent's own noise, where it differs from image to image (`variant.priorBias`); else empty. */
  readonly latentLogSnr: readonly LogSnrSpec[]
  readonly latent: LinearSpec
  /** Of the given frames of clips: one each. */
  readonly givenLatent: readonly LinearSpec[]
  readonly givenFrames: readonly BiasedConvSpec[]
}

/** The decoder's sizes, what it reads and what it writes. */
export interface DecoderConfig extends DecoderSizes {
  readonly imageChannels: number
  readonly latentChannels: number
  /** Pixels per latent position along height and width. */
  readonly downsample: number
  /** Whether it is told the latent's own noise, because that differs from image to image. */
  readonly seesLatentNoise: boolean
  /** Of clips; absent for images. */
  readonly time?: TimeSizes | undefined
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
  time: network.time,
  recompute: network.recompute,
})

/** Parameters of the decoder. */
export const decoderSpec = (network: DecoderConfig): DecoderSpec => {
  const { width, latentChannels, seesLatentNoise, imageChannels, patch, time } = network
  const { in: first, ...rest } = uvitSpec(uvitOf(network))
  return {
    logSnr: logSnrSpec(width),
    latentLogSnr: seesLatentNoise ? [logSnrSpec(width)] : [],
    in: first,
    latent: linearSpec(latentChannels, width),
    givenLatent: time === undefined ? [] : [givenSpec(latentChannels, time, width)],
    givenFrames: time === undefined ? [] : [givenMapsSpec(imageChannels, patch, first.weight.shape[0])],
    ...rest,
  }
}

/** What the decoder reads. */
export interface DecoderReads {
  /** [B, 3, H, W]; clips [B, 3, T, H, W] */
  readonly xT: Value
  /** [B, c, h, w]; of clips [B, c, T/time, h, w] */
  readonly z0: Value
  /** What is given of clips; absent for images. */
  readonly given?: GivenFrames | undefined
  /** λ of xT and of z0, [B] */
  readonly logSnr: Value
  readonly z0LogSnr: Value
  /** Drives dropout; absent at evaluation. */
  readonly dropout?: DropoutKey | undefined
}

/** v̂ of the image or clip, shaped as x_t. */
export const decoderV = (
  p: Params<DecoderSpec>,
  network: DecoderConfig,
  { xT, z0, given, logSnr, z0LogSnr, dropout }: DecoderReads,
): Value =>
  scope('decoder', () => {
    const embedding = p.latentLogSnr.reduce(
      (sum, own) => add(sum, logSnrEmbedding(own, z0LogSnr)),
      logSnrEmbedding(p.logSnr, logSnr),
    ) // [B, D]
    const tokens = (): Value =>
      p.givenLatent.reduce(
        (sum, own) => (given === undefined ? sum : add(sum, givenTokens(own, given))),
        applyLinear(p.latent, toTokens(z0)),
      ) // [B, N, D]
    const patches = spaceToDepth(framesOf(xT), network.patch) // [B·T, 3·patch², H/patch, W/patch]
    const start = given && givenMaps(p.givenFrames[0], given, network.patch)
    const out = uvit(p, uvitOf(network), patches, { embedding, start, tokens, dropout })
    return imageV(clipsLike(depthToSpace(out, network.patch), xT), xT, logSnr, network.deviation)
  })

/** D: v̂ of the image, or clip, from x_t, z_0 and their λ. */
export type Decoder = (reads: DecoderReads) => Value

/** The decoder as a network. */
export const decoderNetwork = (config: DecoderConfig): Network<Decoder> =>
  networkOf(decoderSpec(config), (p) => (reads) => decoderV(p, config, reads))
