/** @file A stand-in for @huggingface/transformers: networks of a few lines, and a record of how they were asked. */

interface Asked {
  readonly part: string
  readonly id: string
  readonly options: unknown
}

/** What a stand-in's networks give; what is absent is as in a model that works. */
export interface Fake {
  readonly processor?: Readonly<Record<string, unknown>>
  /** Outputs of the image network for pixel values [N, 3, H, W]. */
  readonly hidden?: (pixels: Float32Array, dims: readonly number[]) => unknown
  readonly captions?: Readonly<Record<string, readonly number[]>>
  /** Thrown instead of opening this part. */
  readonly failure?: { readonly part: string; readonly error: Error }
}

const plain = {
  size: { height: 2, width: 2 },
  do_normalize: false,
  do_rescale: true,
  rescale_factor: 1 / 255,
}

/** A tensor as the package has them. */
export class FakeTensor {
  readonly type: string
  readonly data: unknown
  readonly dims: number[]
  constructor(type: string, data: unknown, dims: number[]) {
    this.type = type
    this.data = data
    this.dims = dims
  }
}

/** Means of the channels, [N, 3]. */
export const channelMeans = (pixels: Float32Array, [n, , h, w]: readonly number[]): number[] =>
  Array.from({ length: n * 3 }, (_, i) => {
    const plane = pixels.subarray(i * h * w, (i + 1) * h * w)
    return plane.reduce((a, b) => a + b, 0) / plane.length
  })

/** The class token has the channels' means, another token 100. */
const meansAsToken = (pixels: Float32Array, dims: readonly number[]): unknown => {
  const means = channelMeans(pixels, dims)
  const rows = means.flatMap((_, i) => (i % 3 === 0 ? [...means.slice(i, i + 3), 100, 100, 100] : []))
  return { last_hidden_state: new FakeTensor('float32', Float32Array.from(rows), [dims[0], 2, 3]) }
}

/** A module to import, and what it was asked. */
export interface FakeTransformers {
  readonly module: Readonly<Record<string, unknown>>
  importer(): Promise<unknown>
  readonly asked: readonly Asked[]
  /** Images of each call. */
  readonly batches: readonly number[]
  readonly texts: readonly (readonly string[])[]
  /** Networks closed so far. */
  disposed(): number
}

/** Makes a stand-in. */
export const fakeTransformers = ({
  processor,
  hidden,
  captions = {},
  failure,
}: Fake = {}): FakeTransformers => {
  const asked: Asked[] = []
  const batches: number[] = []
  const texts: string[][] = []
  let disposed = 0
  const loader = (part: string, value: unknown) =>
    Object.assign(() => undefined, {
      from_pretrained: async (id: string, options: unknown) => {
        asked.push({ part, id, options })
        if (failure?.part === part) throw failure.error
        return value
      },
    })
  const model = (run: (pixels: Float32Array, dims: number[]) => unknown) =>
    Object.assign(
      async ({ pixel_values: { data, dims } }: { readonly pixel_values: FakeTensor }) => {
        batches.push(dims[0])
        return run(data as Float32Array, dims)
      },
      { dispose: async () => void disposed++ },
    )
  const vision = model((pixels, dims) => ({
    image_embeds: new FakeTensor('float32', Float32Array.from(channelMeans(pixels, dims)), [dims[0], 3]),
  }))
  const text = Object.assign(
    async ({ input_ids }: { readonly input_ids: readonly string[] }) => {
      texts.push([...input_ids])
      const rows = input_ids.map((caption) => captions[caption] ?? [1, 2, 3])
      const dims = [rows.length, rows[0].length]
      return { text_embeds: new FakeTensor('float32', Float32Array.from(rows.flat()), dims) }
    },
    { dispose: async () => void disposed++ },
  )
  const module = {
    env: { version: '9.9.9', cacheDir: '/kept/here', localModelPath: '/models' },
    Tensor: FakeTensor,
    AutoImageProcessor: loader(
      'processor',
      Object.assign(() => undefined, plain, processor),
    ),
    AutoModel: loader('model', model(hidden ?? meansAsToken)),
    AutoTokenizer: loader('tokenizer', (input_ids: readonly string[]) => ({ input_ids })),
    CLIPVisionModelWithProjection: loader('vision', vision),
    CLIPTextModelWithProjection: loader('text', text),
  }
  return {
    module,
    importer: async (): Promise<unknown> => module,
    asked,
    batches,
    texts,
    disposed: () => disposed,
  }
}
