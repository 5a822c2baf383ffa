/** @file What an ONNX file of a feature network does not say about itself, in a JSON file beside it. */
import { existsSync, readFileSync } from 'node:fs'
import { z } from 'zod'
import { type ResizeRule, resizeRules } from './resize.ts'

const three = z.tuple([z.number(), z.number(), z.number()])

/** A size at which images are judged, whatever size a network takes. */
export interface Evaluated {
  readonly height: number
  readonly width: number
  readonly resize: ResizeRule
}

/** A feature network's description. */
export interface Sidecar {
  /** Name for reports, such as "FID" or "FD-DINOv2". */
  readonly name: string
  /** Size in pixels that the network takes. */
  readonly height: number
  readonly width: number
  /** How images are brought to that size. */
  readonly resize: ResizeRule
  /** With t it takes clips, whose frames it sees together. */
  readonly layout: 'nchw' | 'nhwc' | 'ncthw' | 'nthwc'
  /** Frames that a clip must have at least, or exactly where the graph fixes them; absent for networks of images. */
  readonly frames?: number | undefined
  /** The size that images are brought to before that of the network, where they are judged at another than their own. */
  readonly evaluateAt?: Evaluated | undefined
  readonly channels: 'rgb' | 'bgr'
  /** What bytes 0 and 255 become; */
  readonly range?: readonly [number, number] | undefined
  /** or (byte/255 − mean)/std for each channel, in the order of `channels`. */
  readonly mean?: readonly [number, number, number] | undefined
  readonly std?: readonly [number, number, number] | undefined
  /** The graph's output with one row of features an image. */
  readonly output: string
  /** Which row of [N, rows, d] are the features, where the output has one for each token: 0 for a class token. */
  readonly token?: number | undefined
  /** Images at a time, where the graph leaves that open. */
  readonly batch: number
}

const sidecarSchema: z.ZodType<Sidecar> = z
  .strictObject({
    name: z.string().min(1),
    height: z.int().positive(),
    width: z.int().positive(),
    resize: z.enum(resizeRules),
    layout: z.enum(['nchw', 'nhwc', 'ncthw', 'nthwc']),
    frames: z.int().positive().optional(),
    evaluateAt: z
      .strictObject({ height: z.int().positive(), width: z.int().positive(), resize: z.enum(resizeRules) })
      .optional(),
    channels: z.enum(['rgb', 'bgr']).default('rgb'),
    range: z.tuple([z.number(), z.number()]).optional(),
    mean: three.optional(),
    std: three.optional(),
    output: z.string().min(1),
    token: z.int().nonnegative().optional(),
    batch: z.int().positive().default(16),
  })
  .refine(
    ({ range, mean, std }) =>
      (range === undefined) === (mean !== undefined) && (mean === undefined) === (std === undefined),
    'give either range, or mean and std',
  )
  .refine(
    ({ layout, frames }) => layout.includes('t') === (frames !== undefined),
    'give frames for the layouts ncthw and nthwc, and for no other',
  )

/** `inception.onnx` → `inception.json`. */
export const sidecarPath = (onnxFile: string): string => `${onnxFile.replace(/\.onnx$/i, '')}.json`

const sample = JSON.stringify({
  name: 'FID',
  height: 299,
  width: 299,
  resize: 'bilinear-tf1',
  layout: 'nchw',
  range: [-1, 0.9921875],
  output: 'features',
})

/**
 * Reads and checks the description beside an ONNX file.
 * @throws one sentence that says what to write when it is missing, and what is wrong with it otherwise
 */
export const readSidecar = (onnxFile: string): Sidecar => {
  const file = sidecarPath(onnxFile)
  if (!existsSync(file)) {
    throw new Error(
      `features: ${file} is missing; describe the network there, for example ${sample} (docs/metrics.md)`,
    )
  }
  let content: unknown
  try {
    content = JSON.parse(readFileSync(file, 'utf8'))
  } catch (cause) {
    throw new Error(`features: ${file} is not JSON (${(cause as Error).message})`, { cause })
  }
  const { data, error } = sidecarSchema.safeParse(content)
  if (data !== undefined) return data
  const { path, message } = error.issues[0]
  throw new Error(`features: ${file}: ${path.length === 0 ? '' : `${path.join('.')}: `}${message}`)
}
