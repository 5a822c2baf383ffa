/**
 * @file The table of docs/metrics.md: bundled emoji against others, as they are and damaged, by FD-mixed5.
 *
 * Usage: npm run build && npx ul features build && node tools/damage_table.mjs [images a side, 1600]
 */
import sharp from 'sharp'
import { compareFeatureSets, featureSet } from 'unified-latents'
import { defaultFeatureFile, openData, openFeatureNetwork } from 'unified-latents/node'

const count = Number(process.argv[2] ?? 1600)
const size = 128
const each = 3 * size ** 2

/** Numbers from 0 to 1, the same at every run. */
const uniforms = (seed) => {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

/** Mirrors indices back into the image. */
const inside = (i) => Math.min(Math.max(i < 0 ? -1 - i : i, 0), size - 1) - Math.max(0, i - size + 1)

/** Gaussian blur by rows, then columns; libvips changes nothing at σ 0.5. */
const blurred = (sigma) => (image) => {
  const reach = Math.ceil(4 * sigma)
  const weights = Array.from({ length: 2 * reach + 1 }, (_, i) =>
    Math.exp(-((i - reach) ** 2) / (2 * sigma ** 2)),
  )
  const total = weights.reduce((a, b) => a + b)
  const pass = (from, at) =>
    Float64Array.from(from, (_, i) => {
      const [y, x, c] = [Math.floor(i / (3 * size)), Math.floor(i / 3) % size, i % 3]
      return weights.reduce((sum, w, k) => sum + w * from[at(y, x, k - reach) * 3 + c], 0) / total
    })
  const rows = pass(image, (y, x, d) => y * size + inside(x + d))
  return Uint8ClampedArray.from(pass(rows, (y, x, d) => inside(y + d) * size + x))
}

const noisy = (sigma) => {
  const uniform = uniforms(1)
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform())
  return (image) => Uint8ClampedArray.from(image, (v) => v + sigma * normal())
}

const jpeg = (quality) => async (image) => {
  const raw = { raw: { width: size, height: size, channels: 3 } }
  return sharp(await sharp(image, raw).jpeg({ quality }).toBuffer())
    .raw()
    .toBuffer()
}

const { train, validation } = await openData({ source: 'emoji', size })
const uniform = uniforms(0)
const shuffled = [train, validation]
  .flatMap((source) => Array.from({ length: source.count }, (_, index) => ({ source, index, at: uniform() })))
  .sort((a, b) => a.at - b.at)
const half = async (from) => {
  const pixels = new Uint8Array(count * each)
  for (const [i, { source, index }] of shuffled.slice(from, from + count).entries())
    pixels.set(await source.read([index]), i * each)
  return pixels
}
const network = await openFeatureNetwork(defaultFeatureFile())
const features = async (pixels) =>
  featureSet(await network.features(pixels, { height: size, width: size }), network.dimension)

const [real, second] = [await features(await half(0)), await half(count)]
const damages = {
  'as they are': (image) => image,
  ...Object.fromEntries([0.5, 1, 2].map((s) => [`Gaussian blur, σ ${s} pixels`, blurred(s)])),
  ...Object.fromEntries([5, 15, 40].map((s) => [`Gaussian noise, σ ${s} of 255`, noisy(s)])),
  'JPEG, quality 75': jpeg(75),
  'the first 64, again and again': (_, i) => second.subarray((i % 64) * each, ((i % 64) + 1) * each),
}
for (const [name, damage] of Object.entries(damages)) {
  const pixels = new Uint8Array(count * each)
  for (let i = 0; i < count; i++)
    pixels.set(await damage(second.subarray(i * each, (i + 1) * each), i), i * each)
  const { frechet, frechetExtrapolated, kid, precision, recall } = compareFeatureSets(
    real,
    await features(pixels),
  )
  process.stdout.write(
    `| ${name} | ${frechet.toPrecision(3)} (extrapolated ${frechetExtrapolated.toPrecision(3)}) | ` +
      `${(1000 * kid.mean).toFixed(2)} ± ${(1000 * kid.error).toFixed(2)} | ${precision.toFixed(3)} | ${recall.toFixed(3)} |\n`,
  )
}
await network.dispose()
