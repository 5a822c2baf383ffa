/**
 * @file The optional package @huggingface/transformers: how it is found, the little of it that is used, and how its models
 * are opened. It is no dependency; whoever wants its models installs it.
 */
import { createHash } from 'node:crypto'
import { createReadStream, existsSync, readdirSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { z } from 'zod'
import { float32, type HostTensor } from '../engine/host/tensor.ts'

const packageName = '@huggingface/transformers'
/** The version that this was tried with. */
const triedVersion = '4.3.1'
const install = `npm install --no-save ${packageName}@${triedVersion}`

/** A model of the package: named inputs to named outputs. */
export interface HubModel {
  (inputs: Readonly<Record<string, unknown>>): Promise<unknown>
  dispose(): Promise<unknown>
}

/** Texts to the inputs of a text model. */
export type HubTokenizer = (
  texts: readonly string[],
  options: { readonly padding: boolean; readonly truncation: boolean },
) => Readonly<Record<string, unknown>>

interface LoadOptions {
  readonly revision: string
  readonly dtype: 'fp32'
  readonly device: 'cpu'
}

/** Opens something of a model; what it gives is checked before it is used. */
interface Loader {
  from_pretrained(id: string, options: LoadOptions): Promise<unknown>
}

const loader: z.ZodType<Loader> = z.custom<Loader>(
  (value) => typeof value === 'function' && 'from_pretrained' in value,
  'has no from_pretrained',
)

/** What is used of the package. */
export interface Transformers {
  readonly env: {
    readonly version: string
    readonly cacheDir: string | null
    readonly localModelPath: string
  }
  readonly Tensor: new (type: 'float32', data: Float32Array, dims: number[]) => unknown
  readonly AutoModel: Loader
  readonly AutoImageProcessor: Loader
  readonly AutoTokenizer: Loader
  readonly CLIPVisionModelWithProjection: Loader
  readonly CLIPTextModelWithProjection: Loader
}

const packageSchema: z.ZodType<Transformers> = z.object({
  env: z.object({ version: z.string(), cacheDir: z.string().nullable(), localModelPath: z.string() }),
  Tensor: z.custom<Transformers['Tensor']>((value) => typeof value === 'function', 'is no class'),
  AutoModel: loader,
  AutoImageProcessor: loader,
  AutoTokenizer: loader,
  CLIPVisionModelWithProjection: loader,
  CLIPTextModelWithProjection: loader,
})

/** Imports the package; tests pass one of their own. */
export type ImportTransformers = () => Promise<unknown>

const isMissing = (error: unknown): boolean =>
  error instanceof Error &&
  'code' in error &&
  (error.code === 'ERR_MODULE_NOT_FOUND' || error.code === 'MODULE_NOT_FOUND') &&
  error.message.includes(packageName)

/** Beside this code, or in the project that the command runs in. */
const importInstalled: ImportTransformers = async () => {
  try {
    return await import(packageName)
  } catch (error) {
    if (!isMissing(error)) throw error
    const path = createRequire(join(process.cwd(), 'package.json')).resolve(packageName)
    return await import(pathToFileURL(path).href)
  }
}

/**
 * The package.
 * @throws how to install it when it is missing or another version lacks what is used
 */
export const loadTransformers = async (
  importer: ImportTransformers = importInstalled,
): Promise<Transformers> => {
  const loaded = await importer().catch((cause: unknown) => {
    const text = isMissing(cause)
      ? `package ${packageName} is not installed; install it with ${install}`
      : `package ${packageName} cannot be loaded (${reasonOf(cause)}); install it again with ${install}`
    throw new Error(`features: ${text}`, { cause })
  })
  // What require() would give, imported, has everything below `default`.
  const inner = z.object({ default: z.looseObject({ env: z.unknown() }) }).safeParse(loaded)
  const { data, error } = packageSchema.safeParse(inner.data?.default.env ? inner.data.default : loaded)
  if (data !== undefined) return data
  const { path, message } = error.issues[0]
  throw new Error(
    `features: ${packageName} is not as expected (${path.join('.')}: ${message}); install the version that this was tried with: ${install}`,
  )
}

const reasonOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  const inner = error.cause instanceof Error ? `: ${error.cause.message}` : ''
  return `${error.message}${inner}`.replace(/\s+/g, ' ').replace(/\.$/, '')
}

/** Where a model comes from. */
export interface ModelPlace {
  /** For reports: the model's id, or its folder's name. */
  readonly label: string
  /** What the package is given: the id, or an absolute path. */
  readonly id: string
  readonly revision: string
  readonly local: boolean
}

/**
 * Reads `owner/name`, `owner/name@revision` or a folder.
 * @throws when what is written like a path leads to no folder
 */
export const modelPlace = (text: string): ModelPlace => {
  if (existsSync(join(text, 'config.json'))) {
    return { label: basename(resolve(text)), id: resolve(text), revision: 'main', local: true }
  }
  const [, id, revision] = /^([\w.-]+(?:\/[\w.-]+)?)(?:@([^@\s]+))?$/.exec(text) ?? []
  if (id === undefined || /^\.{1,2}(\/|$)/.test(id)) {
    throw new Error(
      `features: there is no folder with a config.json at ${text}; pass a folder or a model id such as ${shortNames.dinov2.id}`,
    )
  }
  return { label: id, id, revision: revision ?? 'main', local: false }
}

/** Models that have short names: `dinov2` is the network of FD-DINOv2 (Stein et al. 2023), the other a smaller one. */
export const shortNames = {
  dinov2: { id: 'Xenova/dinov2-large', name: 'FD-DINOv2', dimension: 1024 },
  'dinov2-b': { id: 'Xenova/dinov2-base', name: 'FD-DINOv2-B', dimension: 768 },
} as const

/** Messages of the package, and of Node below it, when a file could not be had. */
const notHad =
  /fetch failed|locate file|Local file missing|not found locally|access to file|trying to load file|ENOTFOUND|ECONN|EAI_AGAIN|timeout/i

/**
 * Opens a part of a model on the CPU, with float32 weights.
 * @throws one sentence that names the model, and what to do
 */
export const openPart = async (
  { env }: Transformers,
  { id, local, revision, label }: ModelPlace,
  files: string,
  part: Loader,
): Promise<unknown> => {
  try {
    return await part.from_pretrained(id, { revision, dtype: 'fp32', device: 'cpu' })
  } catch (cause) {
    const reason = reasonOf(cause)
    if (local) throw new Error(`features: ${id} cannot be opened (${reason}); it needs ${files}`, { cause })
    const text = notHad.test(reason)
      ? `model ${label} is neither in the cache ${env.cacheDir} nor reachable (${reason}); run once with a connection, or fetch ${files} elsewhere and name their folder, hub:/path/to/model`
      : `model ${label} cannot be opened (${reason})`
    throw new Error(`features: ${text}`, { cause })
  }
}

/** A model, checked to be one. */
export const asModel = (value: unknown, label: string): HubModel => {
  if (typeof value === 'function' && 'dispose' in value) return value as HubModel
  throw new Error(`features: ${label}: ${packageName} gave no model; it was tried with ${triedVersion}`)
}

/** A tokenizer, checked to be one. */
export const asTokenizer = (value: unknown, label: string): HubTokenizer => {
  if (typeof value === 'function') return value as HubTokenizer
  throw new Error(`features: ${label}: ${packageName} gave no tokenizer; it was tried with ${triedVersion}`)
}

const tensorSchema = z.object({ dims: z.array(z.int().nonnegative()), data: z.instanceof(Float32Array) })

/** A float32 output of a model. @throws naming those that there are */
export const outputOf = (outputs: unknown, name: string, label: string): HostTensor => {
  const found: Readonly<Record<string, unknown>> =
    typeof outputs === 'object' && outputs !== null ? { ...outputs } : {}
  if (found[name] === undefined) {
    throw new Error(
      `features: ${label} gives no ${name}, only ${Object.keys(found).join(', ') || 'nothing'}; take another model`,
    )
  }
  const { data } = tensorSchema.safeParse(found[name])
  if (data === undefined)
    throw new Error(`features: ${label}: ${name} is no float32 tensor; take another model`)
  return float32(data.dims, data.data)
}

/**
 * A hash of a model's weights, where the package keeps them as files: it tells one state of "main" from another.
 * @param names ONNX files without their ending
 * @returns twelve hexadecimal digits, or null where no file is found
 */
export const weightsHash = async (
  { env }: Transformers,
  { id, revision, local }: ModelPlace,
  names: readonly string[],
): Promise<string | null> => {
  const kept = [...(env.cacheDir === null ? [] : [env.cacheDir]), env.localModelPath]
  const below = revision === 'main' ? id : join(id, revision)
  const folders = (local ? [id] : kept.map((folder) => join(folder, below))).map((f) => join(f, 'onnx'))
  const folder = folders.find((f) => existsSync(join(f, `${names[0]}.onnx`)))
  if (folder === undefined) return null
  const files = readdirSync(folder)
    .filter((file) => names.some((name) => file === `${name}.onnx` || file.startsWith(`${name}.onnx_data`)))
    .sort()
  const hash = createHash('sha256')
  for (const file of files) {
    hash.update(`${file} ${statSync(join(folder, file)).size}\0`)
    for await (const chunk of createReadStream(join(folder, file))) hash.update(chunk as Buffer)
  }
  return hash.digest('hex').slice(0, 12)
}
