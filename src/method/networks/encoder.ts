/** @file Encoder E: a deterministic ResNet from images to one clean latent (method.md sections 1, 5). */
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
} from '../../engine/nn/layers.ts'
import { type Network, networkOf } from '../../engine/nn/network.ts'
import type { ParamSpec, Params } from '../../engine/nn/params.ts'
import { spaceToDepth } from '../../engine/ops/conv.ts'
import { type EncoderSizes, halvings, stageChannels } from './config.ts'
import { patchChannels } from './shapes.ts'

/** The encoder's sizes, what it reads and what it writes. */
export interface EncoderConfig extends EncoderSizes {
  readonly imageChannels: number
  /** Pixels per latent position along height and width. */
  readonly downsample: number
  /** Numbers that it gives for each latent position: the latent's channels, twice as many with a variance. */
  readonly outputs: number
  readonly recompute: boolean
}

const stagesOf = (network: EncoderConfig): { readonly channels: number; readonly blocks: number }[] => {
  const count = halvings(network.patch, network.downsample) + 1
  return stageChannels(network.channels, count).map((channels, i) => ({
    channels,
    blocks: i === count - 1 ? network.lastBlocks : network.blocks,
  }))
}

type StageSpec = {
  /** Empty in the first stage, else one kernel. */
  readonly down: readonly ParamSpec[]
  readonly blocks: readonly ReturnType<typeof resBlockSpec>[]
}

const stageSpec = (channels: number, blocks: number, previous: number | undefined): StageSpec => ({
  down: previous === undefined ? [] : [downSpec(previous, channels)],
  blocks: Array.from({ length: blocks }, () => resBlockSpec(channels)),
})

export type EncoderSpec = {
  readonly in: ReturnType<typeof biasedConvSpec>
  readonly stages: readonly StageSpec[]
  readonly norm: ReturnType<typeof normSiluSpec>
  readonly out: ReturnType<typeof biasedConvSpec>
}

/** Parameters of the encoder. */
export const encoderSpec = (network: EncoderConfig): EncoderSpec => {
  const stages = stagesOf(network)
  const [first, last] = [stages[0].channels, stages.at(-1)!.channels]
  return {
    in: biasedConvSpec(patchChannels(network.imageChannels, network.patch), first, 3),
    stages: stages.map(({ channels, blocks }, i) => stageSpec(channels, blocks, stages[i - 1]?.channels)),
    norm: normSiluSpec(last),
    out: biasedConvSpec(last, network.outputs, 3),
  }
}

/** x [B, 3, H, W] in [−1, 1] → [B, outputs, h, w]. */
export const encode = (p: Params<EncoderSpec>, network: EncoderConfig, x: Value): Value =>
  scope('encoder', () => {
    const patches = spaceToDepth(x, network.patch) // [B, 3·patch², H/patch, W/patch]
    const features = p.stages.reduce(
      (h, stage, i) =>
        scope(i, () => {
          const smaller = stage.down.reduce((v, weight) => down(weight, v), h)
          return resBlocks(stage.blocks, smaller, { recompute: network.recompute })
        }),
      biasedConv(p.in, patches),
    )
    return biasedConv(p.out, normSilu(p.norm, features))
  })

/** E: images [B, 3, H, W] in [−1, 1] → [B, outputs, h, w]. */
export type Encoder = (x: Value) => Value

/** The encoder as a network. */
export const encoderNetwork = (config: EncoderConfig): Network<Encoder> =>
  networkOf(encoderSpec(config), (p) => (x) => encode(p, config, x))
