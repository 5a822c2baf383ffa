/**
 * @file Base model of stage 2: it generates latents, told what its conditions say (method.md section 4). A two-level transformer
 * as in the paper, or a convolutional U-ViT, as pixels want one.
 */
import { sizeOf } from '../../engine/host/tensor.ts'
import { scope, type Value } from '../../engine/ir/graph.ts'
import { logSnrEmbedding, logSnrSpec, toMaps } from '../../engine/nn/layers.ts'
import { type Network, networkOf } from '../../engine/nn/network.ts'
import { bindParams } from '../../engine/nn/params.ts'
import { clipsLike, framesOf } from '../../engine/nn/time.ts'
import { add, reshape } from '../../engine/ops/core.ts'
import type { DropoutKey } from '../../engine/ops/dropout.ts'
import { latentV } from '../diffusion/precondition.ts'
import type { LatentConfig, TimeSizes, TwoLevelSizes, UvitSizes } from './config.ts'
import { type Given, givenSpec, givenTokens } from './given.ts'
import { type BackboneReads, twoLevel, twoLevelSpec } from './twoLevel.ts'
import { type UvitConfig, uvit, uvitSpec } from './uvit.ts'

/** The base model's sizes and the channels of the latent. */
export interface BaseConfig extends TwoLevelSizes, Pick<LatentConfig, 'deviation'> {
  readonly channels: number
  /** A U-ViT of these sizes in place of the two levels. */
  readonly uvit?: UvitSizes | undefined
  /** Of clips; absent for images. */
  readonly time?: TimeSizes | undefined
  readonly recompute: boolean
}

/** Width of the embedding that conditions all its blocks. */
export const embeddingWidth = ({ widths, uvit }: BaseConfig): number => uvit?.width ?? widths[1]

/** Width of the tokens of the latent's own grid. */
const tokenWidth = ({ widths, uvit }: BaseConfig): number => uvit?.channels[0] ?? widths[0]

/** Latents [B, c, h, w], of clips [B, c, T, h, w], of latents. */
type Backbone = (given: Value, reads: BackboneReads) => Value

/** @throws when the latent does not halve as often as there are stages. */
const expectHalves = ({ stages }: UvitConfig, [h, w]: readonly number[]): void => {
  const block = 2 ** stages.length
  if (h % block === 0 && w % block === 0) return
  throw new Error(
    `base.uvit.channels has ${stages.length} stages, each of which halves the latent, but ${h}×${w} positions are no multiple of ${block}; give fewer`,
  )
}

const uvitBackbone = (sizes: UvitSizes, config: BaseConfig): Network<Backbone> => {
  const { channels: io, headWidth, dropout, recompute } = config
  const { channels: stages, convBlocks, width, blocks } = sizes
  // The latent's frames are as many as they should be: time is halved in the encoder.
  const time = config.time && { ...config.time, downsample: 1 }
  const network: UvitConfig = { io, stages, convBlocks, width, blocks, headWidth, dropout, time, recompute }
  return networkOf(uvitSpec(network), (p) => (given, { added, ...reads }) => {
    const grid = given.shape.slice(-2)
    expectHalves(network, grid)
    const maps = framesOf(given) // [B·T, c, h, w]
    const start = added && toMaps(reshape(added, [maps.shape[0], sizeOf(grid), stages[0]]), grid)
    return clipsLike(uvit(p, network, maps, { ...reads, start }), given)
  })
}

const backboneOf = (config: BaseConfig): Network<Backbone> =>
  config.uvit === undefined
    ? networkOf(twoLevelSpec(config), (p) => (given, reads) => twoLevel(p, config, given, reads))
    : uvitBackbone(config.uvit, config)

/** Traces what the embedding of all blocks gains by a condition, [B, E], from the conditions' inputs. */
export type ConditionEmbedding = (inputs: Readonly<Record<string, Value>>) => Value

/** What the base model reads. */
export interface BaseReads {
  /** [B, c, h, w]; of clips [B, c, T, h, w] */
  readonly zT: Value
  /** What is given of clips; absent for images. */
  readonly given?: Given | undefined
  /** λ of zT, [B] */
  readonly logSnr: Value
  /** Inputs of the conditions. */
  readonly conditions: Readonly<Record<string, Value>>
  /** Drives dropout; absent at evaluation. */
  readonly dropout?: DropoutKey | undefined
}

/** The base model: v̂ of the latent, shaped as z_t, from z_t, λ and conditions. */
export type Base = (reads: BaseReads) => Value

/** The base model as a network, with the parameters of its conditions under their names among its own. */
export const baseNetwork = (
  config: BaseConfig,
  conditions: Readonly<Record<string, Network<ConditionEmbedding>>>,
): Network<Base> => {
  const { channels, time } = config
  const own = {
    logSnr: logSnrSpec(embeddingWidth(config)),
    given: time === undefined ? [] : [givenSpec(channels, time, tokenWidth(config))],
  }
  const backbone = backboneOf(config)
  const told = Object.entries(conditions)
  return {
    spec: { ...own, ...backbone.spec, ...Object.fromEntries(told.map(([name, { spec }]) => [name, spec])) },
    bind: (lookUp, path) => {
      const p = bindParams(own, lookUp, path)
      const network = backbone.bind(lookUp, path)
      const embeddings = told.map(([name, condition]) => condition.bind(lookUp, `${path}.${name}`))
      return ({ zT, given: frames, logSnr, conditions: inputs, dropout }) =>
        scope('base', () => {
          const embedding = embeddings.reduce(
            (sum, embed) => add(sum, embed(inputs)),
            logSnrEmbedding(p.logSnr, logSnr),
          ) // [B, E]
          const added = frames && givenTokens(p.given[0], frames)
          return latentV(
            (given) => network(given, { embedding, added, dropout }),
            zT,
            logSnr,
            config.deviation,
          )
        })
    },
  }
}
