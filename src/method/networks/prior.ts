/** @file Prior P of stage 1: a one-level transformer that denoises latents; its loss is their bitrate (method.md sections 3 and 5). */
import { scope, type Value } from '../../engine/ir/graph.ts'
import {
  applyLinear,
  filmSpec,
  filmTokens,
  type LinearSpec,
  type LogSnrSpec,
  linearSpec,
  logSnrEmbedding,
  logSnrSpec,
  norm,
  toMaps,
  toTokens,
} from '../../engine/nn/layers.ts'
import { type Network, networkOf } from '../../engine/nn/network.ts'
import type { ParamSpec, Params } from '../../engine/nn/params.ts'
import { addClipMean, clipMeanSpec, framesOfGrid, positions, timePositionSpec } from '../../engine/nn/time.ts'
import { stack, stackSpec } from '../../engine/nn/transformer.ts'
import { add } from '../../engine/ops/core.ts'
import { latentV } from '../diffusion/precondition.ts'
import type { LatentConfig, TimeSizes, TransformerSizes } from './config.ts'

export type PriorSpec = {
  readonly logSnr: LogSnrSpec
  readonly in: LinearSpec
  /** One for clips. */
  readonly timePosition: readonly ParamSpec[]
  readonly clipMean: readonly LinearSpec[]
  readonly blocks: ReturnType<typeof stackSpec>
  readonly film: LinearSpec
  readonly out: LinearSpec
}

/** The prior's sizes, the channels of the latent, and how its backward pass keeps memory. */
export interface PriorConfig extends TransformerSizes, Pick<LatentConfig, 'deviation'> {
  readonly channels: number
  /** Of clips; absent for images. */
  readonly time?: TimeSizes | undefined
  readonly recompute: boolean
}

/** Parameters of the prior. */
export const priorSpec = (network: PriorConfig): PriorSpec => {
  const { width, channels, time } = network
  return {
    logSnr: logSnrSpec(width),
    in: linearSpec(channels, width),
    timePosition: time === undefined ? [] : [timePositionSpec(width)],
    clipMean: time === undefined ? [] : [clipMeanSpec(channels, width)],
    blocks: stackSpec({ ...network, dropout: 0, isFactorised: time?.attention === 'factorised' }, width),
    film: filmSpec(width, width),
    out: linearSpec(width, channels, 0),
  }
}

/** v̂ of the latent: zT [B, c, h, w], of clips [B, c, T, h, w], logSnr [B] → shaped as zT. */
export const priorV = (p: Params<PriorSpec>, network: PriorConfig, zT: Value, logSnr: Value): Value =>
  scope('prior', () => {
    const grid = zT.shape.slice(2)
    const frames = framesOfGrid(grid)
    const { recompute, headWidth, deviation } = network
    const embedding = logSnrEmbedding(p.logSnr, logSnr) // [B, D]
    const output = (given: Value): Value => {
      const placed = add(applyLinear(p.in, toTokens(given)), positions(p.timePosition, grid, network.width))
      const tokens = addClipMean(p.clipMean, placed, given) // [B, N, D]
      const context = { name: 'blocks', frames, embedding, headWidth, dropout: 0, recompute }
      const mixed = stack(p.blocks, tokens, context)
      return toMaps(applyLinear(p.out, filmTokens(p.film, norm(mixed), embedding)), grid)
    }
    return latentV(output, zT, logSnr, deviation)
  })

/** P: v̂ of the latent from z_t [B, c, h, w] and λ [B]. */
export type Prior = (zT: Value, logSnr: Value) => Value

/** The prior as a network. */
export const priorNetwork = (config: PriorConfig): Network<Prior> =>
  networkOf(priorSpec(config), (p) => (zT, logSnr) => priorV(p, config, zT, logSnr))
