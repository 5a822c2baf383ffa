/** @file The presets, one literal table each. */

import type { VideoConfig } from '../method/config.ts'
import { noVariant } from '../method/variants.ts'
import { type Config, configVersion } from './schema.ts'

const training: Config['train'] = {
  batch: 32,
  lr: 1e-3,
  warmupSteps: 50,
  finalLrFraction: 0.02,
  beta1: 0.9,
  beta2: 0.99,
  weightDecay: 0,
  clipNorm: 1,
  logEvery: 20,
  checkpointEvery: 500,
  keepCheckpoints: 2,
  sampleEvery: 500,
  recompute: false,
  stage1: {
    steps: 1000,
    emaDecay: 0.995,
    encoderHold: 0.15,
    encoderRamp: 0.15,
    encoderFloor: 0.003,
    from: null,
  },
  stage2: { steps: 1000, emaDecay: 0.995, batch: 64, lr: 1e-3 },
}

const sampling: Config['sampler'] = {
  generator: 'base',
  kind: 'ancestral',
  steps: 50,
  variance: 0.2,
  decoderKind: 'ddim',
  decoderSteps: 10,
  guidance: 1.5,
  guidanceLogSnr: [-4, 4],
}

/**
 * What the presets of emoji have in common, as they were first: AdamW and plain v. The experiments that docs/results.md tells
 * of were made with it. The decoder works on single pixels: with patches of 2×2 it must carry every pixel's noise through its
 * first channels and leaves speckle (docs/log.md).
 */
const emoji32: Config = {
  version: configVersion,
  name: 'emoji32',
  seed: 0,
  data: { source: 'emoji', path: null, size: 32, frames: 1, flip: true, balance: true, skinTones: true },
  latent: { channels: 8, downsample: 4, logSnr0: 5, logSnr1: -10 },
  encoder: { patch: 2, channels: [64, 128], blocks: 1, lastBlocks: 1 },
  prior: { width: 128, blocks: 4, headWidth: 32 },
  decoder: {
    patch: 1,
    channels: [32],
    convBlocks: 1,
    width: 256,
    blocks: 3,
    headWidth: 64,
    dropout: 0,
    lossFactor: 4,
    bias: 2.8,
  },
  base: { widths: [128, 256], blocks: [2, 4], headWidth: 32, dropout: 0, bias: 2, labelDropout: 0.1 },
  variant: noVariant,
  train: {
    ...training,
    batch: 16,
    stage2: { ...training.stage2, steps: 1400, batch: 32 },
  },
  sampler: { ...sampling, decoderSteps: 6, guidance: 2 },
}

/** Small networks for comparisons that take many runs (experiments/): two minutes of two cores for a stage. */
const study: Config = {
  ...emoji32,
  name: 'study',
  encoder: { ...emoji32.encoder, channels: [32, 64] },
  prior: { width: 96, blocks: 3, headWidth: 32 },
  decoder: { ...emoji32.decoder, channels: [24], width: 128, blocks: 2, headWidth: 32 },
  base: { ...emoji32.base, widths: [64, 128], blocks: [2, 3] },
  train: {
    ...emoji32.train,
    logEvery: 100,
    sampleEvery: 10_000,
    keepCheckpoints: 1,
    stage1: { ...emoji32.train.stage1, steps: 1200 },
    stage2: { ...emoji32.train.stage2, steps: 1200, batch: 32 },
  },
  sampler: { ...emoji32.sampler, steps: 30, guidance: 1 },
}

/**
 * The main job: minutes on two cores, 32×32 emoji. Small networks and many steps by Muon, a decoder that is preconditioned for
 * what the latent leaves open, and a low bias with a high loss factor (docs/log.md).
 */
const quickstart: Config = {
  ...study,
  name: 'quickstart',
  decoder: { ...study.decoder, lossFactor: 8, bias: 0.8, deviation: 0.3 },
  base: { ...study.base, schedule: 'cosine' },
  train: {
    ...emoji32.train,
    optimizer: 'muon',
    lr: 8e-3,
    stage1: { ...emoji32.train.stage1, steps: 2200 },
    stage2: { ...emoji32.train.stage2, steps: 2300, lr: 4e-3 },
  },
  // Two steps reconstruct and generate better than one, three or more (docs/log.md).
  sampler: { ...emoji32.sampler, decoderSteps: 2 },
}

/**
 * Fashion-MNIST, as Debian's package dataset-fashion-mnist installs it: 60,000 grey images of clothes for comparisons that
 * are trained long. The recipe of the main job with networks small enough for 20,000 steps of each stage: 20 minutes and
 * about 10 of one core.
 */
const fashion: Config = {
  ...quickstart,
  name: 'fashion',
  data: {
    ...study.data,
    source: 'idx',
    path: '/usr/share/datasets/fashion-mnist',
    flip: false,
    balance: false,
  },
  encoder: { ...study.encoder, channels: [16, 32] },
  prior: { width: 64, blocks: 2, headWidth: 32 },
  decoder: { ...quickstart.decoder, channels: [16], width: 64 },
  base: { ...quickstart.base, widths: [48, 96], blocks: [1, 2], headWidth: 24 },
  train: {
    ...quickstart.train,
    warmupSteps: 200,
    logEvery: 100,
    checkpointEvery: 1000,
    keepCheckpoints: 1,
    sampleEvery: 10_000,
    stage1: {
      ...quickstart.train.stage1,
      steps: 20_000,
      emaDecay: 0.999,
      encoderHold: 0.05,
      encoderRamp: 0.05,
    },
    stage2: { ...quickstart.train.stage2, steps: 20_000, emaDecay: 0.999 },
  },
  sampler: { ...quickstart.sampler, steps: 30, guidance: 1 },
}

/**
 * Small enough for a page: some minutes of stage 1 where a browser computes on two threads of a CPU (docs/web.md). The networks of
 * `fashion` on the bundled emoji, those of one skin tone only.
 */
const tab: Config = {
  ...fashion,
  name: 'tab',
  data: { ...emoji32.data, skinTones: false },
  train: {
    ...quickstart.train,
    logEvery: 5,
    checkpointEvery: 1000,
    sampleEvery: 50,
    stage1: { ...quickstart.train.stage1, steps: 800 },
    stage2: { ...quickstart.train.stage2, steps: 1000 },
  },
  sampler: { ...quickstart.sampler, steps: 30 },
}

/** About 35 hours on two cores (docs/results.md has the time of a step): 64×64 emoji. */
const emoji64: Config = {
  ...emoji32,
  name: 'emoji64',
  data: { ...emoji32.data, size: 64 },
  latent: { ...emoji32.latent, channels: 16, downsample: 8 },
  encoder: { patch: 2, channels: [64, 128, 256], blocks: 2, lastBlocks: 2 },
  prior: { width: 256, blocks: 6, headWidth: 64 },
  decoder: {
    ...emoji32.decoder,
    patch: 2,
    channels: [64, 128],
    convBlocks: 2,
    width: 384,
    blocks: 6,
    bias: 1.4,
  },
  base: { ...emoji32.base, widths: [256, 512], blocks: [4, 8], headWidth: 64, dropout: 0.1, bias: 1 },
  train: {
    ...training,
    lr: 5e-4,
    warmupSteps: 200,
    stage1: { ...training.stage1, steps: 20_000, emaDecay: 0.999 },
    stage2: { ...training.stage2, steps: 40_000, emaDecay: 0.9995, lr: 5e-4 },
  },
}

/**
 * The paper's sizes for ImageNet at 512×512 (method.md section 5). Batch, rate and steps are ours. A batch comes in 32 parts,
 * or a step of stage 1 would take 1,200 GiB (`ul info imagenet512`).
 */
const imagenet512: Config = {
  version: configVersion,
  name: 'imagenet512',
  seed: 0,
  data: {
    source: 'folder',
    path: null,
    size: 512,
    frames: 1,
    flip: true,
    balance: false,
    skinTones: true,
  },
  latent: { channels: 32, downsample: 16, logSnr0: 5, logSnr1: -10 },
  encoder: { patch: 2, channels: [128, 256, 512, 512], blocks: 2, lastBlocks: 3 },
  prior: { width: 1024, blocks: 8, headWidth: 64 },
  decoder: {
    patch: 2,
    channels: [128, 256, 512],
    convBlocks: 2,
    width: 1024,
    blocks: 8,
    headWidth: 64,
    dropout: 0.1,
    lossFactor: 1.5,
    bias: -3,
    // As much noise on the mean colour as 32×32 images have at −10: −10 − 2 ln(512/32).
    logSnr1: -15.5,
  },
  base: { widths: [512, 1024], blocks: [6, 16], headWidth: 64, dropout: 0.1, bias: -3, labelDropout: 0.1 },
  variant: noVariant,
  train: {
    ...training,
    batch: 256,
    accumulate: 32,
    lr: 1e-4,
    warmupSteps: 5000,
    logEvery: 100,
    checkpointEvery: 5000,
    sampleEvery: 10_000,
    stage1: { ...training.stage1, steps: 400_000, emaDecay: 0.9999, encoderHold: 0.01, encoderRamp: 0.01 },
    stage2: { steps: 800_000, emaDecay: 0.9999, batch: 1024, lr: 1e-4 },
  },
  sampler: { ...sampling, steps: 256, decoderSteps: 64 },
}

/** With a time axis, before what every configuration must have: a file that is cut short is told by what it lacks. */
const ofClips = ({
  train,
  sampler,
  video,
  ...rest
}: Omit<Config, 'video'> & { readonly video?: Partial<VideoConfig> }): Config => ({
  ...rest,
  video: { downsample: 4, kernel: 3, attention: 'full', given: 5, givenShare: 0.5, ...video },
  train,
  sampler,
})

/**
 * Clips of 16 frames of 32×32 in which emoji move: networks of the main job's kind with a time axis, latents of 4×8×8. Predicts from
 * five given frames, or from any other number. Three clips in sixteen stand still, as an image does.
 */
const moving: Config = ofClips({
  ...fashion,
  name: 'moving',
  data: { ...emoji32.data, source: 'moving', frames: 16 },
  latent: { ...emoji32.latent, channels: 16 },
  // Else the colour of what stands still enters the latent late, at some step between 1,000 and never (docs/log.md).
  encoder: { ...fashion.encoder, shortcut: true },
  decoder: { ...fashion.decoder, channels: [16, 32], lossFactor: 16 },
  // As fast as two levels of attention, as near in PSNR, nearer in the place of what moves (docs/log.md).
  base: { ...fashion.base, headWidth: 32, uvit: { channels: [64], convBlocks: 1, width: 128, blocks: 2 } },
  video: { givenShare: 0.3, imageShare: 0.1875 },
  train: {
    ...quickstart.train,
    batch: 4,
    stage1: { ...quickstart.train.stage1, steps: 2500 },
    stage2: { ...quickstart.train.stage2, steps: 2600, batch: 32, latents: 'kept', givenShare: 0.8 },
  },
})

/** The paper's sizes for Kinetics-600: 16 frames of 128×128, 4×8×8 down-sampling, five frames given. */
const kinetics600: Config = ofClips({
  ...imagenet512,
  name: 'kinetics600',
  data: { ...imagenet512.data, source: 'kinetics', size: 128, frames: 16 },
  latent: { ...imagenet512.latent, downsample: 8 },
  encoder: { ...imagenet512.encoder, channels: [128, 256, 512] },
  decoder: { ...imagenet512.decoder, channels: [128, 256], bias: 0, logSnr1: -12.8 },
  base: { ...imagenet512.base, bias: 0 },
})

/** Presets by name. */
export const presets: Readonly<Record<string, Config>> = {
  quickstart,
  study,
  fashion,
  tab,
  emoji64,
  moving,
  imagenet512,
  kinetics600,
}

/** At most 64 pixels, in whole pairs of latent positions, which the base model's second level takes. */
const smokeSize = ({ data, latent }: Config): number => {
  const pair = 2 * latent.downsample
  return Math.min(data.size, Math.max(pair, 64 - (64 % pair)))
}

/** Two latent frames of clips. */
const smokeFrames = ({ video }: Config) => ({ frames: video === undefined ? 1 : 2 * video.downsample })

const greatestDivisor = (a: number, b: number): number => (b === 0 ? a : greatestDivisor(b, a % b))

/** Further stages of 40 steps of at most 16 images. */
const smokeStages = ({ stages }: Config['train']) =>
  stages && {
    stages: Object.fromEntries(
      Object.entries(stages).map(([name, stage]) => [
        name,
        { ...stage, steps: Math.min(stage.steps, 40), batch: Math.min(stage.batch, 16) },
      ]),
    ),
  }

/** At most 16 images and 32 latents a step, in as many of the run's parts as divide both. */
const smokeBatches = ({ batch, stage2, accumulate }: Config['train']) => {
  const [images, latents] = [Math.min(batch, 16), Math.min(stage2.batch, 32)]
  const parts = accumulate && [images, latents].reduce(greatestDivisor, accumulate)
  return {
    batch: images,
    stage2: { ...stage2, steps: 40, batch: latents },
    ...(parts && { accumulate: parts }),
  }
}

/** The same run shrunk to about a minute: tiny networks and images, few steps, everything exercised. */
export const smokeForm = (config: Config): Config => ({
  ...config,
  data: { ...config.data, size: smokeSize(config), ...smokeFrames(config) },
  encoder: { ...config.encoder, channels: [16, 32] },
  prior: { ...config.prior, width: 64, blocks: 1, headWidth: 32 },
  decoder: { ...config.decoder, channels: [16], width: 64, blocks: 1, headWidth: 32 },
  base: { ...config.base, widths: [64, 64], blocks: [2, 1], headWidth: 32 },
  train: {
    ...config.train,
    ...smokeBatches(config.train),
    ...smokeStages(config.train),
    logEvery: 10,
    checkpointEvery: 20,
    stage1: { ...config.train.stage1, steps: 60 },
  },
  sampler: { ...config.sampler, steps: 8, decoderSteps: 4 },
})
