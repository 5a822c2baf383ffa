/**
 * @file A classifier of images in one file, on Fashion-MNIST: a small convolutional network trained by the package's engine,
 * whose penultimate layer then tells how far generated images are from real ones (`ul evaluate --features`).
 *
 *     npm run example:fashion-classifier [-- FOLDER [STEPS]]   writes fashion.onnx and fashion.json, into runs/fashion-classifier
 */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as ul from 'unified-latents'
import { type ImageSource, NodeRuntime, openData } from 'unified-latents/node'
import {
  add,
  conv2d,
  exp,
  groupNorm,
  log,
  mul,
  reduceMax,
  reduceMean,
  reduceSum,
  silu,
  spaceToDepth,
  stopGradient,
  sub,
} from 'unified-latents/ops'

const [seed, batch, groups, features] = [1, 64, 8, 96]
const runtime = new NodeRuntime({ threads: 1 })

/** What is trained on and tested with. */
export type Images = Pick<ImageSource, 'count' | 'size' | 'classes' | 'label' | 'read'>

const kernel = (cIn: number, cOut: number, size: number, gain = 1) =>
  ul.param([cOut, cIn, size, size], gain / Math.sqrt(cIn * size * size))
const block = (channels: number) => ({
  first: kernel(channels, channels, 3),
  second: kernel(channels, channels, 3, 0),
})
const activated = (x: ul.Value): ul.Value => silu(groupNorm(x, groups))
/** A residual block; at first the identity. */
const residual = (p: ul.Params<ReturnType<typeof block>>, x: ul.Value): ul.Value =>
  add(x, conv2d(activated(conv2d(activated(x), p.first)), p.second))

/** Patches of 2×2, then three resolutions of one block each; the mean over positions is the features. */
const classifier = (classes: number) =>
  ul.networkOf(
    {
      in: kernel(12, 32, 3),
      blocks: [block(32), block(64), block(features)],
      down: [kernel(4 * 32, 64, 1), kernel(4 * 64, features, 1)],
      out: ul.linearSpec(features, classes, 0),
    },
    (p) => (x: ul.Value) => {
      const maps = p.blocks.reduce(
        (h, own, i) => residual(own, i === 0 ? h : conv2d(spaceToDepth(h, 2), p.down[i - 1])),
        conv2d(spaceToDepth(x, 2), p.in),
      )
      const pooled = reduceMean(activated(maps), [2, 3]) // [B, 96]
      return { features: pooled, logits: ul.applyLinear(p.out, pooled) }
    },
  )

/** How an image is shown in training: mirrored or not, moved by pixels to the right and down. */
interface View {
  mirrored: boolean
  moved: readonly [number, number]
}
const asItIs: View = { mirrored: false, moved: [0, 0] }

/** Bytes of images as [n, 3, size, size] in [−1, 1]; black (clothes are shown on it) comes in where an image moves away. */
const toInput = (bytes: Uint8Array, size: number, viewOf: (i: number) => View): ul.HostTensor => {
  const pixels = size * size
  const x = new Float32Array(bytes.length).fill(-1)
  for (let at = 0; at < bytes.length / 3; at++) {
    const [image, place] = [Math.floor(at / pixels), at % pixels]
    const { mirrored, moved } = viewOf(image)
    const column = (mirrored ? size - 1 - (place % size) : place % size) + moved[0]
    const row = Math.floor(place / size) + moved[1]
    if (column < 0 || column >= size || row < 0 || row >= size) continue
    for (let c = 0; c < 3; c++)
      x[(3 * image + c) * pixels + row * size + column] = bytes[3 * at + c] / 127.5 - 1
  }
  return ul.float32([bytes.length / (3 * pixels), 3, size, size], x)
}

/** Mean cross entropy in nats. */
const objectiveOf = (size: number, classes: number): ul.Objective =>
  ul.objectiveOf({
    name: 'classifier',
    networks: { classifier: classifier(classes) },
    inputs: { x: { shape: [batch, 3, size, size] }, target: { shape: [batch, classes] } },
    trace: (networks, { x, target }) => {
      const { logits } = networks.classifier(x)
      const shifted = sub(logits, stopGradient(reduceMax(logits, [1], true)))
      const nats = sub(log(reduceSum(exp(shifted), [1])), reduceSum(mul(shifted, target), [1])) // [B]
      return { loss: reduceMean(nats), report: {} }
    },
  })

/** The images of a step, drawn with replacement, half of them mirrored, moved by up to two pixels, and their classes as one-hot rows. */
const feedsOf = async (images: Images, step: number) => {
  const draw: ul.Draw = { seed, purpose: 'training', step, part: ul.wholeBatch(batch) }
  const indices = ul.drawnUniforms(draw, 'image').map((u) => Math.floor(u * images.count))
  const [mirror, right, down] = ['mirror', 'right', 'down'].map((name) => ul.drawnUniforms(draw, name))
  const moved = (u: number): number => Math.floor(5 * u) - 2
  const views = indices.map(
    (_, i): View => ({
      mirrored: mirror[i] < 0.5,
      moved: [moved(right[i]), moved(down[i])],
    }),
  )
  const target = new Float32Array(batch * images.classes.length)
  for (const [i, index] of indices.entries()) target[i * images.classes.length + images.label(index)] = 1
  return {
    x: toInput(await images.read(indices), images.size, (i) => views[i]),
    target: ul.float32([batch, images.classes.length], target),
  }
}

/** Averaged weights after steps of Muon, AdamW where a matrix is no inner one. */
export const trainClassifier = async (
  images: Images,
  steps: number,
  tell: (step: number, loss: number) => void = () => {},
): Promise<ul.Weights> => {
  const objective = objectiveOf(images.size, images.classes.length)
  const others = ul.adamW({ beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0 })
  const inner = (path: string): boolean => !/\.(in|out)\b/.test(path)
  const optimizer = ul.muon({ momentum: 0.95, weightDecay: 0.1, takes: inner }, others)
  const traced = ul.traceStep(objective, { optimizer, clipNorm: 1 }, 1)
  const start = ul.initialState(traced.layout, ul.initialParams(objective.spec, seed))
  const state = await ul.placeState(runtime, traced, start)
  await ul.trainLoop({
    ...{ trainStep: await ul.compileStep(runtime, traced), state, batch, from: 0, steps, emaDecay: 0.998 },
    rate: { lr: 6e-3, warmupSteps: 50, finalFraction: 0.01 },
    feeds: (step) => feedsOf(images, step),
    onStep: async ({ step, loss }) => tell(step, loss),
    shouldStop: () => false,
  })
  return ul.readAverages(traced.layout, state)
}

const network = (weights: ul.Weights, size: number, classes: number) => ({
  weights,
  networks: { classifier: classifier(classes) },
  inputs: { x: { shape: [batch, 3, size, size] } },
})

/** Share of images whose class is the likeliest. */
export const accuracyOf = async (weights: ul.Weights, images: Images): Promise<number> => {
  const { count, size, classes } = images
  const { program } = ul.traceFrozen('logits', network(weights, size, classes.length), (own, { x }) => ({
    logits: own.classifier(x).logits,
  }))
  const executable = await runtime.compile(program)
  let right = 0
  for (let first = 0; first < count; first += batch) {
    const indices = Array.from({ length: batch }, (_, i) => Math.min(first + i, count - 1))
    const x = toInput(await images.read(indices), size, () => asItIs)
    const logits = ul.floats((await executable.run({ x })).logits)
    for (let i = 0; i < Math.min(batch, count - first); i++) {
      const own = [...logits.subarray(i * classes.length, (i + 1) * classes.length)]
      if (own.indexOf(Math.max(...own)) === images.label(first + i)) right++
    }
  }
  await executable.dispose()
  return right / count
}

/** Writes a file under another name first, so that it is never there in half. */
const write = (path: string, content: string | Uint8Array): void => {
  writeFileSync(`${path}.part`, content)
  renameSync(`${path}.part`, path)
}

/** Writes the network up to its features, with the description that `--features` reads (docs/metrics.md). */
export const writeFeatures = (
  weights: ul.Weights,
  { size, classes }: Images,
  folder: string,
  name: string,
): string => {
  const { program } = ul.traceFrozen('features', network(weights, size, classes.length), (own, { x }) => ({
    features: own.classifier(x).features,
  }))
  const image = { height: size, width: size, resize: 'bicubic-antialias' }
  const sidecar = { name, ...image, layout: 'nchw', range: [-1, 1], output: 'features' }
  mkdirSync(folder, { recursive: true })
  const path = join(folder, 'fashion.onnx')
  write(join(folder, 'fashion.json'), `${JSON.stringify(sidecar, null, 2)}\n`)
  write(path, ul.serialize(program, { target: 'standard' }).bytes)
  return path
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [folder = 'runs/fashion-classifier', steps = '8000'] = process.argv.slice(2)
  const path = '/usr/share/datasets/fashion-mnist'
  const { train, validation } = await openData({ source: 'idx', path, size: 32 })
  const weights = await trainClassifier(train, Number(steps), (step, loss) => {
    if (step % 250 === 0) process.stdout.write(`step ${step}: loss ${loss.toFixed(3)}\n`)
  })
  const accuracy = await accuracyOf(weights, validation)
  const file = writeFeatures(weights, validation, folder, 'FD-fashion')
  process.stdout.write(`${(100 * accuracy).toFixed(2)}% of ${validation.count} test images; ${file}\n`)
}
