/** @file How a configuration samples: the decoder, the latent chain, guidance. */
import type { Config } from '../config/schema.ts'
import type { Guidance, SamplerConfig } from '../method/diffusion/sampler.ts'

/** How the decoder is sampled. */
export const decoderSampler = ({ sampler }: Config): SamplerConfig => ({
  kind: sampler.decoderKind,
  steps: sampler.decoderSteps,
  variance: sampler.variance,
})

/** How the latent chain is sampled. */
export const latentSampler = ({ sampler }: Config): SamplerConfig => ({
  kind: sampler.kind,
  steps: sampler.steps,
  variance: sampler.variance,
})

/** Guidance of the configuration. */
export const configGuidance = ({ sampler }: Config): Guidance => ({
  scale: sampler.guidance,
  ...(sampler.givenGuidance !== undefined && { given: sampler.givenGuidance }),
  logSnrMin: sampler.guidanceLogSnr[0],
  logSnrMax: sampler.guidanceLogSnr[1],
})
