/** @file Products in float16: which tensors are halved, what stays float32, and who refuses them. */
import { fromBinary } from '@bufbuild/protobuf'
import { ModelProtoSchema, type NodeProto, TensorProto_DataType } from 'onnx-buf'
import { describe, expect, it } from 'vitest'
import { gradient } from '../../src/engine/autodiff/gradient.ts'
import { float32, floats, type HostTensor } from '../../src/engine/host/tensor.ts'
import type { Compute } from '../../src/engine/ir/graph.ts'
import { type Program, trace } from '../../src/engine/ir/program.ts'
import { serialize } from '../../src/engine/onnx/serialize.ts'
import { attention } from '../../src/engine/ops/attention.ts'
import { conv2d } from '../../src/engine/ops/conv.ts'
import { mul, reduceSum } from '../../src/engine/ops/core.ts'
import { linear } from '../../src/engine/ops/matmul.ts'
import { cudaDevice } from '../../src/engine/runtime/node/devices.ts'
import { NativeExecutable } from '../../src/engine/runtime/node/executable.ts'
import { hostMemory } from '../../src/engine/runtime/node/hostMemory.ts'
import { NodeRuntime } from '../../src/engine/runtime/node/runtime.ts'
import { serialQueue } from '../../src/engine/runtime/ort/queue.ts'

/** Numbers in (−1, 1) without a pattern. */
const numbers = (shape: readonly number[], salt: number): HostTensor =>
  float32(
    shape,
    Array.from({ length: shape.reduce((n, d) => n * d, 1) }, (_, i) => Math.sin(i * i + 7 * i + salt)),
  )

/** Runs on the CPU; on x86 its provider takes conversions to float16 and back out again and multiplies in float32. */
const run = async (program: Program, feeds: Record<string, HostTensor>, compute: Compute) => {
  const options = {
    ...{ memory: hostMemory, threads: 1, cuda: null, graph: false },
    ...{ updates: {}, profile: false, enqueue: serialQueue() },
  }
  const executable = new NativeExecutable(program, serialize(program, { target: 'cpu', compute }), options)
  const outputs = await executable.run(feeds)
  await executable.dispose()
  return outputs
}

const shapes = { x: [2, 4, 5, 5], w: [4, 4, 3, 3], m: [5, 5], b: [2, 4, 5, 5] } as const
const feeds = Object.fromEntries(Object.entries(shapes).map(([name, shape], i) => [name, numbers(shape, i)]))

const network = trace(
  'network',
  Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, { shape }])),
  ({ x, w, m, b }) => {
    const maps = conv2d(x, w)
    const mixed = attention(maps, maps, linear(maps, m, b))
    const [dw, dm] = gradient(reduceSum(mul(mixed, b)), [w, m])
    return { mixed, dw: dw, dm: dm }
  },
)

const products = ['MatMul', 'FusedMatMul', 'Gemm', 'Conv']
const { FLOAT: float, FLOAT16: half } = TensorProto_DataType

describe('float16 products', () => {
  it('read and write float16 and hand on float32; each tensor is converted once', () => {
    const { bytes } = serialize(network, { target: 'cpu', compute: 'float16' })
    const { node: nodes, initializer } = fromBinary(ModelProtoSchema, bytes).graph!
    const constants = new Set(initializer.map(({ name }) => name))
    const casts = nodes.filter(({ opType }) => opType === 'Cast')
    const castTo = (node: NodeProto): number => Number(node.attribute[0].i)
    const halves = new Set(casts.filter((node) => castTo(node) === half).map((node) => node.output[0]))
    const back = new Map(casts.filter((node) => castTo(node) === float).map((node) => [node.input[0], node]))
    const multiplied = nodes.filter(({ opType }) => products.includes(opType))
    // Summing over the batch by a product with ones and turning taps by a permutation stay exact.
    const [halved, exact] = [true, false].map((is) => multiplied.filter((n) => halves.has(n.input[0]) === is))
    expect(halved.length).toBeGreaterThan(8)
    for (const node of halved) {
      expect(node.input.every((name) => halves.has(name))).toBe(true)
      expect(back.has(node.output[0])).toBe(true)
    }
    for (const node of exact) expect(node.input.some((name) => constants.has(name))).toBe(true)
    const others = nodes.filter((node) => !halved.includes(node) && node.opType !== 'Cast')
    const madeHalf = new Set([...halves, ...halved.map((node) => node.output[0])])
    expect(others.filter((node) => node.input.some((name) => madeHalf.has(name)))).toEqual([])
    const sources = casts.filter((node) => castTo(node) === half).map((node) => node.input[0])
    expect(new Set(sources).size).toBe(sources.length)
  })

  it('are wired as the float32 products', async () => {
    const [full, emitted] = [await run(network, feeds, 'float32'), await run(network, feeds, 'float16')]
    for (const name of ['mixed', 'dw', 'dm']) {
      const [a, b] = [floats(full[name]), floats(emitted[name])]
      const norm = Math.hypot(...a)
      expect(norm, name).toBeGreaterThan(0.1)
      expect(Math.hypot(...a.map((v, i) => v - b[i])) / norm, name).toBeLessThan(5e-3) // roundings to 11 bits
    }
  })

  it('change no float32 program', () => {
    const { bytes } = serialize(network, { target: 'cpu' })
    expect(fromBinary(ModelProtoSchema, bytes).graph!.node.some(({ opType }) => opType === 'Cast')).toBe(
      false,
    )
  })

  it('are refused on the CPU in one sentence', () => {
    expect(() => new NodeRuntime({ compute: 'float16' })).toThrow(
      'compute float16: the CPU multiplies in float32 only; use --device webgpu or cuda',
    )
  })
})

describe('TF32', () => {
  it('is a setting of CUDA alone, and off unless it is asked for', () => {
    expect(cudaDevice(true).provider).toMatchObject({ use_tf32: '1' })
    expect(cudaDevice(false).provider).toMatchObject({ use_tf32: '0' })
    expect(new NodeRuntime({ device: 'cuda', compute: 'tf32' }).compute).toBe('tf32')
    for (const device of ['cpu', 'webgpu'] as const)
      expect(() => new NodeRuntime({ device, compute: 'tf32' })).toThrow(
        "compute tf32: TF32 is arithmetic of NVIDIA's tensor cores; use --device cuda",
      )
  })
})
