/**
 * @file Decoder D: a residual U-ViT that denoises the image given the noisy latent (method.md sections 3 and 5). The latent enters where the grids coincide, at the transformer.
 */
import { scope, type Value } from '../../engine/ir/graph.ts'
import {
  applyLinear,
  biasedConv,
  biasedConvSpec,
  down,
  downSpec,
  type LinearSpec,
  type LogSnrSpec,
  linearSpec,
  logSnrEmbedding,
  logSnrSpec,
  normSilu,
  normSiluSpec,
  positionTable,
  resBlockSpec,
  resBlocks,
  toMaps,
  toTokens,
  up,
  upSpec,
} from '../../engine/nn/layers.ts'
import type { ParamSpec, Params } from '../../engine/nn/params.ts'
import { stack, stackSpec } from '../../engine/nn/transformer.ts'
import { depthToSpace, spaceToDepth } from '../../engine/ops/conv.ts'
import { add, sub } from '../../engine/ops/core.ts'
import { halvings, type ModelConfig, stageChannels } from './config.ts'

type LevelSpec = {
  readonly before: readonly ReturnType<typeof resBlockSpec>[]
  readonly down: ParamSpec
  readonly up: ParamSpec
  readonly after: readonly ReturnType<typeof resBlockSpec>[]
}

const levelSpec = (channels: number, next: number, convBlocks: number, dEmbedding: number): LevelSpec => ({
  before: Array.from({ length: convBlocks }, () => resBlockSpec(channels, dEmbedding)),
  down: downSpec(channels, next),
  up: upSpec(next, channels),
  after: Array.from({ length: convBlocks }, () => resBlockSpec(channels, dEmbedding)),
})

type DecoderSpec = {
  readonly logSnr: LogSnrSpec
  /** Of the latent's own noise, where it differs from image to image (`variant.priorBias`); else empty. */
  readonly latentLogSnr: readonly LogSnrSpec[]
  readonly in: ReturnType<typeof biasedConvSpec>
  readonly latent: LinearSpec
  readonly levels: readonly LevelSpec[]
  readonly blocks: ReturnType<typeof stackSpec>
  readonly norm: ReturnType<typeof normSiluSpec>
  readonly out: ReturnType<typeof biasedConvSpec>
}

/** Parameters of the decoder. */
export const decoderSpec = (config: ModelConfig): DecoderSpec => {
  const { patch, channels, convBlocks, width } = config.decoder
  const count = halvings(patch, config.latent.downsample)
  const all = [...stageChannels(channels, count), width]
  return {
    logSnr: logSnrSpec(width),
    latentLogSnr: config.variant.priorBias === null ? [] : [logSnrSpec(width)],
    in: biasedConvSpec(3 * patch ** 2, all[0]!, 3),
    latent: linearSpec(config.latent.channels, width),
    levels: all.slice(0, -1).map((c, i) => levelSpec(c, all[i + 1]!, convBlocks, width)),
    blocks: stackSpec(config.decoder, width),
    norm: normSiluSpec(all[0]!),
    out: biasedConvSpec(all[0]!, 3 * patch ** 2, 3, 0),
  }
}

/**
 * v̂ of the image: xT [B, 3, H, W], z0 [B, c, h, w], logSnr and z0LogSnr [B] → [B, 3, H, W].
 * @param seed int32 scalar that drives dropout; none at evaluation
 */
export const decoderV = (
  p: Params<DecoderSpec>,
  config: ModelConfig,
  xT: Value,
  z0: Value,
  logSnr: Value,
  z0LogSnr: Value,
  seed?: Value,
): Value =>
  scope('decoder', () => {
    const { patch, width, headWidth, dropout } = config.decoder
    const { recompute } = config
    const [, , gridH, gridW] = z0.shape as [number, number, number, number]
    const embedding = p.latentLogSnr.reduce(
      (sum, own) => add(sum, logSnrEmbedding(own, z0LogSnr)),
      logSnrEmbedding(p.logSnr, logSnr),
    ) // [B, D]
    let h = biasedConv(p.in, spaceToDepth(xT, patch)) // [B, C0, H/patch, W/patch]
    const skips: { readonly before: Value; readonly after: Value }[] = []
    for (const [i, level] of p.levels.entries()) {
      const before = scope(`down/${i}`, () => resBlocks(level.before, h, { embedding, recompute }))
      h = down(level.down, before)
      skips.push({ before, after: h })
    }
    const positions = positionTable([gridH, gridW], width)
    const latentTokens = add(applyLinear(p.latent, toTokens(z0)), positions) // [B, N, D]
    const tokens = add(toTokens(h), latentTokens)
    const mixed = stack(p.blocks, tokens, { name: 'middle', embedding, headWidth, dropout, seed, recompute })
    h = toMaps(mixed, gridH, gridW) // [B, D, h, w]
    // Residual U-Net: each level adds only what the levels below it changed (SiD2, Hoogeboom et al. 2024).
    for (const [i, level] of [...p.levels.entries()].reverse()) {
      const skip = skips[i]!
      const joined = add(up(level.up, sub(h, skip.after)), skip.before)
      h = scope(`up/${i}`, () => resBlocks(level.after, joined, { embedding, recompute }))
    }
    return depthToSpace(biasedConv(p.out, normSilu(p.norm, h)), patch) // [B, 3, H, W]
  })
