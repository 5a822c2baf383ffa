/** @file The JSON files of a run, checked as they are read. */
import { z } from 'zod'
import { textChecksum } from '../files/checksums.ts'
import type { FeatureComparison } from '../metrics/compareFeatures.ts'
import type { ClipFigures, Evaluation, Prediction, Quality } from '../metrics/figures.ts'
import type { Provenance, Provenances } from './provenanceRecord.ts'

// Objects are loose: what a newer version measures besides is kept.
const measured = z.looseObject({ mean: z.number(), error: z.number() })

/** evaluation.json */
const prediction: z.ZodType<Prediction> = z.object({
  count: z.number(),
  given: z.number(),
  psnr: measured,
  repeatedPsnr: measured,
  psnrByFrame: z.array(measured),
  repeatedPsnrByFrame: z.array(measured),
  positionErrorByFrame: z.array(measured).exactOptional(),
  constantVelocityErrorByFrame: z.array(measured).exactOptional(),
})

export const evaluationSchema: z.ZodType<Evaluation> = z
  .object({
    count: z.number(),
    psnr: measured,
    ssim: measured.nullable().exactOptional(),
    gridPsnr: measured,
    bitsPerPixel: measured,
    bitsPerDim: measured,
    baseBitsPerPixel: measured.exactOptional(),
    bitsPerPixelByFrame: z.array(measured).exactOptional(),
    still: z
      .object({ count: z.number(), clipBits: measured, imageBits: measured, ratio: z.number() })
      .exactOptional(),
    prediction: prediction.exactOptional(),
    priorNats: measured,
    terminalNats: measured,
    decoderNats: measured,
    latentRms: z.number(),
    imagesPerSecond: z.number(),
  })
  .catchall(z.unknown())

const comparison: z.ZodType<FeatureComparison> = z.looseObject({
  frechet: z.number(),
  frechetExtrapolated: z.number().nullable(),
  bias: z.number().nullable(),
  kid: measured,
  precision: z.number(),
  recall: z.number(),
  realCount: z.number(),
  fakeCount: z.number(),
})

const clipScore = z.looseObject({ mean: z.number(), error: z.number(), count: z.number() }).nullable()

const clip: z.ZodType<ClipFigures> = z.looseObject({
  protocol: z.looseObject({
    model: z.string(),
    score: z.string(),
    captions: z.string(),
    prompts: z.string(),
  }),
  reconstructions: clipScore,
  originals: clipScore,
  samples: clipScore,
  originalsByClass: clipScore,
})

/** quality.json */
export const qualitySchema: z.ZodType<Quality> = z.looseObject({
  protocol: z.looseObject({
    network: z.string(),
    quantiser: z.string(),
    reconstructionsOf: z.string().exactOptional(),
    samplesAgainst: z.string().exactOptional(),
    samples: z.number().exactOptional(),
    seed: z.number().exactOptional(),
    latentSampler: z.string(),
    decoderSampler: z.string(),
    guidance: z.number(),
    guidanceLogSnr: z.tuple([z.number(), z.number()]).exactOptional(),
  }),
  reconstruction: comparison.nullable(),
  generation: comparison.nullable(),
  clip: clip.exactOptional(),
})

const provenance: z.ZodType<Provenance> = z.looseObject({
  commit: z.string().nullable(),
  version: z.string().nullable(),
  date: z.string().nullable(),
  machine: z.looseObject({ cpu: z.string(), device: z.string() }).nullable(),
})

/** provenance.json */
export const provenancesSchema: z.ZodType<Provenances> = z.looseObject({
  evaluation: provenance.exactOptional(),
  quality: provenance.exactOptional(),
})

/** JSON of an object by which it is known again. */
const sealOf = (tree: object): string => textChecksum(JSON.stringify(tree))

/** An object with its checksum as last key. */
export const withSeal = <T extends object>(tree: T): T & { readonly checksum: string } => ({
  ...tree,
  checksum: sealOf(tree),
})

/** Whether an object is what was written; one without a checksum is, unless it has those of tensors, which are written with it. */
const isUnchanged = (tree: unknown): boolean => {
  if (typeof tree !== 'object' || tree === null) return true // the schema says what is wrong
  const { checksum, ...rest } = tree as { readonly checksum?: unknown }
  return checksum === undefined ? !Object.hasOwn(rest, 'tensors') : checksum === sealOf(rest)
}

/** Objects of a schema as `withSeal` wrote them; those of older versions have no checksum. */
export const sealed = <T>(schema: z.ZodType<T>): z.ZodType<T> =>
  z
    .unknown()
    .refine(isUnchanged, { abort: true, error: 'is not what was saved (its checksum differs)' })
    .transform((tree) => {
      if (typeof tree !== 'object' || tree === null) return tree
      const { checksum: _, ...rest } = tree as { readonly checksum?: unknown }
      return rest
    })
    .pipe(schema)

/**
 * A value as what a schema describes.
 * @param place the file, and the line where it has many
 * @param remedy what to do about something else
 * @throws one sentence with place, what was found and remedy
 */
export const checked = <T>(schema: z.ZodType<T>, value: unknown, place: string, remedy: string): T => {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const [issue] = result.error.issues
  const key = issue?.path.join('.') ?? ''
  const message = (issue?.message ?? '').replace(/^./, (first) => first.toLowerCase())
  throw new Error(`${place}: ${key === '' ? '' : `'${key}': `}${message}; ${remedy}`)
}

/** The same of JSON text. */
export const parseChecked = <T>(schema: z.ZodType<T>, text: string, place: string, remedy: string): T => {
  let tree: unknown
  try {
    tree = JSON.parse(text)
  } catch (cause) {
    throw new Error(`${place}: this is not JSON; ${remedy}`, { cause })
  }
  return checked(schema, tree, place, remedy)
}

/** What `read` gives, or null and a warning where it throws: of files that are made again, and stop nothing. */
export const orWarn = <T>(read: () => T, warn: (text: string) => void): T | null => {
  try {
    return read()
  } catch (error) {
    warn(`${(error as Error).message} (it is passed over here)`)
    return null
  }
}
