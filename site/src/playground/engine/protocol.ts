/** @file What the page and its worker say to each other: calls with one answer each, and what is seen in between. */

/** Where a model's files come from. */
export type ModelSource =
  /** URL of each file by its name (`config.yaml` …). */
  | { readonly kind: 'urls'; readonly name: string; readonly urls: Readonly<Record<string, string>> }
  /** A folder on this server. */
  | { readonly kind: 'folder'; readonly name: string; readonly url: string }
  /** Files that a person gave, by name. */
  | { readonly kind: 'files'; readonly name: string; readonly files: Readonly<Record<string, Blob>> }
  | { readonly kind: 'zip'; readonly name: string; readonly zip: Blob }

/** What the page shows of a model, and what it has to know to ask for something. */
export interface ModelSummary {
  readonly name: string
  /** Height and width of its images in pixels. */
  readonly size: number
  /** c, h, w */
  readonly latent: readonly [number, number, number]
  readonly parameters: number
  /** Whether it generates latents, and what can be asked for by name; one entry where nothing can. */
  readonly generates: boolean
  readonly choices: readonly string[]
  /** Whether its decoder predicts at once, whatever the steps. */
  readonly oneStep: boolean
  /** How its configuration samples. */
  readonly decoderSteps: number
  readonly latentSteps: number
  readonly guidance: number
  /** Where it computes, in sentences. */
  readonly said: readonly string[]
  /** Colours of amounts from none to most, as many [3] as the list is long. */
  readonly ramp: Uint8Array
}

/** An image as the model takes it. */
export interface SquareImage {
  /** [size, size, 3] */
  readonly pixels: Uint8Array
  /** Of the file, in pixels. */
  readonly width: number
  readonly height: number
}

/** Where the bits of an image's latent are. */
export interface Bits {
  /** [h·w] */
  readonly positions: Float64Array
  readonly bits: number
  readonly bitsPerPixel: number
}

/** What is generated: everything, or some positions of a latent. */
export interface GenerateInput {
  /** Numbers of `choices`, one for each sample. */
  readonly choices: readonly number[]
  readonly seed: number
  readonly steps: number
  readonly decoderSteps: number
  readonly guidance: number
  /** A latent of which positions are drawn anew, [c, h, w], and which, [h·w]; everything when absent. */
  readonly repaint?: { readonly z: Float32Array; readonly painted: Uint8Array } | undefined
}

/** Every call: what goes in and what comes out. */
export interface Calls {
  open: { in: { source: ModelSource; device: 'auto' | 'wasm' | 'webgpu' }; out: ModelSummary }
  prepare: { in: { image: Blob; fit: 'crop' | 'pad' }; out: SquareImage }
  encode: { in: { pixels: Uint8Array; seed: number }; out: { z: Float32Array } }
  measure: { in: { pixels: Uint8Array; seed: number }; out: Bits }
  /** `original` is what PSNR is taken against, where there is one. */
  decode: {
    in: { z: Float32Array; seed: number; steps: number; original?: Uint8Array | undefined }
    out: { pixels: Uint8Array; psnr: number | null }
  }
  generate: { in: GenerateInput; out: { pixels: Uint8Array[] } }
}

/** The name of a call. */
export type CallName = keyof Calls

/** How far a call is. */
export interface Live {
  readonly label?: string
  /** From 0 to 1; unknown when absent. */
  readonly share?: number
  /** What it would give now. */
  readonly pixels?: readonly Uint8Array[]
}

/** To the worker. */
export type Request =
  | { [K in CallName]: { readonly id: number; readonly call: K; readonly input: Calls[K]['in'] } }[CallName]
  | { readonly id: number; readonly call: 'cancel' }

/** From the worker. */
export type Reply =
  | { readonly id: number; readonly kind: 'live'; readonly live: Live }
  | { readonly id: number; readonly kind: 'done'; readonly output: unknown }
  | {
      readonly id: number
      readonly kind: 'failed'
      readonly message: string
      readonly cancelled: boolean
      /** Whether the model went with what it was open on, and has to be opened again. */
      readonly isClosed: boolean
    }
