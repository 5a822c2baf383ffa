/** @file Encoder E: a deterministic ResNet from images or clips to one clean latent (method.md sections 1, 5). */
import { scope, type Value } from '../../engine/ir/graph.ts'
import {
  biasedConv,
  biasedConvSpec,
  convSpec,
  down,
  downSpec,
  normSilu,
  normSiluSpec,
  resBlockSpec,
  resBlocks,
} from '../../engine/nn/layers.ts'
import { type Network, networkOf } from '../../engine/nn/network.ts'
import type { ParamSpec, Params } from '../../engine/nn/params.ts'
import {
  clipsLike,
  framesOf,
  type TimeBlockSpec,
  timeBlockSpec,
  timeBlocks,
  timeDown,
  timeDownSpec,
} from '../../engine/nn/time.ts'
import { conv2d, spaceToDepth } from '../../engine/ops/conv.ts'
import { add, reduceMean, reshape } from '../../engine/ops/core.ts'
import { type EncoderSizes, halvings, stageChannels, type TimeSizes, timeHalvings } from './config.ts'
import { patchChannels } from './shapes.ts'

/** The encoder's sizes, what it reads and what it writes. */
export interface EncoderConfig extends EncoderSizes {
  readonly imageChannels: number
  /** Pixels per latent position along height and width. */
  readonly downsample: number
  /** Numbers that it gives for each latent position: the latent's channels, twice as many with a variance. */
  readonly outputs: number
  /** Of clips; absent for images. */
  readonly time?: TimeSizes | undefined
  readonly recompute: boolean
}

interface StageSizes {
  readonly channels: number
  readonly blocks: number
  /** How often time is halved on entering it. */
  readonly timeHalvings: number
}

const stagesOf = (network: EncoderConfig): StageSizes[] => {
  const downs = halvings(network.patch, network.downsample)
  const inTime = [0, ...timeHalvings(network.time, downs)]
  return stageChannels(network.channels, downs + 1).map((channels, i) => ({
    channels,
    blocks: i === downs ? network.lastBlocks : network.blocks,
    timeHalvings: inTime[i],
  }))
}

type StageSpec = {
  /** Empty in the first stage, else one kernel. */
  readonly down: readonly ParamSpec[]
  readonly timeDown: readonly ParamSpec[]
  readonly blocks: readonly ReturnType<typeof resBlockSpec>[]
  /** One for clips. */
  readonly time: readonly TimeBlockSpec[]
}

const stageSpec = (
  { channels, blocks, timeHalvings: halved }: StageSizes,
  previous: number | undefined,
  time: TimeSizes | undefined,
): StageSpec => ({
  down: previous === undefined ? [] : [downSpec(previous, channels)],
  timeDown: Array.from({ length: halved }, () => timeDownSpec(channels)),
  blocks: Array.from({ length: blocks }, () => resBlockSpec(channels)),
  time: time === undefined ? [] : [timeBlockSpec(channels, time.kernel)],
})

export type EncoderSpec = {
  readonly in: ReturnType<typeof biasedConvSpec>
  readonly stages: readonly StageSpec[]
  readonly norm: ReturnType<typeof normSiluSpec>
  readonly out: ReturnType<typeof biasedConvSpec>
  /** Empty without a shortcut, else one kernel. */
  readonly shortcut: readonly ParamSpec[]
}

/** Parameters of the encoder. */
export const encoderSpec = (network: EncoderConfig): EncoderSpec => {
  const stages = stagesOf(network)
  const [first, last] = [stages[0].channels, stages.at(-1)!.channels]
  return {
    in: biasedConvSpec(patchChannels(network.imageChannels, network.patch), first, 3),
    stages: stages.map((sizes, i) => stageSpec(sizes, stages[i - 1]?.channels, network.time)),
    norm: normSiluSpec(last),
    out: biasedConvSpec(last, network.outputs, 3),
    shortcut: network.shortcut === true ? [convSpec(network.imageChannels, network.outputs, 1)] : [],
  }
}

/** The mean of each latent position's pixels and frames: [B·T, 3, H, W] of B clips → [B·T/time, 3, h, w]. */
const meanColours = (x: Value, { downsample: side, time }: EncoderConfig): Value => {
  const [all, C, H, W] = x.shape as [number, number, number, number]
  const [h, w, together] = [H / side, W / side, time?.downsample ?? 1]
  const rows = reduceMean(reshape(x, [all, C, h, side, W]), [3]) // [B·T, 3, h, W]
  const cells = reduceMean(reshape(rows, [all, C, h, w, side]), [4]) // [B·T, 3, h, w]
  const frames = reduceMean(reshape(cells, [all / together, together, C * h * w]), [1])
  return reshape(frames, [all / together, C, h, w])
}

/** x [B, 3, H, W] in [−1, 1] → [B, outputs, h, w]; clips [B, 3, T, H, W] → [B, outputs, T/time, h, w]. */
export const encode = (p: Params<EncoderSpec>, network: EncoderConfig, x: Value): Value =>
  scope('encoder', () => {
    const B = x.shape[0]
    const patches = spaceToDepth(framesOf(x), network.patch) // [B·T, 3·patch², H/patch, W/patch]
    const features = p.stages.reduce(
      (h, stage, i) =>
        scope(i, () => {
          const smaller = stage.down.reduce((v, weight) => down(weight, v), h)
          const shorter = stage.timeDown.reduce((v, weight) => timeDown(weight, v), smaller)
          return timeBlocks(stage.time, resBlocks(stage.blocks, shorter, { recompute: network.recompute }), B)
        }),
      biasedConv(p.in, patches),
    )
    const out = p.shortcut.reduce(
      (sum, kernel) => add(sum, conv2d(meanColours(framesOf(x), network), kernel)),
      biasedConv(p.out, normSilu(p.norm, features)),
    )
    return clipsLike(out, x)
  })

/** E: images [B, 3, H, W], or clips [B, 3, T, H, W], in [−1, 1] → [B, outputs, (T,) h, w]. */
export type Encoder = (x: Value) => Value

/** The encoder as a network. */
export const encoderNetwork = (config: EncoderConfig): Network<Encoder> =>
  networkOf(encoderSpec(config), (p) => (x) => encode(p, config, x))
