/** @file Encoder E: a deterministic ResNet from pictures to one clean latent, no variance (method.md sections 1, 5). */
import { scope, type Value } from '../ir/graph.ts'
import {
  biasedConv,
  biasedConvSpec,
  down,
  downSpec,
  normSilu,
  normSiluSpec,
  resBlockSpec,
  resBlocks,
} from '../nn/layers.ts'
import type { ParamSpec, Params } from '../nn/params.ts'
import { spaceToDepth } from '../ops/conv.ts'
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
    out: biasedConvSpec(last, config.latent.channels, 3),
  }
}

/** x [B, 3, H, W] in [−1, 1] → zClean [B, c, h, w]. */
export const encode = (p: Params<EncoderSpec>, config: ModelConfig, x: Value): Value =>
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
    return biasedConv(p.out, normSilu(p.norm, features)) // [B, c, h, w]
  })
