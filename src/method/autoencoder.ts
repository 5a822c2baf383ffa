/**
 * @file The stage-1 objective (paper, section 3 and Algorithm 1): encoder, prior and decoder trained together. All losses are
 * sums in nats, one number per example.
 */
import { type HostTensor, type Shape, scalar, zeros } from '../engine/host/tensor.ts'
import type { Value } from '../engine/ir/graph.ts'
import type { InputSpec } from '../engine/ir/program.ts'
import { type Bound, type Network, type Networks, networkOf } from '../engine/nn/network.ts'
import { flattenSpec } from '../engine/nn/params.ts'
import { add, constant, mul, reduceMean, reduceSum, sqrt, square, stopGradient } from '../engine/ops/core.ts'
import { type FrozenProgram, traceFrozen, type Weights } from '../train/frozen.ts'
import { type Objective, objectiveOf } from '../train/objective.ts'
import { encoderConfig, imageOf, latentInUse, latentOf, type ModelConfig, partConfig } from './config.ts'
import { type Draw, drawnNoise } from './diffusion/draws.ts'
import { diffuse, levelOf, posteriorEntropyElements, sumPerExample } from './diffusion/process.ts'
import { dropoutFeeds, dropoutInputs } from './dropout.ts'
import { drawnGivenCounts, givenAmong, givenClips, givenInputs, nothingGiven } from './given.ts'
import { encode, encoderSpec } from './networks/encoder.ts'
import type { GivenFrames } from './networks/given.ts'
import { batchShape, type Extent, positionsOf } from './networks/shapes.ts'
import {
  type DistortionInputs,
  type DistortionOf,
  drawnLatent,
  type Posterior,
  type RateInputs,
  type RateLevels,
  type RateOf,
  type RateTerms,
} from './objective/parts.ts'
import { elboLevels } from './objective/schedules.ts'
import { partsOfVariant } from './variants.ts'

/** Inputs of the objective; what noises and levels are of: see RateInputs and DistortionInputs. */
export type AutoencoderInputs = RateInputs &
  Omit<DistortionInputs, 'given' | 'dropout'> & { readonly z0Eps: Value }

const inputsOf = (model: ModelConfig, B: number): Readonly<Record<keyof AutoencoderInputs, InputSpec>> => {
  const [images, latents] = [batchShape(imageOf(model), B), batchShape(latentOf(model), B)]
  return {
    x: { shape: images },
    zEps: { shape: latents },
    z0Eps: { shape: latents },
    xEps: { shape: images },
    zDraw: { shape: latents },
    z0LogSnr: { shape: [B] },
    zLogSnr: { shape: [B] },
    zWeight: { shape: [B] },
    xLogSnr: { shape: [B] },
    xWeight: { shape: [B] },
    encoderShare: { shape: [] },
  }
}

/** Terms of the objective per example, in nats, [B]. */
export interface AutoencoderTerms {
  /** L_z. */
  readonly rate: RateTerms
  /** L_x. */
  readonly distortion: Value
  /** What is minimised: L_z + L_x. */
  readonly total: Value
  /** The clean latent, for logging. */
  readonly z: Value
}

/** What stage 1 trains. */
export interface AutoencoderNetworks extends Networks {
  readonly encoder: Network<(x: Value) => Posterior>
  readonly prior: Network<RateOf>
  readonly decoder: Network<DistortionOf>
}

/** Encoder E as the function from images to the latent's posterior. */
export const encoderNetwork = (model: ModelConfig): Network<(x: Value) => Posterior> => {
  const [config, { posterior }] = [encoderConfig(model), partsOfVariant(model.variant).posterior]
  return networkOf(encoderSpec(config), (p) => (x) => posterior(encode(p, config, x), model.latent))
}

/** The networks of stage 1; prior and decoder as the functions that give L_z and L_x. */
export const autoencoderNetworks = (model: ModelConfig): AutoencoderNetworks => {
  const { rate, distortion } = partsOfVariant(model.variant)
  const config = partConfig(model)
  return {
    encoder: encoderNetwork(model),
    prior: rate.network(config),
    decoder: distortion.network(config),
  }
}

/** Names of the stage-1 networks that have parameters: a normal prior has none. */
export const trainedNetworks = (model: ModelConfig): string[] =>
  Object.entries(autoencoderNetworks(model))
    .filter(([, { spec }]) => flattenSpec(spec).length > 0)
    .map(([name]) => name)

/** The terms of L = L_z + L_x (Algorithm 1); the gradients of both reach the encoder. */
export const autoencoderTerms = (
  { encoder, prior, decoder }: Pick<Bound<AutoencoderNetworks>, 'encoder' | 'prior' | 'decoder'>,
  inputs: AutoencoderInputs & Pick<DistortionInputs, 'given' | 'dropout'>,
): AutoencoderTerms => {
  const posterior = encoder(inputs.x)
  const z = drawnLatent(posterior, inputs.zDraw) // z_clean = E(x), [B, c, h, w]
  const z0 = diffuse(z, inputs.z0Eps, levelOf(inputs.z0LogSnr, z.shape.length)) // z_0 = α_0·z + σ_0·ε
  const distortion = decoder(z0, inputs) // L_x, Eq. 4
  const rate = prior(posterior, inputs) // L_z, Eq. 2 and 3
  const total = add(rate.charge, distortion)
  return { rate, distortion, total: rate.penalty === undefined ? total : add(total, rate.penalty), z }
}

/** The given frames of B clips, which the graph itself encodes; none for images. */
const clipInputs = (model: ModelConfig, B: number) => {
  const { givenFrames, givenMask } = givenInputs(model, B)
  return { ...(givenFrames && { givenFrames }), ...(givenMask && { givenMask }) }
}

/**
 * What is given, with its latent. No gradient flows through it: the encoder learns from whole clips, and what is given of one
 * is read as it is found in sampling.
 */
const encodedGiven = (
  encoder: Bound<AutoencoderNetworks>['encoder'],
  { givenFrames: frames, givenMask: mask }: { readonly givenFrames?: Value; readonly givenMask?: Value },
): GivenFrames | undefined => frames && mask && { frames, mask, z: stopGradient(encoder(frames).mean) }

/** Root mean square over all elements of the latent: collapse shows here first (docs/method.md). */
const rms = (z: Value): Value => sqrt(reduceMean(square(z)))

/** The stage-1 objective for B examples of a batch; the loss is in nats per pixel. */
export const autoencoderObjective = (model: ModelConfig, B: number): Objective =>
  objectiveOf({
    name: 'stage1',
    networks: autoencoderNetworks(model),
    inputs: { ...inputsOf(model, B), ...clipInputs(model, B), ...dropoutInputs },
    trace: (networks, { seed, firstExample: first, ...inputs }) => {
      const given = encodedGiven(networks.encoder, inputs)
      const terms = autoencoderTerms(networks, { ...inputs, given, dropout: { seed, first } })
      return {
        loss: mul(reduceSum(terms.total), 1 / (B * positionsOf(imageOf(model)))),
        report: {
          priorNats: terms.rate.diffusion,
          terminalNats: terms.rate.rest,
          decoderNats: terms.distortion,
          latentRms: rms(terms.z),
        },
      }
    },
  })

/** The measured terms of the objective, without dropout, as a program of frozen weights. */
export const tracedTerms = (
  model: ModelConfig,
  weights: Weights,
  B: number,
): FrozenProgram<string, 'priorNats' | 'terminalNats' | 'decoderNats' | 'rateElements'> => {
  const inputs = { ...inputsOf(model, B), ...givenInputs(model, B) }
  return traceFrozen(
    'evaluate',
    { weights, networks: autoencoderNetworks(model), inputs },
    (networks, traced) => {
      const { rate, distortion } = autoencoderTerms(networks, { ...traced, given: givenAmong(traced) })
      return {
        priorNats: rate.diffusion,
        terminalNats: rate.rest,
        decoderNats: distortion,
        rateElements: rate.elements,
      }
    },
  )
}

/** What an encoder's own variance takes off the rate of its images, in nats each (Eq. 5): 0 where it has none. */
export const tracedOwnNats = (model: ModelConfig, weights: Weights, B: number): FrozenProgram<'x', 'nats'> =>
  traceFrozen(
    'ownNats',
    {
      weights,
      networks: { encoder: encoderNetwork(model) },
      inputs: { x: { shape: batchShape(imageOf(model), B) } },
    },
    ({ encoder }, { x }) => {
      const { logVariance } = encoder(x)
      if (logVariance === null) return { nats: constant(zeros([B])) }
      return { nats: sumPerExample(posteriorEntropyElements(logVariance, latentInUse(model).logSnr0)) }
    },
  )

/** What a step is fed by name; `zDraw` is left out where nothing reads it. */
type Feeds = Readonly<Record<string, HostTensor>>

/** Noises, times and levels of examples. @param levels those of the rate */
const drawnInputs = (model: ModelConfig, x: HostTensor, draw: Draw, levels: RateLevels): Feeds => {
  const { distortion } = partsOfVariant(model.variant)
  const each = (extent: Extent): Shape => batchShape(extent, 1).slice(1)
  const [image, latent] = [each(imageOf(model)), each(latentOf(model))]
  return {
    x,
    zEps: drawnNoise(draw, 'zEps', latent),
    z0Eps: drawnNoise(draw, 'z0Eps', latent),
    xEps: drawnNoise(draw, 'xEps', image),
    ...(model.variant.variance === 'learned' ? { zDraw: drawnNoise(draw, 'zDraw', latent) } : {}),
    ...levels,
    ...distortion.levels(partConfig(model), draw),
  }
}

/**
 * Everything that a training step is fed: a pure function of the draw, so that resuming needs no generator state.
 * @param x images [count, 3, H, W] in [−1, 1]
 * @param encoderShare share of the rate's gradient that reaches the encoder
 */
export const autoencoderFeeds = (
  model: ModelConfig,
  x: HostTensor,
  draw: Draw,
  encoderShare: number,
): Feeds => ({
  ...drawnInputs(model, x, draw, partsOfVariant(model.variant).rate.levels(partConfig(model), draw)),
  ...(model.video && givenClips(x, drawnGivenCounts(model, draw))),
  encoderShare: scalar(encoderShare),
  ...dropoutFeeds(draw),
})

/** What measuring is fed: levels of the plain ELBO, whatever training took, and nothing given. */
export const measuredFeeds = (model: ModelConfig, x: HostTensor, draw: Draw): Feeds => ({
  ...drawnInputs(model, x, draw, elboLevels({ latent: latentInUse(model) }, draw)),
  ...nothingGiven(model, draw.part.count),
  encoderShare: scalar(1),
})
