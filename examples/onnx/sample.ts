/**
 * @file Samples by class and reconstructs an image from what `ul export RUN --onnx MODEL` wrote, with ONNX Runtime alone.
 *
 *     npm run example:onnx -- MODEL --class "Food & Drink" --count 8 --out samples.png
 *     npm run example:onnx -- MODEL --reconstruct photo.ppm --out pair.png
 *
 * The image is a binary PPM of the model's size (`convert photo.jpg -resize 64x64! photo.ppm`). Noise is drawn as `ul` draws it,
 * so the same seed gives the same images as `ul sample`; any other standard normals would do as well.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { crc32, deflateSync } from 'node:zlib'
import * as ort from 'onnxruntime-node'
import { type Batch, dimsOf, Model, parseRecipe } from './model.ts'

/** The model in a folder. */
export const openModel = (folder: string): Model =>
  new Model(parseRecipe(readFileSync(join(folder, 'model.json'), 'utf8')), ort, (file) =>
    ort.InferenceSession.create(join(folder, file)),
  )

/** A binary PPM as [1, 3, H, W] in [−1, 1]. */
export const readPpm = (path: string): Batch => {
  const bytes = readFileSync(path)
  const [, width, height] = /^P6\s+(\d+)\s+(\d+)\s+255\s/.exec(bytes.toString('latin1', 0, 99)) ?? []
  if (width === undefined || height === undefined)
    throw new Error(
      `${path}: this is no binary PPM of bytes; make one with 'convert photo.jpg -resize 64x64! ${path}'`,
    )
  const [W, H] = [Number(width), Number(height)]
  const pixels = bytes.subarray(bytes.length - 3 * W * H)
  const data = Float32Array.from(
    { length: 3 * W * H },
    (_, i) => pixels[(i % (W * H)) * 3 + Math.floor(i / (W * H))] / 127.5 - 1,
  )
  return { dims: [1, 3, H, W], data }
}

/** Images [N, 3, H, W] side by side as PNG; of clips [N, 3, T, H, W] a row of frames each. */
export const pngOf = ({ dims, data }: Batch): Buffer => {
  const [H, W] = dims.slice(-2) as [number, number]
  const [rows, columns] = dims.length === 5 ? [dims[0], dims[2]] : [1, dims[0]]
  const line = 1 + 3 * columns * W // each begins with its filter, none
  const pixels = Buffer.alloc(rows * H * line)
  const frames = dims.length === 5 ? columns : 1
  for (const [at, value] of data.entries()) {
    const [x, y] = [at % W, Math.floor(at / W) % H]
    const plane = Math.floor(at / (W * H)) // (example, channel, frame)
    const [frame, channel, example] = [
      plane % frames,
      Math.floor(plane / frames) % 3,
      Math.floor(plane / (3 * frames)),
    ]
    const [row, column] = dims.length === 5 ? [example, frame] : [0, example]
    const byte = Math.max(0, Math.min(255, Math.round(127.5 * value + 127.5)))
    pixels[(row * H + y) * line + 1 + 3 * (column * W + x) + channel] = byte
  }
  const chunk = (kind: string, content: Buffer): Buffer => {
    const named = Buffer.concat([Buffer.from(kind), content])
    const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)]
    length.writeUInt32BE(content.length)
    check.writeUInt32BE(crc32(named))
    return Buffer.concat([length, named, check])
  }
  const header = Buffer.alloc(13)
  header.writeUInt32BE(columns * W, 0)
  header.writeUInt32BE(rows * H, 4)
  header.set([8, 2], 8) // bytes of red, green and blue
  const parts = [chunk('IHDR', header), chunk('IDAT', deflateSync(pixels)), chunk('IEND', Buffer.alloc(0))]
  return Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), ...parts])
}

/** Two batches of images as one. */
const beside = (a: Batch, b: Batch): Batch => ({
  dims: [a.dims[0] + b.dims[0], ...a.dims.slice(1)],
  data: Float32Array.from([...a.data, ...b.data]),
})

const main = async (): Promise<void> => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      class: { type: 'string' },
      count: { type: 'string', default: '4' },
      seed: { type: 'string', default: '0' },
      reconstruct: { type: 'string' },
      out: { type: 'string', default: 'samples.png' },
    },
  })
  const [folder] = positionals
  if (folder === undefined) throw new Error('give the folder that ul export --onnx wrote')
  const model = openModel(folder)
  const { classes, image } = model.recipe
  const seed = Number(values.seed)
  if (values.reconstruct !== undefined) {
    const original = readPpm(values.reconstruct)
    if (original.dims.join() !== dimsOf(image, 1).join())
      throw new Error(
        `${values.reconstruct}: it is ${original.dims.slice(2)}, the model takes ${dimsOf(image, 1).slice(2)}`,
      )
    writeFileSync(values.out, pngOf(beside(original, await model.reconstruct(original, seed))))
  } else {
    const label = values.class === undefined ? null : classes.indexOf(values.class)
    if (label === -1) throw new Error(`--class ${values.class}: classes are ${classes.join(', ') || 'none'}`)
    const labels = Array.from({ length: Number(values.count) }, () => label)
    writeFileSync(values.out, pngOf(await model.sample(labels, seed)))
  }
  process.stdout.write(`${values.out}\n`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await main().catch((error: Error) => {
    process.stderr.write(`${error.message}\n`)
    process.exitCode = 1
  })
}
