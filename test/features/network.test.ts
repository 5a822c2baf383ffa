/** @file Feature networks: ONNX files with sidecars, their mistakes, and FD-mixed5 against a float64 forward pass. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { float32, int32 } from '../../src/engine/host/tensor.ts'
import { type PlainGraph, plainModel } from '../../src/engine/onnx/plain.ts'
import type { OnnxNode } from '../../src/engine/onnx/proto.ts'
import { buildMixed5 } from '../../src/features/mixed5.ts'
import { openFeatureNetwork } from '../../src/features/network.ts'
import { sidecarPath } from '../../src/features/sidecar.ts'
import { temporaryFolder } from '../data/temporary.ts'
import { goldenNumbers } from '../metrics/support.ts'

const folder = await temporaryFolder()
let written = 0

/** Writes a network with one input of [batch, 3, 2, 2] or [batch, 2, 2, 3], and its sidecar; null leaves that out. */
const write = (
  nodes: readonly Omit<OnnxNode, 'name'>[],
  sidecar: Readonly<Record<string, unknown>> | string | null,
  {
    batch = 'N' as number | string,
    shape = [3, 2, 2],
    outputs = ['y'],
    constants = {} as PlainGraph['constants'],
  } = {},
): string => {
  const file = join(folder, `${written++}.onnx`)
  const model = plainModel({
    name: 'test',
    inputs: [{ name: 'x', dtype: 'float32', shape: [batch, ...shape] }],
    outputs: outputs.map((name) => ({ name, dtype: 'float32', shape: [batch, 'd', 'h', 'w'] })),
    nodes: nodes.map((node, i) => ({ name: `n${i}`, ...node })),
    constants,
  })
  writeFileSync(file, model)
  const base = {
    name: 'test',
    height: 2,
    width: 2,
    resize: 'none',
    layout: 'nchw',
    range: [0, 1],
    output: 'y',
  }
  if (typeof sidecar === 'string') writeFileSync(sidecarPath(file), sidecar)
  else if (sidecar !== null) writeFileSync(sidecarPath(file), JSON.stringify({ ...base, ...sidecar }))
  return file
}

const pool = [{ opType: 'GlobalAveragePool', inputs: ['x'], outputs: ['y'] }]
const size = { height: 2, width: 2 }
const flat = (r: number, g: number, b: number): number[] => Array.from({ length: 4 }, () => [r, g, b]).flat()
const images = Uint8Array.from([...flat(0, 51, 255), ...flat(102, 0, 0), ...flat(0, 0, 204)])

const featuresOf = async (file: string): Promise<number[]> => {
  const network = await openFeatureNetwork(file, { threads: 1 })
  const rows = await network.features(images, size)
  await network.dispose()
  return [...rows].map((v) => Number(v.toFixed(5)))
}

describe('openFeatureNetwork', () => {
  it('gives one row an image in the range asked for, [N, d, 1, 1] included', async () => {
    const network = await openFeatureNetwork(write(pool, { name: 'means', range: [-1, 1] }))
    expect(network).toMatchObject({ name: 'means', dimension: 3 })
    expect(network.describe()).toMatch(
      /^means: 3 features from 2×2 \(resize none\), range -1 … 1; bytes by round/,
    )
    expect(await network.features(new Uint8Array(0), size)).toEqual(new Float32Array(0))
    await network.dispose()
    expect(await featuresOf(write(pool, { range: [0, 10] }))).toEqual([0, 2, 10, 4, 0, 0, 0, 0, 8])
  })

  it('orders channels, normalises and lays out as the sidecar says', async () => {
    expect(await featuresOf(write(pool, { channels: 'bgr', range: [0, 10] }))).toEqual([
      10, 2, 0, 0, 0, 4, 8, 0, 0,
    ])
    const normalised = { mean: [0.2, 0, 0.5], std: [0.2, 0.1, 0.5], range: undefined }
    expect(await featuresOf(write(pool, normalised))).toEqual([-1, 2, 1, 1, 0, -1, -1, 0, 0.6])
    const last = [
      { opType: 'Transpose', inputs: ['x'], outputs: ['t'], attrs: { perm: { is: [0, 3, 1, 2] } } },
    ]
    const nhwc = [...last, { ...pool[0], inputs: ['t'] }]
    expect(await featuresOf(write(nhwc, { layout: 'nhwc', range: [0, 10] }, { shape: [2, 2, 3] }))).toEqual(
      [0, 2, 10, 4, 0, 0, 0, 0, 8], // biome-ignore format: three images
    )
  })

  it('takes one token where the output has a row for each', async () => {
    // [N, 3, 2, 2] → [N, 3, 4]: channels as tokens of four pixels
    const constants = { shape: { dtype: 'int64' as const, shape: [3], data: BigInt64Array.of(0n, 3n, 4n) } }
    const nodes = [{ opType: 'Reshape', inputs: ['x', 'shape'], outputs: ['y'] }]
    const quarter = (...values: number[]): number[] => values.flatMap((v) => [v, v, v, v])
    const at = (token: number) => write(nodes, { token, range: [0, 10] }, { constants })
    expect(await featuresOf(at(0))).toEqual(quarter(0, 4, 0))
    expect(await featuresOf(at(2))).toEqual(quarter(10, 0, 8))
    await expect(openFeatureNetwork(at(3))).rejects.toThrow(
      /shape \[1,3,4\] for 1 images; it takes \[1, more than 3 tokens, features\]/,
    )
    await expect(openFeatureNetwork(write(nodes, {}, { constants }))).rejects.toThrow(
      /it takes \[1, features\]/,
    )
  })

  it('splits into batches without changing anything, also where the graph fixes their size', async () => {
    const wanted = [0, 0.2, 1, 0.4, 0, 0, 0, 0, 0.8]
    expect(await featuresOf(write(pool, { batch: 2 }))).toEqual(wanted)
    expect(await featuresOf(write(pool, {}, { batch: 2 }))).toEqual(wanted)
  })

  it.each([
    [
      'no file',
      () => join(folder, 'none.onnx'),
      /^features: .*none\.onnx does not exist; give the path of an ONNX file$/,
    ],
    [
      'no sidecar',
      () => write(pool, null),
      /\.json is missing; describe the network there, for example \{"name":"FID"/,
    ],
    ['not JSON', () => write(pool, 'name: x'), /\.json is not JSON/],
    ['a wrong rule', () => write(pool, { resize: 'cubic' }), /\.json: resize: .*"bilinear-tf1"/],
    ['two ranges', () => write(pool, { mean: [0, 0, 0], std: [1, 1, 1] }), /either range, or mean and std/],
    ['a mistyped key', () => write(pool, { widht: 3 }), /"widht"/],
    [
      'another output',
      () =>
        write(
          [...pool, { opType: 'Relu', inputs: ['y'], outputs: ['z'] }],
          { output: 'pool_3' },
          { outputs: ['y', 'z'] },
        ),
      /no output "pool_3"; write one of y, z into its sidecar/,
    ],
    [
      'maps instead of rows',
      () => write([{ opType: 'Relu', inputs: ['x'], outputs: ['y'] }], {}),
      /output "y" has shape \[1,3,2,2\] for 1 images; it takes \[1, features\]/,
    ],
  ])('says in one sentence: %s', async (_, file, message) => {
    await expect(openFeatureNetwork(file())).rejects.toThrow(message)
  })

  it('refuses what is no ONNX, and pixels that fill no image', async () => {
    const file = join(folder, 'broken.onnx')
    writeFileSync(file, 'text')
    await expect(openFeatureNetwork(file)).rejects.toThrow(/broken\.onnx: ONNX Runtime cannot open it/)
    const network = await openFeatureNetwork(write(pool, {}))
    await expect(network.features(new Uint8Array(13), size)).rejects.toThrow(
      /13 bytes are not images of 2×2×3/,
    )
    await network.dispose()
  })
})

describe('buildMixed5', () => {
  it('agrees with a float64 forward pass of the same weights, layer by layer in PyTorch', async () => {
    const network = await openFeatureNetwork(buildMixed5(join(folder, 'new', 'mixed5.onnx')), { threads: 2 })
    expect(network).toMatchObject({ name: 'FD-mixed5', dimension: 768 })
    const side = 128
    const pixels = new Uint8Array(2 * side * side * 3)
    let at = 0
    for (let n = 0; n < 2; n++) {
      for (let y = 0; y < side; y++) {
        for (let x = 0; x < side; x++) {
          for (let c = 0; c < 3; c++) {
            pixels[at++] = (x * (n + 1) + y * (c + 1) + Math.floor((x * y) / 16) * n + 40 * c) % 256
          }
        }
      }
    }
    const features = await network.features(pixels, { height: side, width: side })
    await network.dispose()
    for (const [n, row] of goldenNumbers().mixed5.entries()) {
      for (const [i, wanted] of row.entries())
        expect(Math.abs(features[n * 768 + i] - wanted)).toBeLessThan(1e-5)
    }
  })
})

describe('plainModel', () => {
  it('writes constants that nodes read', async () => {
    const nodes = [
      ...[{ opType: 'Flatten', inputs: ['x'], outputs: ['f'] }],
      { opType: 'Gather', inputs: ['f', 'order'], outputs: ['g'], attrs: { axis: { i: 1 } } },
      { opType: 'Mul', inputs: ['g', 'scale'], outputs: ['y'] },
    ]
    const constants = { order: int32([2], [8, 0]), scale: float32([2], [5, 10]) }
    expect(await featuresOf(write(nodes, {}, { constants }))).toEqual([5, 0, 0, 4, 4, 0])
  })
})
