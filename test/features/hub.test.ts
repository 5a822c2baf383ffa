/** @file Models through @huggingface/transformers, which is not installed here: a stand-in, values by hand, and what is said when something is missing. */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openClip, openHubNetwork } from '../../src/features/hub.ts'
import { temporaryFolder, writeFiles } from '../data/temporary.ts'
import { type Fake, FakeTensor, fakeTransformers } from './fakeTransformers.ts'

const folder = await temporaryFolder()
const size = { height: 2, width: 2 }
const flat = (r: number, g: number, b: number): number[] => Array.from({ length: 4 }, () => [r, g, b]).flat()
const images = Uint8Array.from([...flat(0, 51, 255), ...flat(102, 0, 0), ...flat(0, 0, 204)])
const install = 'npm install --no-save @huggingface/transformers@4.3.1'

const wide =
  (d: number) =>
  (_: Float32Array, [n]: readonly number[]) => ({
    last_hidden_state: new FakeTensor('float32', new Float32Array(n * 2 * d), [n, 2, d]),
  })

const rounded = (values: ArrayLike<number>): number[] =>
  Array.from(values, (v: number) => Number(v.toFixed(4)))

describe('openHubNetwork', () => {
  it('gives the class token of each image, a batch at a time', async () => {
    const { importer, asked, batches, disposed } = fakeTransformers()
    const network = await openHubNetwork('some/model', { importer, batch: 2 })
    expect(network).toMatchObject({ name: 'FD-some/model', dimension: 3 })
    expect(rounded(await network.features(images, size))).toEqual([0, 0.2, 1, 0.4, 0, 0, 0, 0, 0.8])
    expect(batches).toEqual([1, 2, 1])
    const options = { revision: 'main', dtype: 'fp32', device: 'cpu' }
    expect(asked).toEqual([
      { part: 'processor', id: 'some/model', options },
      { part: 'model', id: 'some/model', options },
    ])
    expect(network.describe()).toBe(
      'FD-some/model: 3 features (token 0 of last_hidden_state) of some/model (revision main, fp32, transformers.js 9.9.9) from whole images at 2×2 (resize bicubic-antialias), range 0 … 1; bytes by round(127.5x + 127.5), clipped to 0 … 255',
    )
    expect(await network.features(new Uint8Array(0), size)).toEqual(new Float32Array(0))
    await expect(network.features(new Uint8Array(13), size)).rejects.toThrow(/13 bytes are not images of 2×2/)
    await network.dispose()
    expect(disposed()).toBe(1)
  })

  it('normalises as the preprocessor says, and shrinks whole images to its crop', async () => {
    const processor = {
      ...{ size: { shortest_edge: 4 }, do_center_crop: true, crop_size: 2 },
      ...{ do_normalize: true, image_mean: [0.2, 0, 0.5], image_std: [0.2, 0.1, 0.5] },
    }
    const { importer } = fakeTransformers({ processor })
    const network = await openHubNetwork('some/model', { importer })
    expect(rounded(await network.features(images, size))).toEqual([-1, 2, 1, 1, 0, -1, -1, 0, 0.6])
    // A black frame around red: a crop would take it away.
    const framed = Array.from({ length: 16 }, (_, i) =>
      i % 4 === 0 || i % 4 === 3 || i < 4 || i >= 12 ? [0, 0, 0] : [255, 0, 0],
    )
    const [red] = await network.features(Uint8Array.from(framed.flat()), { height: 4, width: 4 })
    expect(red).toBeGreaterThan(-1)
    expect(red).toBeLessThan(2)
    expect(network.describe()).toContain('at 2×2 (resize bicubic-antialias), mean 0.2, 0, 0.5, std 0.2, 0.1')
  })

  it.each([
    ['dinov2', 'Xenova/dinov2-large', 'main', 1024, 'FD-DINOv2'],
    ['dinov2-b@v1', 'Xenova/dinov2-base', 'v1', 768, 'FD-DINOv2-B'],
  ])('knows %s', async (short, id, revision, dimension, name) => {
    const { importer, asked } = fakeTransformers({ hidden: wide(dimension) })
    const network = await openHubNetwork(short, { importer })
    expect(network).toMatchObject({ name, dimension })
    expect(network.describe()).toContain(`of ${id} (revision ${revision}, fp32`)
    expect(asked[1]).toMatchObject({ id, options: { revision } })
  })

  it('reads a folder, whose weights are in the description', async () => {
    const local = join(folder, 'local')
    await writeFiles(local, { 'config.json': Buffer.from('{}'), 'onnx/model.onnx': Buffer.from('abc') })
    const { importer, asked } = fakeTransformers()
    const network = await openHubNetwork(local, { importer })
    const hash = createHash('sha256').update('model.onnx 3\0abc').digest('hex').slice(0, 12)
    expect(network).toMatchObject({ name: 'FD-local' })
    expect(network.describe()).toContain(`of local (a local folder, weights ${hash}, fp32`)
    expect(asked[0].id).toBe(local)
  })

  it('takes a package that was loaded by require', async () => {
    const { module } = fakeTransformers()
    const importer = async () => ({ default: module })
    expect(await openHubNetwork('some/model', { importer })).toMatchObject({ dimension: 3 })
  })

  const failing = (part: string, message: string, cause?: Error): Fake => ({
    failure: { part, error: new Error(message, { cause }) },
  })
  const gives = (value: unknown): Fake => ({ hidden: () => value })
  it.each<[string, string, Fake, RegExp]>([
    [
      'a model that cannot be reached',
      'some/model',
      failing('processor', 'fetch failed', new Error('getaddrinfo ENOTFOUND')),
      /^features: model some\/model is neither in the cache \/kept\/here nor reachable \(fetch failed: getaddrinfo ENOTFOUND\); run once with a connection, or fetch config.json, preprocessor_config.json and onnx\/model.onnx elsewhere and name their folder, hub:\/path\/to\/model$/,
    ],
    [
      'a model that cannot be opened',
      'some/model',
      failing('model', 'Unsupported model type: x.'),
      /^features: model some\/model cannot be opened \(Unsupported model type: x\)$/,
    ],
    [
      'a folder without weights',
      join(folder, 'local'),
      failing('model', 'Local file missing at "a"'),
      /local cannot be opened \(Local file missing at "a"\); it needs config\.json, preprocessor_config\.json and onnx/,
    ],
    ['no folder', './none', {}, /no folder with a config\.json at \.\/none; pass a folder or a model id/],
    ['no id', 'a/b/c', {}, /no folder with a config\.json at a\/b\/c/],
    [
      'no tokens',
      'some/model',
      gives({ pooled: 1, logits: 2 }),
      /^features: some\/model gives no last_hidden_state, only pooled, logits; take another model$/,
    ],
    [
      'maps',
      'some/model',
      gives({ last_hidden_state: new FakeTensor('float32', new Float32Array(12), [1, 3, 2, 2]) }),
      /output "last_hidden_state" has shape \[1,3,2,2\] for 1 images; it takes \[1, more than 0 tokens, features\]/,
    ],
    [
      'half precision',
      'some/model',
      gives({ last_hidden_state: new FakeTensor('float16', new Uint16Array(3), [1, 1, 3]) }),
      /last_hidden_state is no float32 tensor/,
    ],
    ['another width', 'dinov2', {}, /Xenova\/dinov2-large gives 3 features, FD-DINOv2 has 1024/],
    [
      'no size',
      'some/model',
      { processor: { size: undefined } },
      /some\/model: preprocessor_config\.json says neither which size/,
    ],
    [
      'a rescaling that is not covered',
      'some/model',
      { processor: { rescale_factor: 1 / 127.5 } },
      /preprocessor_config\.json: rescale_factor: is not covered unless 1\/255/,
    ],
  ])('says in one sentence: %s', async (_, id, fake, message) => {
    const { importer } = fakeTransformers(fake)
    await expect(openHubNetwork(id, { importer })).rejects.toThrow(message)
  })

  it('closes a model that does not fit', async () => {
    const { importer, disposed } = fakeTransformers(gives({}))
    await expect(openHubNetwork('some/model', { importer })).rejects.toThrow(/only nothing/)
    expect(disposed()).toBe(1)
  })
})

describe('the package', () => {
  const missing = Object.assign(new Error("Cannot find package '@huggingface/transformers'"), {
    code: 'ERR_MODULE_NOT_FOUND',
  })
  it.each<[string, () => Promise<unknown>, string]>([
    [
      'missing',
      () => Promise.reject(missing),
      `features: package @huggingface/transformers is not installed; install it with ${install}`,
    ],
    [
      'broken',
      () => Promise.reject(new Error('no libonnxruntime')),
      `features: package @huggingface/transformers cannot be loaded (no libonnxruntime); install it again with ${install}`,
    ],
    [
      'another version',
      async () => ({ ...fakeTransformers().module, AutoImageProcessor: undefined }),
      `features: @huggingface/transformers is not as expected (AutoImageProcessor: has no from_pretrained); install the version that this was tried with: ${install}`,
    ],
  ])('%s: says what to install', async (_, importer, message) => {
    await expect(openHubNetwork('dinov2', { importer })).rejects.toThrow(message)
    await expect(openClip(undefined, { importer })).rejects.toThrow(message)
  })

  const name = '@huggingface/transformers'
  const paths = createRequire(import.meta.url).resolve.paths(name) ?? []
  it.skipIf(paths.some((path) => existsSync(join(path, name))))('is looked for by its name', async () => {
    await expect(openHubNetwork('dinov2')).rejects.toThrow(`is not installed; install it with ${install}`)
  })
})

describe('openClip', () => {
  // Images are their mean colours: blue with a fifth of green, dark red, blue.
  const captions = { red: [2, 0, 0], blue: [0, 0, 0.5], grey: [1, 1, 1], 'not red': [-3, 0, 0] }

  it('scores by 100·cos', async () => {
    const { importer, asked, texts, batches, disposed } = fakeTransformers({ captions })
    const clip = await openClip('some/clip', { importer, batch: 2 })
    const scores = await clip.score(images, size, ['red', 'red', 'grey'])
    expect(rounded(scores)).toEqual([0, 100, rounded([100 / Math.sqrt(3)])[0]])
    const others = await clip.score(images, size, ['blue', 'not red', 'grey'])
    expect(rounded(others)).toEqual(rounded([100 / Math.hypot(0.2, 1), -100, 100 / Math.sqrt(3)]))
    // Each text once, two at a time.
    expect(texts).toEqual([
      ['red', 'grey'],
      ['blue', 'not red'],
    ])
    expect(batches).toEqual([2, 1, 2, 1])
    expect(asked.map(({ part }) => part)).toEqual(['processor', 'tokenizer', 'vision', 'text'])
    expect(clip.describe()).toBe(
      'some/clip (revision main, fp32, transformers.js 9.9.9), whole images at 2×2 (resize bicubic-antialias), range 0 … 1',
    )
    expect(await clip.score(new Uint8Array(0), size, [])).toEqual(new Float64Array(0))
    await expect(clip.score(images, size, ['red'])).rejects.toThrow(/3 images, but 1 captions/)
    await clip.dispose()
    expect(disposed()).toBe(2)
  })

  it('takes ViT-B/32 where none is named', async () => {
    const { importer, asked } = fakeTransformers()
    await openClip(undefined, { importer })
    expect(new Set(asked.map(({ id }) => id))).toEqual(new Set(['Xenova/clip-vit-base-patch32']))
  })

  it('says when it cannot be had, or is no CLIP', async () => {
    const failure = { part: 'text', error: new Error('Could not locate file: "text_model.onnx".') }
    const absent = fakeTransformers({ failure })
    await expect(openClip('some/clip', absent)).rejects.toThrow(
      /model some\/clip is neither in the cache \/kept\/here nor reachable \(Could not locate .*tokenizer\.json.*onnx\/text_model\.onnx elsewhere/,
    )
    expect(absent.disposed()).toBe(1)
    const clip = await openClip('some/clip', fakeTransformers({ captions: { red: [1, 0] } }))
    await expect(clip.score(images, size, ['red', 'red', 'red'])).rejects.toThrow(
      /some\/clip gives 3 features of an image but 2 of a caption/,
    )
  })
})
