/** @file Layers shared by all networks. Each is a pair: `xSpec` describes parameters, `x` applies them. */

import { float32, type Shape, sizeOf } from '../host/tensor.ts'
import { segment, type Value } from '../ir/graph.ts'
import { conv2d, depthToSpace, spaceToDepth } from '../ops/conv.ts'
import { add, constant, cos, mul, reshape, silu, sin, transpose } from '../ops/core.ts'
import { filled } from '../ops/emit.ts'
import { linear } from '../ops/matmul.ts'
import { groupNorm, rmsNorm } from '../ops/norm.ts'
import { split } from '../ops/slice.ts'
import { type Params, param, type Spec } from './params.ts'

// ---- linear and convolution -------------------------------------------------------------------------------------

/** Initial gain of a layer: 1 keeps the variance, 0 starts the branch at zero. */
type Gain = 0 | 1

type LinearSpec = { readonly weight: ReturnType<typeof param>; readonly bias: ReturnType<typeof param> }

/** y = x·W + b with W [dIn, dOut]. */
export const linearSpec = (dIn: number, dOut: number, gain: Gain = 1): LinearSpec => ({
  weight: param([dIn, dOut], gain / Math.sqrt(dIn)),
  bias: param([dOut], 0),
})

/** Applies a linear layer over the last axis. */
export const applyLinear = (p: Params<LinearSpec>, x: Value): Value => linear(x, p.weight, p.bias)

/** Kernel [cOut, cIn, size, size] of a convolution without bias. */
export const convSpec = (cIn: number, cOut: number, size: number, gain: Gain = 1): ReturnType<typeof param> =>
  param([cOut, cIn, size, size], gain / Math.sqrt(cIn * size * size))

export type BiasedConvSpec = {
  readonly weight: ReturnType<typeof param>
  readonly bias: ReturnType<typeof param>
}

/** A convolution with bias, for the ends of a network; inside blocks a norm's shift follows and no bias is needed. */
export const biasedConvSpec = (cIn: number, cOut: number, size: number, gain: Gain = 1): BiasedConvSpec => ({
  weight: convSpec(cIn, cOut, size, gain),
  bias: param([cOut, 1, 1], 0),
})

/** Applies a convolution with bias to [B, C, H, W]. */
export const biasedConv = (p: Params<BiasedConvSpec>, x: Value): Value => add(conv2d(x, p.weight), p.bias)

// ---- conditioning -----------------------------------------------------------------------------------------------

const frequencies = 32

type LogSnrSpec = { readonly hidden: LinearSpec; readonly out: LinearSpec }

/** Embedding of the log-SNR: sines and cosines, then two linear layers. */
export const logSnrSpec = (width: number): LogSnrSpec => ({
  hidden: linearSpec(2 * frequencies, width),
  out: linearSpec(width, width),
})

/**
 * λ [B] → [B, E]. Networks see λ, not t, so that they do not depend on the schedule (as in simple diffusion, Hoogeboom et al. 2023). Angular
 * frequencies run from 1/16 to 4, so λ in [−15, 15] neither wraps nor blurs (ours).
 */
export const logSnrEmbedding = (p: Params<LogSnrSpec>, logSnr: Value): Value => {
  const [B] = logSnr.shape as [number]
  const frequency = Array.from({ length: frequencies }, (_, i) => 4 * 64 ** (i / (frequencies - 1) - 1))
  const angle = mul(reshape(logSnr, [B, 1]), constant(float32([1, frequencies], frequency))) // [B, F]
  const hidden = add(
    linear(sin(angle), sliceRows(p.hidden.weight, 0), p.hidden.bias),
    linear(cos(angle), sliceRows(p.hidden.weight, 1)),
  )
  return silu(applyLinear(p.out, silu(hidden)))
}

const sliceRows = (weight: Value, half: 0 | 1): Value => split(weight, 0, [frequencies, frequencies])[half]

/** Scale and shift from the embedding (FiLM), starting as the identity. */
export const filmSpec = (dEmbedding: number, channels: number): LinearSpec =>
  linearSpec(dEmbedding, 2 * channels, 0)

/** h·(1 + scale) + shift for h [B, N, D]. */
export const filmTokens = (p: Params<LinearSpec>, h: Value, embedding: Value): Value => {
  const [B, , D] = h.shape as [number, number, number]
  const [scale, shift] = split(reshape(applyLinear(p, embedding), [B, 1, 2 * D]), 2, [D, D]) // [B, 1, D]
  return add(mul(h, add(scale, 1)), shift)
}

/** h·(1 + scale) + shift for h [B, C, H, W]. */
export const filmMaps = (p: Params<LinearSpec>, h: Value, embedding: Value): Value => {
  const [B, C] = h.shape as [number, number, number, number]
  const [scale, shift] = split(reshape(applyLinear(p, embedding), [B, 2 * C, 1, 1]), 1, [C, C]) // [B, C, 1, 1]
  return add(mul(h, add(scale, 1)), shift)
}

// ---- residual block ---------------------------------------------------------------------------------------------

/** Channels per group of a group norm: eight, or all when there are fewer. */
const groupsOf = (channels: number): number => Math.max(1, Math.min(32, Math.floor(channels / 8)))

type AffineSpec = { readonly scale: ReturnType<typeof param>; readonly shift: ReturnType<typeof param> }
const affineSpec = (channels: number): AffineSpec => ({
  scale: param([channels, 1, 1], 0),
  shift: param([channels, 1, 1], 0),
})
const affine = (p: Params<AffineSpec>, h: Value): Value => add(mul(h, add(p.scale, 1)), p.shift)

export type NormSiluSpec = AffineSpec
/** Group norm with scale and shift, then SiLU. */
export const normSiluSpec: (channels: number) => NormSiluSpec = affineSpec
/** Applies group norm and SiLU to [B, C, H, W]. */
export const normSilu = (p: Params<NormSiluSpec>, x: Value): Value =>
  silu(affine(p, groupNorm(x, groupsOf(x.shape[1]))))

type ResBlockSpec = {
  readonly norm1: AffineSpec
  readonly conv1: ReturnType<typeof param>
  readonly norm2: AffineSpec | LinearSpec
  readonly conv2: ReturnType<typeof param>
}

/** norm–SiLU–conv–norm(FiLM)–SiLU–conv with a residual; the last convolution starts at zero. */
export const resBlockSpec = (channels: number, dEmbedding?: number): ResBlockSpec => ({
  norm1: affineSpec(channels),
  conv1: convSpec(channels, channels, 3),
  norm2: dEmbedding === undefined ? affineSpec(channels) : filmSpec(dEmbedding, channels),
  conv2: convSpec(channels, channels, 3, 0),
})

/** What residual blocks need besides their parameters and maps. */
export interface ResBlockContext {
  /** Conditioning [B, E], for specs made with an embedding width. */
  readonly embedding?: Value
  /** Whether the backward pass computes the block again instead of keeping its intermediates. */
  readonly recompute: boolean
}

/** Applies residual blocks to x [B, C, H, W] one after the other. */
export const resBlocks = (
  blocks: readonly Params<ResBlockSpec>[],
  x: Value,
  { embedding, recompute }: ResBlockContext,
): Value =>
  blocks.reduce(
    (h, p) => (recompute ? segment([h], () => resBlock(p, h, embedding)) : resBlock(p, h, embedding)),
    x,
  )

/** Applies a residual block to x [B, C, H, W], conditioned when the spec was made with an embedding width. */
export const resBlock = (p: Params<ResBlockSpec>, x: Value, embedding?: Value): Value => {
  const hidden = conv2d(normSilu(p.norm1, x), p.conv1)
  const normed = groupNorm(hidden, groupsOf(hidden.shape[1]))
  const conditioned = 'weight' in p.norm2 ? filmMaps(p.norm2, normed, embedding!) : affine(p.norm2, normed)
  return add(x, conv2d(silu(conditioned), p.conv2))
}

// ---- resolution -------------------------------------------------------------------------------------------------

/** [B, C, H, W] → [B, cOut, H/2, W/2]: patches of 2×2 into channels, then 1×1. */
export const downSpec = (cIn: number, cOut: number): ReturnType<typeof param> => convSpec(4 * cIn, cOut, 1)
export const down = (weight: Value, x: Value): Value => conv2d(spaceToDepth(x, 2), weight)

/** [B, C, H, W] → [B, cOut, 2H, 2W]: 1×1, then channels into patches of 2×2. */
export const upSpec = (cIn: number, cOut: number): ReturnType<typeof param> => convSpec(cIn, 4 * cOut, 1)
export const up = (weight: Value, x: Value): Value => depthToSpace(conv2d(x, weight), 2)

// ---- tokens -----------------------------------------------------------------------------------------------------

/** [B, C, …] → [B, N, C] with the N positions of all further axes in their order. */
export const toTokens = (x: Value): Value => {
  const [B, C, ...grid] = x.shape
  return transpose(reshape(x, [B, C, sizeOf(grid)]), [0, 2, 1])
}

/** [B, N, C] → [B, C, …grid], of which N is the product. */
export const toMaps = (x: Value, grid: Shape): Value => {
  const [B, , C] = x.shape as [number, number, number]
  return reshape(transpose(x, [0, 2, 1]), [B, C, ...grid])
}

/** A norm over the last axis without parameters, as a layer. */
export const norm: (x: Value) => Value = (x) => rmsNorm(x)

/**
 * Fixed sine–cosine positions of an n-axis grid, [∏ grid, width]: each axis gets an equal share of the channels, half
 * sine and half cosine at geometric frequencies from 1 to 1/100 (ours; any number of axes, so time can be one).
 */
export const positionTable = (grid: Shape, width: number): Value => {
  const count = sizeOf(grid)
  const table = filled([count, width], 0)
  const data = table.data as Float32Array
  const share = Math.floor(width / grid.length / 2)
  for (let i = 0; i < count; i++) {
    let rest = i
    for (let axis = grid.length - 1; axis >= 0; axis--) {
      const position = rest % grid[axis]
      rest = Math.floor(rest / grid[axis])
      for (let f = 0; f < share; f++) {
        const angle = position * 100 ** (-f / share)
        data[i * width + axis * 2 * share + f] = Math.sin(angle)
        data[i * width + axis * 2 * share + share + f] = Math.cos(angle)
      }
    }
  }
  return constant(table)
}

export type { LinearSpec, LogSnrSpec, Spec }
