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
import type { ParamSpec, Params } from '../../engine/nn/params.ts'
import { spaceToDepth } from '../../engine/ops/conv.ts'
import { maximum, minimum, sub } from '../../engine/ops/core.ts'
import { split } from '../../engine/ops/slice.ts'
import { halvings, type ModelConfig, stageChannels } from './config.ts'

const stagesOf = ({
  encoder,
  latent,
}: ModelConfig): { readonly channels: number; readonly blocks: number }[] => {
  const count = halvings(encoder.patch, latent.downsample) + 1
  return stageChannels(encoder.channels, count).map((channels, i) => ({
    channels,
    blocks: i === count - 1 ? encoder.lastBlocks : encoder.blocks,
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

type EncoderSpec = {
  readonly in: ReturnType<typeof biasedConvSpec>
  readonly stages: readonly StageSpec[]
  readonly norm: ReturnType<typeof normSiluSpec>
  readonly out: ReturnType<typeof biasedConvSpec>
}

/** Parameters of the encoder. */
export const encoderSpec = (config: ModelConfig): EncoderSpec => {
  const stages = stagesOf(config)
  const last = stages.at(-1)!.channels
  return {
    in: biasedConvSpec(3 * config.encoder.patch ** 2, stages[0]!.channels, 3),
    stages: stages.map(({ channels, blocks }, i) => stageSpec(channels, blocks, stages[i - 1]?.channels)),
    norm: normSiluSpec(last),
    out: biasedConvSpec(last, config.latent.channels * (config.variant.variance === 'learned' ? 2 : 1), 3),
  }
}

/** What the encoder says of an image's latent. */
export interface Posterior {
  /** [B, c, h, w] */
  readonly mean: Value
  /** ln σ_z², [B, c, h, w]; null where the encoder is deterministic, as the method has it. */
  readonly logVariance: Value | null
}

/** Bounds of the learned ln σ_z²: from next to nothing to more noise than signal. */
const logVarianceRange = { least: -20, most: 4 }

/** x [B, 3, H, W] in [−1, 1] → the latent's posterior. */
export const encode = (p: Params<EncoderSpec>, config: ModelConfig, x: Value): Posterior =>
  scope('encoder', () => {
    const patches = spaceToDepth(x, config.encoder.patch) // [B, 3·patch², H/patch, W/patch]
    const features = p.stages.reduce(
      (h, stage, i) =>
        scope(i, () => {
          const smaller = stage.down.reduce((v, weight) => down(weight, v), h)
          return resBlocks(stage.blocks, smaller, { recompute: config.recompute })
        }),
      biasedConv(p.in, patches),
    )
    const out = biasedConv(p.out, normSilu(p.norm, features)) // [B, c, h, w], twice the channels with a variance
    if (config.variant.variance === 'fixed') return { mean: out, logVariance: null }
    const { channels, logSnr0 } = config.latent
    const [mean, raw] = split(out, 1, [channels, channels]) as [Value, Value]
    // Starts at about the fixed noise, e^−λ(0).
    const { least, most } = logVarianceRange
    return { mean, logVariance: minimum(maximum(sub(raw, logSnr0), least), most) }
  })
