/** @file The JSON files of a run, checked as they are read. */
import { readFileSync } from 'node:fs'
import { z } from 'zod'
import type { FeatureComparison } from '../metrics/compareFeatures.ts'
import type { ClipFigures, Evaluation, Prediction, Quality } from '../metrics/figures.ts'
import { parseChecked } from '../stored/checkedJson.ts'
import type { Provenance, Provenances } from './provenance.ts'

// Objects are loose: what a newer version measures besides is kept.
const measured = z.looseObject({ mean: z.number(), error: z.number() })

/** evaluation.json */
const prediction: z.ZodType<Prediction> = z.looseObject({
  count: z.number(),
  given: z.number(),
  draws: z.int().positive().exactOptional(),
  psnr: measured,
  expectedPsnr: measured.exactOptional(),
  repeatedPsnr: measured,
  psnrByFrame: z.array(measured),
  expectedPsnrByFrame: z.array(measured).exactOptional(),
  repeatedPsnrByFrame: z.array(measured),
  positionErrorByFrame: z.array(measured).exactOptional(),
  expectedPositionErrorByFrame: z.array(measured).exactOptional(),
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

/** A file as what a schema describes, as `parseChecked` reads its text. */
export const readChecked = <T>(schema: z.ZodType<T>, file: string, remedy: string): T =>
  parseChecked(schema, readFileSync(file, 'utf8'), file, remedy)

/** What `read` gives, or null and a warning where it throws: of files that are made again, and stop nothing. */
export const orWarn = <T>(read: () => T, warn: (text: string) => void): T | null => {
  try {
    return read()
  } catch (error) {
    warn(`${(error as Error).message} (it is passed over here)`)
    return null
  }
}

/** For programs that do not say whom to warn: damage is never passed over in silence. */
export const warnInProcess = (text: string): void => process.emitWarning(text)
