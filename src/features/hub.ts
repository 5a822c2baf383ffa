/**
 * @file Models of the Hugging Face hub through the optional package @huggingface/transformers: feature networks, and CLIP's
 * agreement of images with captions.
 */
import { z } from 'zod'
import { quantiserName } from '../engine/host/pixels.ts'
import type { HostTensor } from '../engine/host/tensor.ts'
import { type InputRule, inBatches, toInput, valuesText } from './input.ts'
import { type FeatureNetwork, rowsOf } from './network.ts'
import { type ImageSize, resizeImages } from './resize.ts'
import {
  asModel,
  asTokenizer,
  type ImportTransformers,
  loadTransformers,
  type ModelPlace,
  modelPlace,
  openPart,
  outputOf,
  shortNames,
  type Transformers,
  weightsHash,
} from './transformers.ts'

/** What `--features` starts with when it names a model of the hub. */
export const hubPrefix = 'hub:'

/** CLIP ViT-B/32 of Radford et al. 2021, the usual one for CLIP scores. */
export const defaultClip = 'Xenova/clip-vit-base-patch32'

/** How to open a model. */
export interface HubOptions {
  /** Imports the package; the installed one when absent. */
  readonly importer?: ImportTransformers | undefined
  /** Images or captions at a time. */
  readonly batch?: number
}

const three = z.tuple([z.number(), z.number(), z.number()])
const side = z.int().positive()
const sideSchema = z.union([
  side.transform((n): ImageSize => ({ height: n, width: n })),
  z.object({ height: side, width: side }),
  z.object({ shortest_edge: side }).transform(({ shortest_edge: n }): ImageSize => ({ height: n, width: n })),
])

const processorSchema = z.object({
  size: sideSchema.optional(),
  crop_size: sideSchema.optional(),
  do_center_crop: z.boolean().nullish(),
  do_normalize: z.boolean().nullish(),
  do_rescale: z.literal(true, 'is not covered unless true').nullish(),
  rescale_factor: z
    .number()
    .refine((v) => Math.abs(v * 255 - 1) < 1e-4, 'is not covered unless 1/255')
    .nullish(),
  do_flip_channel_order: z.literal(false, 'is not covered unless false').nullish(),
  image_mean: three.nullish(),
  image_std: three.nullish(),
})

/** How the model wants its images: its preprocessor's final size, mean and standard deviation. */
const ruleOf = (processor: unknown, label: string): InputRule => {
  const fields = processor !== null && ['object', 'function'].includes(typeof processor)
  const { data, error } = processorSchema.safeParse(fields ? { ...(processor as object) } : {})
  if (data === undefined) {
    const { path, message } = error.issues[0]
    throw new Error(`features: ${label}: preprocessor_config.json: ${path.join('.')}: ${message}`)
  }
  const to = data.do_center_crop === true ? (data.crop_size ?? data.size) : data.size
  const { image_mean: mean, image_std: std } = data
  if (to === undefined || (data.do_normalize === true && !(mean && std))) {
    throw new Error(
      `features: ${label}: preprocessor_config.json says neither which size the model takes nor how values are normalised; both are needed`,
    )
  }
  const values = data.do_normalize === true && mean && std ? { mean, std } : { range: [0, 1] as const }
  return { height: to.height, width: to.width, layout: 'nchw', channels: 'rgb', ...values }
}

/** Images as a model's input; whole ones, brought to its size by one resize. */
const pixelValues = ({ Tensor }: Transformers, bytes: Uint8Array, size: ImageSize, rule: InputRule) => {
  const { shape, data } = toInput(resizeImages(bytes, size, rule, 'bicubic-antialias'), rule)
  return new Tensor('float32', data as Float32Array, [...shape])
}

const inputText = (rule: InputRule): string =>
  `whole images at ${rule.height}×${rule.width} (resize bicubic-antialias), ${valuesText(rule)}`

/** The model's version in words: everything that decides which weights ran. */
const versionText = (transformers: Transformers, place: ModelPlace, hash: string | null): string =>
  [
    ...(place.local ? ['a local folder'] : [`revision ${place.revision}`]),
    ...(hash === null ? [] : [`weights ${hash}`]),
    'fp32',
    `transformers.js ${transformers.env.version}`,
  ].join(', ')

/** A short name, with or without a revision, and its model. */
const shortName = (text: string) => {
  const [name, ...revision] = text.split('@')
  if (!Object.hasOwn(shortNames, name)) return null
  const known = shortNames[name as keyof typeof shortNames]
  return { ...known, place: modelPlace([known.id, ...revision].join('@')) }
}

/**
 * Opens a model as a feature network: the class token of `last_hidden_state`.
 * @param id `dinov2` (FD-DINOv2's network), `dinov2-b`, a model id, `id@revision`, or a folder; without "hub:"
 * @throws one sentence when the package or the model is missing, or when the model is not of that kind
 */
export const openHubNetwork = async (
  id: string,
  { importer, batch = 16 }: HubOptions = {},
): Promise<FeatureNetwork> => {
  const known = shortName(id)
  const place = known?.place ?? modelPlace(id)
  const { label } = place
  const transformers = await loadTransformers(importer)
  const files = 'config.json, preprocessor_config.json and onnx/model.onnx'
  // The small file first: a model that is not there, or is of another kind, is told before it is downloaded.
  const rule = ruleOf(await openPart(transformers, place, files, transformers.AutoImageProcessor), label)
  const model = asModel(await openPart(transformers, place, files, transformers.AutoModel), label)
  const token = 0
  const output = 'last_hidden_state'
  const features: FeatureNetwork['features'] = (pixels, size, signal) =>
    inBatches(pixels, size, { batch, fill: false, signal }, async (bytes) => {
      const count = bytes.length / (size.height * size.width * 3)
      const outputs = await model({ pixel_values: pixelValues(transformers, bytes, size, rule) })
      return rowsOf(outputOf(outputs, output, label), count, token, `features: ${label}: output "${output}"`)
    })
  try {
    const dimension = (await features(new Uint8Array(rule.height * rule.width * 3), rule)).length
    if (known !== null && dimension !== known.dimension) {
      throw new Error(`features: ${label} gives ${dimension} features, ${known.name} has ${known.dimension}`)
    }
    const name = known?.name ?? `FD-${label}`
    const version = versionText(transformers, place, await weightsHash(transformers, place, ['model']))
    return {
      name,
      dimension,
      describe: () =>
        `${name}: ${dimension} features (token ${token} of ${output}) of ${label} (${version}) from ${inputText(rule)}; bytes by ${quantiserName}`,
      features,
      dispose: async () => {
        await model.dispose()
      },
    }
  } catch (error) {
    await model.dispose()
    throw error
  }
}

/** An opened CLIP model. */
export interface ClipModel {
  /** One line for the report: model and image size. */
  describe(): string
  /**
   * CLIP scores: 100·cos between an image and its caption, below 0 where they point apart.
   * @param pixels [N, height, width, 3] RGB bytes
   * @param captions N texts
   */
  score(pixels: Uint8Array, size: ImageSize, captions: readonly string[]): Promise<Float64Array>
  dispose(): Promise<void>
}

/** Cosines of the rows of two matrices [N, d]. */
const cosines = (a: readonly Float32Array[], b: readonly Float32Array[]): Float64Array =>
  Float64Array.from(a, (x, i) => {
    const y = b[i]
    let [xy, xx, yy] = [0, 0, 0]
    for (let j = 0; j < x.length; j++) {
      xy += x[j] * y[j]
      xx += x[j] * x[j]
      yy += y[j] * y[j]
    }
    return xy / Math.sqrt(xx * yy)
  })

const split = (rows: Float32Array, count: number): Float32Array[] =>
  Array.from({ length: count }, (_, i) => {
    const d = rows.length / count
    return rows.subarray(i * d, (i + 1) * d)
  })

/**
 * Opens a CLIP model: its image and its text network, each with its projection.
 * @param id a model id, `id@revision`, or a folder
 * @throws one sentence when the package or the model is missing, or when the model is no CLIP
 */
export const openClip = async (
  id: string = defaultClip,
  { importer, batch = 16 }: HubOptions = {},
): Promise<ClipModel> => {
  const place = modelPlace(id)
  const { label } = place
  const transformers = await loadTransformers(importer)
  const files =
    'config.json, preprocessor_config.json, tokenizer.json, tokenizer_config.json, onnx/vision_model.onnx and onnx/text_model.onnx'
  const part = (loader: Parameters<typeof openPart>[3]) => openPart(transformers, place, files, loader)
  const rule = ruleOf(await part(transformers.AutoImageProcessor), label)
  const tokenizer = asTokenizer(await part(transformers.AutoTokenizer), label)
  const vision = asModel(await part(transformers.CLIPVisionModelWithProjection), label)
  const text = asModel(
    await part(transformers.CLIPTextModelWithProjection).catch(async (error: unknown) => {
      await vision.dispose()
      throw error
    }),
    label,
  )
  const rows = (output: HostTensor, count: number, name: string): Float32Array =>
    rowsOf(output, count, undefined, `features: ${label}: output "${name}"`)
  const imageRows = (pixels: Uint8Array, size: ImageSize): Promise<Float32Array> =>
    inBatches(pixels, size, { batch, fill: false }, async (bytes) => {
      const count = bytes.length / (size.height * size.width * 3)
      const outputs = await vision({ pixel_values: pixelValues(transformers, bytes, size, rule) })
      return rows(outputOf(outputs, 'image_embeds', label), count, 'image_embeds')
    })
  /** Rows by caption, kept: class names come again and again. */
  const captionRows = new Map<string, Float32Array>()
  const readCaptions = async (captions: readonly string[]): Promise<void> => {
    const fresh = [...new Set(captions)].filter((caption) => !captionRows.has(caption))
    for (let from = 0; from < fresh.length; from += batch) {
      const some = fresh.slice(from, from + batch)
      const outputs = await text(tokenizer(some, { padding: true, truncation: true }))
      const embeds = rows(outputOf(outputs, 'text_embeds', label), some.length, 'text_embeds')
      for (const [i, row] of split(embeds, some.length).entries()) captionRows.set(some[i], row)
    }
  }
  const hash = await weightsHash(transformers, place, ['vision_model', 'text_model'])
  const version = versionText(transformers, place, hash)
  return {
    describe: () => `${label} (${version}), ${inputText(rule)}`,
    score: async (pixels, size, captions) => {
      const count = pixels.length / (size.height * size.width * 3)
      if (count !== captions.length)
        throw new Error(`features: ${count} images, but ${captions.length} captions; pass one for each`)
      if (count === 0) return new Float64Array(0)
      await readCaptions(captions)
      const images = split(await imageRows(pixels, size), count)
      const words = captions.map((caption) => captionRows.get(caption)!)
      if (images[0].length !== words[0].length) {
        throw new Error(
          `features: ${label} gives ${images[0].length} features of an image but ${words[0].length} of a caption; take a CLIP model`,
        )
      }
      return cosines(images, words).map((cosine) => 100 * cosine)
    },
    dispose: async () => {
      await vision.dispose()
      await text.dispose()
    },
  }
}
