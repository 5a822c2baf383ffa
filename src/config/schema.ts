/** @file The configuration of a run: every key, its unit, its bounds. Derived values are computed, never stored. */
import { z } from 'zod'
import { conditionNames } from '../method/conditions/list.ts'
import type { ModelConfig } from '../method/config.ts'
import { type SamplerKind, samplerKinds } from '../method/diffusion/sampler.ts'
import { distortions, noVariant, posteriors, rates, spaces } from '../method/variants.ts'

/** Which images, and how they are drawn. */
export interface DataConfig {
  /** Bundled set, folder or format by name (data/open.ts). */
  readonly source: string
  readonly path: string | null
  readonly size: number
  readonly frames: number
  readonly stride?: number | undefined
  readonly flip: boolean
  readonly balance: boolean
  readonly skinTones: boolean
}

/** What every stage of training has of its own. */
interface StageConfig {
  readonly steps: number
  readonly emaDecay: number
}

/** Optimisers by name (stages/stageStep.ts). */
const optimizerNames = ['adamw', 'muon'] as const
export type OptimizerName = (typeof optimizerNames)[number]

/** Optimisation, logging and the encoder's warm-up (method.md section 9). */
export interface TrainConfig {
  readonly batch: number
  readonly lr: number
  readonly warmupSteps: number
  readonly finalLrFraction: number
  readonly optimizer?: OptimizerName | undefined
  readonly beta1: number
  readonly beta2: number
  readonly weightDecay: number
  readonly clipNorm: number
  readonly logEvery: number
  readonly checkpointEvery: number
  readonly keepCheckpoints: number
  readonly sampleEvery: number
  readonly recompute: boolean
  readonly accumulate?: number | undefined
  readonly stage1: StageConfig & {
    readonly encoderHold: number
    readonly encoderRamp: number
    readonly encoderFloor: number
    readonly from: string | null
  }
  readonly stage2: StageConfig & {
    readonly batch: number
    readonly lr: number
    readonly latents?: 'kept' | 'encoded' | undefined
    readonly givenShare?: number | undefined
  }
  /** Settings of every further stage that the run trains, by its name (stages/list.ts). */
  readonly stages?: Readonly<Record<string, FurtherStageConfig>> | undefined
}

/** A stage beyond the method's two. */
export interface FurtherStageConfig extends StageConfig {
  readonly batch: number
  readonly lr: number
}

/** A decoder of few steps, taught by that of another run (stages/student.ts). */
export interface StudentConfig {
  /** N, the steps that it is for. */
  readonly steps: number
  /** K, those of the teacher, a multiple of N. */
  readonly teacherSteps: number
  /** Share of the latents that come from the base model instead of the encoder. */
  readonly generated: number
}

/** Samplers of the latent chain and of the decoder. */
export interface SamplingConfig {
  readonly generator: 'base' | 'prior'
  readonly kind: SamplerKind
  readonly steps: number
  readonly variance: number
  readonly decoderKind: SamplerKind
  readonly decoderSteps: number
  readonly guidance: number
  readonly guidanceLogSnr: readonly [number, number]
  readonly givenGuidance?: number | undefined
}

/** A resolved configuration. */
export interface Config
  extends Pick<ModelConfig, 'latent' | 'encoder' | 'prior' | 'decoder' | 'base' | 'variant' | 'video'> {
  readonly version: 1
  readonly name: string
  readonly seed: number
  readonly data: DataConfig
  readonly train: TrainConfig
  readonly student?: StudentConfig | undefined
  readonly sampler: SamplingConfig
}

const count = z.int().positive()
/** Layers of one kind, and numbers side by side: more than anybody trains, and few enough to be traced. */
const layers = z.int().max(512)
const width = count.max(2 ** 16)
const levels = z.array(width).min(1).max(16)
const chainSteps = count.max(10_000)
const share = z.number().min(0).max(1)
const headWidth = count.describe('width of one attention head; divides the width')
const dropout = share.describe('share of hidden units dropped in training')
const patch = count.describe('side in pixels of the squares that become channels first')

const data = z.strictObject({
  source: z
    .string()
    .describe('bundled emoji or moving, a folder of images, or the format of a data set (docs/data.md)'),
  path: z.string().nullable().default(null).describe('file or folder, for all sources but the bundled ones'),
  size: count.describe('height and width in pixels'),
  frames: count.describe('frames per clip; 1 for images'),
  stride: count.optional().describe('frames of a clip from one that is read to the next; 1 where left out'),
  flip: z.boolean().describe('mirror half of the images'),
  balance: z.boolean().describe('draw classes equally often'),
  skinTones: z.boolean().describe('keep the skin-tone variants of the bundled sets'),
})

const latent = z.strictObject({
  channels: width.describe('numbers per latent position'),
  downsample: count.describe('pixels per latent position'),
  logSnr0: z.number().describe('λ_z(0), least noise of the latent'),
  logSnr1: z.number().describe('λ_z(1), most noise of the latent'),
  deviation: z
    .number()
    .positive()
    .optional()
    .describe('deviation of latents that prior and base are preconditioned for; plain v where left out'),
})

const encoder = z.strictObject({
  patch,
  channels: levels.describe('channels per resolution; the last is repeated'),
  blocks: layers.nonnegative().describe('residual blocks per resolution'),
  lastBlocks: layers.nonnegative().describe('residual blocks at the latent resolution'),
  shortcut: z
    .boolean()
    .optional()
    .describe(
      'whether latents start as mean colours of their pixels, by a product that is added; no where left out',
    ),
})

const prior = z.strictObject({
  width: width.describe('channels of the transformer'),
  blocks: layers.positive().describe('transformer blocks'),
  headWidth,
})

const decoder = z.strictObject({
  patch,
  channels: levels.describe('channels per resolution; the last is repeated'),
  convBlocks: layers.nonnegative().describe('residual blocks per resolution, down and up again'),
  width: width.describe('channels of the transformer on the latent grid'),
  blocks: layers.positive().describe('transformer blocks'),
  headWidth,
  dropout,
  deviation: z
    .number()
    .positive()
    .optional()
    .describe('deviation of images given the latent that it is preconditioned for; plain v where left out'),
  logSnr1: z
    .number()
    .negative()
    .optional()
    .describe('λ_x(1), most noise of images; −10 where left out, too little for large images'),
  draws: z
    .enum(['grid', 'weight'])
    .optional()
    .describe(
      'where training draws log-SNR: on the grid of the sampler, or where the loss lies; grid where left out',
    ),
  lossFactor: z.number().positive().describe('c_lf: higher puts more bits into the latent'),
  bias: z.number().describe('b of the sigmoid weight'),
})

/** A setting is checked as it comes, so the first of them brings the others. */
const uvit = z.strictObject({
  channels: levels.describe('channels per convolutional stage, each of which halves the grid'),
  convBlocks: layers.nonnegative().default(1).describe('residual blocks per stage, down and up again'),
  width: width.default(128).describe('channels of the transformer on the smallest grid'),
  blocks: layers.positive().default(2).describe('transformer blocks'),
})

const base = z.strictObject({
  widths: z.tuple([width, width]).describe('channels of the two levels'),
  blocks: z.tuple([layers.nonnegative(), layers.positive()]).describe('transformer blocks of the two levels'),
  headWidth,
  dropout,
  uvit: uvit
    .optional()
    .describe('a convolutional U-ViT in place of the two levels, whose widths and blocks are then not read'),
  bias: z.number().describe('b of its own sigmoid weight'),
  labelDropout: share.describe('share of labels hidden in training, for guidance'),
  givenDropout: share
    .optional()
    .describe('share of clips whose given frames are hidden in training, for guidance; 0 where left out'),
  schedule: z
    .enum(['linear', 'cosine', 'weight'])
    .optional()
    .describe(
      'how log-SNR runs over time; weight: drawn where the loss lies, sampled as by cosine; linear where left out',
    ),
  conditions: z
    .array(z.enum(conditionNames))
    .min(1)
    .optional()
    .describe('what the base model is told; the class where this is left out'),
})

const stage = {
  steps: z.int().nonnegative().describe('training steps'),
  emaDecay: share.describe('decay of the averaged weights'),
}

/** The names of a table's lines. */
const namesOf = <T extends object>(table: T): (keyof T & string)[] =>
  Object.keys(table) as (keyof T & string)[]

/** Keys younger than the first runs have defaults, so that those runs still read. */
const variant = z
  .strictObject({
    encoder: z.enum(namesOf(spaces)).describe('pixels: no stage 1, the base model works on the image'),
    variance: z.enum(namesOf(posteriors)).describe('whether the encoder predicts a variance (Table 6 D)'),
    prior: z.enum(namesOf(rates)).describe('normal: a VAE whose KL is weighted by klWeight (Table 5)'),
    stopGradient: z.boolean().describe('the prior does not shape the latent (Table 6 A)'),
    klWeight: z.number().nonnegative().describe("weight of the latent's KL to N(0, I)"),
    priorBias: z.number().nullable().describe('bias of a weighted prior, null for the ELBO (Appendix B 2)'),
    decoder: z
      .enum(namesOf(distortions))
      .describe('all but diffusion: one prediction from the latent alone, by that error (Table 5)'),
  })
  .default(noVariant)

const train = z.strictObject({
  batch: count.describe('images per step of stage 1'),
  lr: z.number().positive().describe('highest learning rate of stage 1'),
  warmupSteps: z.int().nonnegative().describe('steps over which the learning rate rises'),
  finalLrFraction: share.describe('last learning rate over the highest'),
  optimizer: z
    .enum(optimizerNames)
    .optional()
    .describe('muon: matrices by orthogonal momentum, all else by AdamW; adamw where this is left out'),
  beta1: share.describe('decay of the first moment (AdamW)'),
  beta2: share.describe('decay of the second moment (AdamW)'),
  weightDecay: z.number().nonnegative().describe('weight decay of AdamW, times the learning rate'),
  clipNorm: z.number().positive().describe('largest norm of the whole gradient'),
  logEvery: count.describe('steps between lines of progress'),
  checkpointEvery: count.describe('steps between checkpoints'),
  keepCheckpoints: count.describe('newest checkpoints kept of each stage'),
  sampleEvery: count.describe('steps between sample and reconstruction grids'),
  recompute: z.boolean().describe('compute blocks again in the backward pass: less memory, more time'),
  accumulate: count
    .optional()
    .describe('equal parts that every batch is worked through in, one after the other; 1 where left out'),
  stage1: z.strictObject({
    ...stage,
    encoderHold: share.describe('share of the steps in which the encoder feels almost no prior gradient'),
    encoderRamp: share.describe('share of the steps over which that gradient then grows to all of it'),
    encoderFloor: share.describe('share of the prior gradient that reaches the encoder while held'),
    from: z
      .string()
      .nullable()
      .default(null)
      .describe("run whose stage 1 is used instead of training one, seen from this run's directory"),
  }),
  stage2: z.strictObject({
    ...stage,
    batch: count.describe('latents per step of stage 2'),
    lr: z.number().positive().describe('highest learning rate of stage 2'),
    latents: z
      .enum(['kept', 'encoded'])
      .optional()
      .describe(
        'of clips: kept, all encoded before the first step, each in one window and with one number of given frames; encoded as they come where this is left out',
      ),
    givenShare: share
      .optional()
      .describe('share of clips of which stage 2 gives frames; video.givenShare where left out'),
  }),
  stages: z
    .record(z.string(), z.strictObject({ ...stage, batch: count, lr: z.number().positive() }))
    .optional()
    .describe('further stages by name, each with steps, emaDecay, batch and lr; none where this is left out'),
})

const video = z
  .strictObject({
    downsample: count.describe('frames per latent frame; a power of two'),
    kernel: count.max(15).describe('frames that a kernel over time spans; odd'),
    attention: z
      .enum(['full', 'factorised'])
      .describe('of tokens to those of all frames, or within a frame and then over time'),
    given: count.describe('frames that a prediction is given where nothing else is said'),
    givenShare: share.describe('share of clips of which training gives frames'),
    imageShare: share
      .optional()
      .describe('share of training clips that stand still at a frame, as images do; 0 where left out'),
  })
  .optional()

const student = z
  .strictObject({
    steps: chainSteps.describe('steps of the decoder that is taught'),
    teacherSteps: chainSteps.describe(
      'steps of its teacher, the decoder of train.stage1.from; a multiple of steps',
    ),
    generated: share.describe('share of its latents that the base model generates'),
  })
  .optional()

const sampler = z.strictObject({
  generator: z
    .enum(['base', 'prior'])
    .default('base')
    .describe('prior: the stage-1 prior generates (Appendix B)'),
  kind: z.enum(samplerKinds).describe('sampler of the latent chain: random or deterministic steps'),
  steps: chainSteps.describe('steps of the latent chain'),
  variance: share.describe('ancestral variance between lower (0) and upper (1) bound'),
  decoderKind: z.enum(samplerKinds).describe('sampler of the decoder'),
  decoderSteps: chainSteps.describe('steps of the decoder'),
  guidance: z.number().nonnegative().describe('1 is the conditional model alone'),
  guidanceLogSnr: z.tuple([z.number(), z.number()]).describe('log-SNR interval of guidance'),
  givenGuidance: z
    .number()
    .nonnegative()
    .optional()
    .describe('guidance of clips by their given frames; 1, none, where left out'),
})

/** The version of this schema; a file without it is taken to be current. */
export const configVersion: Config['version'] = 1

const configSchema: z.ZodType<Config> = z.strictObject({
  version: z.literal(configVersion).describe('of this form of configuration'),
  name: z.string().describe('names the run: runs/<name> by default'),
  seed: z.int().nonnegative().describe('of weights, order and noise'),
  data,
  latent,
  encoder,
  prior,
  decoder,
  base,
  variant,
  video,
  train,
  student,
  sampler,
})

/** Checks a tree of values against the schema. */
export const checkConfig = (tree: unknown): z.ZodSafeParseResult<Config> => configSchema.safeParse(tree)

const leaves = (schema: z.ZodType, path: string): [string, z.ZodType][] =>
  (schema instanceof z.ZodDefault || schema instanceof z.ZodOptional) &&
  schema.unwrap() instanceof z.ZodObject
    ? leaves(schema.unwrap() as z.ZodType, path)
    : schema instanceof z.ZodObject
      ? Object.entries(schema.shape).flatMap(([key, child]) =>
          leaves(child as z.ZodType, path === '' ? key : `${path}.${key}`),
        )
      : [[path, schema]]

/** The schema of every dotted key that can be set. */
export const keySchemas: ReadonlyMap<string, z.ZodType> = new Map(leaves(configSchema, ''))

/** Every dotted key that can be set, with what it is. */
export const configDescriptions: ReadonlyMap<string, string | undefined> = new Map(
  [...keySchemas].map(([key, schema]) => [key, schema.description]),
)

const isText = (schema: z.ZodType): boolean =>
  schema instanceof z.ZodDefault || schema instanceof z.ZodNullable || schema instanceof z.ZodOptional
    ? isText(schema.unwrap() as z.ZodType)
    : schema instanceof z.ZodString

/** Dotted keys whose values are texts: names and paths, of which nothing is to be read as YAML. */
export const textKeys: ReadonlySet<string> = new Set(
  [...keySchemas].flatMap(([key, schema]) => (isText(schema) ? [key] : [])),
)

/** Every dotted key that can be set. */
export const configKeys = (): string[] => [...configDescriptions.keys()]

/** The part that decides the networks; `classes` comes from the data. */
export const modelConfig = (config: Config, classes: number): ModelConfig => ({
  size: config.data.size,
  frames: config.data.frames,
  classes,
  latent: config.latent,
  encoder: config.encoder,
  prior: config.prior,
  decoder: config.decoder,
  base: config.base,
  variant: config.variant,
  video: config.video,
  recompute: config.train.recompute,
})
