/**
 * @file The time axis of clips. Networks work on maps of single frames, [B·T, C, H, W]: frames are examples, so that norms and
 * convolutions treat a clip's frames as images. Between frames only what is in this file mixes. All of it starts as what leaves
 * a still clip as its image is, so that the parameters of an image model are those of a model of clips.
 */
import type { Shape } from '../host/tensor.ts'
import type { Value } from '../ir/graph.ts'
import { conv2d } from '../ops/conv.ts'
import { add, expand, mul, reduceMean, reshape, transpose } from '../ops/core.ts'
import { concat, split } from '../ops/slice.ts'
import {
  applyLinear,
  type LinearSpec,
  linearSpec,
  type NormSiluSpec,
  normSilu,
  normSiluSpec,
  positionTable,
  toTokens,
} from './layers.ts'
import { type ParamSpec, type Params, param } from './params.ts'

/** Clips [B, C, T, H, W] as maps of all their frames, [B·T, C, H, W]; images [B, C, H, W] as they are. */
export const framesOf = (x: Value): Value => {
  if (x.shape.length === 4) return x
  const [B, C, T, H, W] = x.shape as [number, number, number, number, number]
  return reshape(transpose(reshape(x, [B, C, T, H * W]), [0, 2, 1, 3]), [B * T, C, H, W])
}

/** Maps of all frames as clips [B, C, T, H, W] or images again. @param like what `framesOf` was given: B, and whether it is clips */
export const clipsLike = (maps: Value, like: Value): Value => {
  if (like.shape.length === 4) return maps
  const [frames, C, H, W] = maps.shape as [number, number, number, number]
  const B = like.shape[0]
  const T = frames / B
  return reshape(transpose(reshape(maps, [B, T, C, H * W]), [0, 2, 1, 3]), [B, C, T, H, W])
}

/** What every example has once, [B, E], for each of its T frames: [B·T, E]. */
export const perFrame = (x: Value, frames: number): Value => {
  const [B, E] = x.shape as [number, number]
  if (frames === 1) return x
  return reshape(expand(reshape(x, [B, 1, E]), [B, frames, E]), [B * frames, E])
}

/** Kernel of a convolution over time. */
const timeKernel = (cIn: number, cOut: number, size: number): ParamSpec => param([cOut, cIn, size, 1], 0)

/** "Same" convolution over the T frames at every position of maps [B·T, C, H, W], as a 2-D one of [B, C, T, H·W]. */
export const timeConv = (kernel: Value, x: Value, frames: number): Value => {
  const [all, C, H, W] = x.shape as [number, number, number, number]
  const B = all / frames
  const byTime = transpose(reshape(x, [B, frames, C, H * W]), [0, 2, 1, 3]) // [B, C, T, H·W]
  const out = transpose(conv2d(byTime, kernel), [0, 2, 1, 3]) // [B, T, cOut, H·W]
  return reshape(out, [all, kernel.shape[0], H, W])
}

export type TimeBlockSpec = { readonly norm: NormSiluSpec; readonly kernel: ParamSpec }

/** A residual branch over time: norm–SiLU–convolution, which starts at zero. @param size frames of its kernel, odd */
export const timeBlockSpec = (channels: number, size: number): TimeBlockSpec => ({
  norm: normSiluSpec(channels),
  kernel: timeKernel(channels, channels, size),
})

/** Applies such branches one after the other to maps [B·T, C, H, W] of B clips. */
export const timeBlocks = (p: readonly Params<TimeBlockSpec>[], x: Value, B: number): Value =>
  p.reduce((h, own) => add(h, timeConv(own.kernel, normSilu(own.norm, h), h.shape[0] / B)), x)

/** [B·T, C, H, W] → [B·T/2, C, H, W]: the mean of two frames, and what is learned of how they differ. */
export const timeDownSpec = (channels: number): ParamSpec => param([channels, 2 * channels, 1, 1], 0)
export const timeDown = (weight: Value, x: Value): Value => {
  const [all, C, H, W] = x.shape as [number, number, number, number]
  const pairs = reshape(x, [all / 2, 2 * C, H, W]) // two frames as channels
  const [first, second] = split(pairs, 1, [C, C])
  return add(mul(add(first, second), 0.5), conv2d(pairs, weight))
}

/** [B·T, C, H, W] → [B·2T, C, H, W]: each frame twice, and what is learned of how the two differ. */
export const timeUpSpec = (channels: number): ParamSpec => param([2 * channels, channels, 1, 1], 0)
export const timeUp = (weight: Value, x: Value): Value => {
  const [all, C, H, W] = x.shape as [number, number, number, number]
  return reshape(add(concat([x, x], 1), conv2d(x, weight)), [2 * all, C, H, W])
}

/** What the mean of all frames adds to the tokens of each, nothing at first. @param channels of the clip */
export const clipMeanSpec = (channels: number, width: number): LinearSpec => linearSpec(channels, width, 0)

/**
 * Tokens [B, T·h·w, D] of a clip x [B, C, T, h, w], with what the mean of its frames says added at every frame. Noise is drawn for
 * each frame anew, so of what stands still the mean holds all that noisy frames tell.
 * @param p one for clips, none for images
 */
export const addClipMean = (p: readonly Params<LinearSpec>[], tokens: Value, x: Value): Value =>
  p.reduce((sum, own) => {
    const added = applyLinear(own, toTokens(reduceMean(x, [2]))) // [B, h·w, D]
    const [B, n, D] = added.shape as [number, number, number]
    const T = x.shape[2]
    return add(sum, reshape(expand(reshape(added, [B, 1, n, D]), [B, T, n, D]), [B, T * n, D]))
  }, tokens)

/** T of a grid [T, h, w]; 1 of an image's, [h, w]. */
export const framesOfGrid = (grid: Shape): number => (grid.length === 3 ? grid[0] : 1)

/** How much of every channel the position in time is; none at first. */
export const timePositionSpec = (width: number): ParamSpec => param([width], 0)

/**
 * Positions of tokens [N, D] of a grid [h, w], or of [T, h, w] in T·h·w order: those in space are an image's, and a learned
 * amount of the position in time is added.
 * @param gain [D], one for clips and none for images
 */
export const positions = (gain: readonly Value[], grid: Shape, width: number): Value => {
  const space = positionTable(grid.slice(-2), width) // [h·w, D]
  return gain.reduce((table, own) => {
    const [T] = grid
    const time = mul(positionTable([T], width), own) // [T, D]
    const sum = add(reshape(table, [1, ...table.shape]), reshape(time, [T, 1, width])) // [T, h·w, D]
    return reshape(sum, [T * table.shape[0], width])
  }, space)
}
