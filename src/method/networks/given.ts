/**
 * @file Frames of a clip that are given, the rest to be generated (method.md section 5: five given, eleven generated). Networks
 * see their encoding, made of a clip that goes on with copies of the last of them, and a mask beside it. What a network makes of
 * that starts at zero.
 */
import { sizeOf } from '../../engine/host/tensor.ts'
import type { Value } from '../../engine/ir/graph.ts'
import {
  applyLinear,
  type BiasedConvSpec,
  biasedConv,
  biasedConvSpec,
  type LinearSpec,
  linearSpec,
  toTokens,
} from '../../engine/nn/layers.ts'
import type { Params } from '../../engine/nn/params.ts'
import { framesOf } from '../../engine/nn/time.ts'
import { spaceToDepth } from '../../engine/ops/conv.ts'
import { expand, mul, reduceMax, reshape } from '../../engine/ops/core.ts'
import { concat } from '../../engine/ops/slice.ts'
import type { TimeSizes } from './config.ts'
import { patchChannels } from './shapes.ts'

/** What is given of clips. */
export interface Given {
  /** The clean latent of the given frames, [B, c, T/time, h, w]; not read where nothing is given. */
  readonly z: Value
  /** 1 for each given frame, else 0, [B, T]. */
  readonly mask: Value
}

/** What is given, with the clip that was encoded. */
export interface GivenFrames extends Given {
  /** [B, 3, T, H, W] */
  readonly frames: Value
}

/** Parameters of `givenTokens`. */
export const givenSpec = (channels: number, { downsample }: TimeSizes, width: number): LinearSpec =>
  linearSpec(channels + downsample, width, 0)

/** The given latent as tokens [B, N, D], zeros where nothing is given. */
export const givenTokens = (p: Params<LinearSpec>, { z, mask }: Given): Value => {
  const [B, , frames, ...grid] = z.shape
  const [n, perFrame] = [sizeOf(grid), mask.shape[1] / frames]
  const isGiven = reshape(reduceMax(mask, [1]), [B, 1, 1]) // 1 where some frame is
  const masks = expand(reshape(mask, [B, frames, 1, perFrame]), [B, frames, n, perFrame])
  const tokens = concat([mul(toTokens(z), isGiven), reshape(masks, [B, frames * n, perFrame])], 2)
  return applyLinear(p, tokens)
}

/** Parameters of `givenMaps`. */
export const givenMapsSpec = (imageChannels: number, patch: number, channels: number): BiasedConvSpec =>
  biasedConvSpec(patchChannels(imageChannels + 1, patch), channels, 3, 0)

/** The given frames themselves, and the mask as one more colour, as maps of the patch grid [B·T, C, H/patch, W/patch]. */
export const givenMaps = (p: Params<BiasedConvSpec>, { frames, mask }: GivenFrames, patch: number): Value => {
  const [B, , T, H, W] = frames.shape as [number, number, number, number, number]
  const shown = expand(reshape(mask, [B, 1, T, 1, 1]), [B, 1, T, H, W])
  const seen = concat([mul(frames, shown), shown], 1) // [B, 4, T, H, W]
  return biasedConv(p, spaceToDepth(framesOf(seen), patch))
}
