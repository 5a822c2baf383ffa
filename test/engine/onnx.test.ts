/** @file Models as ONNX files: domains, names, and weights that lie beside them; read back by protobuf and by ONNX Runtime. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fromBinary } from '@bufbuild/protobuf'
import { type GraphProto, type ModelProto, ModelProtoSchema, TensorProto_DataLocation } from 'onnx-buf'
import { describe, expect, it } from 'vitest'
import { gradient } from '../../src/engine/autodiff/gradient.ts'
import { float32, type HostTensor } from '../../src/engine/host/tensor.ts'
import { applyAll, input, scope, type Value } from '../../src/engine/ir/graph.ts'
import { type Program, trace } from '../../src/engine/ir/program.ts'
import { networkOf } from '../../src/engine/nn/network.ts'
import { param } from '../../src/engine/nn/params.ts'
import { plainModel } from '../../src/engine/onnx/plain.ts'
import { type Emission, serialize } from '../../src/engine/onnx/serialize.ts'
import { offsetsOf } from '../../src/engine/onnx/weights.ts'
import { add, constant, exp, mul, reduceSum, reshape, silu, tanh } from '../../src/engine/ops/core.ts'
import { gemm, linear, matmul } from '../../src/engine/ops/matmul.ts'
import { rmsNorm } from '../../src/engine/ops/norm.ts'
import { openOnnxFile } from '../../src/engine/runtime/node/onnxFile.ts'
import { traceFrozen } from '../../src/train/frozen.ts'
import { temporaryFolder } from '../data/temporary.ts'
import { normal, runOnce } from '../method/support.ts'
import { cases } from './cases.ts'

const decode = (bytes: Uint8Array): ModelProto => fromBinary(ModelProtoSchema, bytes)
const graphOf = (program: Program, emission: Emission = {}): GraphProto =>
  decode(serialize(program, emission).bytes).graph!

/** What ONNX's specification of opset 21 defines, of what is emitted. */
const standard = new Set(
  (
    'Abs Add Cast Clip Concat Conv Cos DepthToSpace Div Equal Erf Exp Expand Gather Gemm Greater Identity LayerNormalization ' +
    'Less Log MatMul Max Min Mul Neg Pad Reciprocal ReduceMax ReduceMean ReduceSum ReduceSumSquare Reshape ScatterND ' +
    'Sigmoid Sin Slice Softmax Softplus Split Sqrt Sub Tanh Transpose Where'
  ).split(' '),
)

const everyOp = cases.map(({ name, op, sample }): Program => {
  const inputs = sample.inputs.map((t, i) => input(`x${i}`, t.shape, t.dtype))
  const outputs = applyAll(op, inputs, sample.attrs)
  const named = (values: readonly Value[], letter: string) =>
    Object.fromEntries(values.map((v, i) => [`${letter}${i}`, v]))
  return { name, inputs: named(inputs, 'x'), outputs: named(outputs, 'y') }
})

describe('operator domains', () => {
  it.each(['cpu', 'any', 'standard'] as const)('are imported if and only if used, for %s', (target) => {
    const seen = new Set<string>()
    for (const program of everyOp) {
      const { opsetImport, graph } = decode(serialize(program, { target }).bytes)
      const used = new Set(['', ...graph!.node.map(({ domain }) => domain)])
      expect(opsetImport.map(({ domain }) => domain)).toEqual([...used].sort())
      for (const { opType, domain } of graph!.node) {
        if (!standard.has(opType)) seen.add(`${domain}:${opType}`)
      }
    }
    // ONNX Runtime has SimplifiedLayerNormalization in ONNX's domain alone, against the specification.
    const beyond = {
      cpu: ['com.microsoft:FusedMatMul', ':SimplifiedLayerNormalization', ':SpaceToDepth'],
      any: [':SimplifiedLayerNormalization'],
      standard: [],
    }
    expect([...seen].sort()).toEqual(beyond[target].sort())
  })
})

const network = (name: string, extra: (x: Value) => Record<string, Value> = () => ({})): Program =>
  trace(name, { x: { shape: [2, 4] }, w: { shape: [4, 4] } }, ({ x, w }) => {
    const block = (i: number, v: Value): Value =>
      scope(i, () => add(silu(rmsNorm(linear(v, w))), mul(matmul(v, w, { transB: true }), v)))
    const y = scope('encoder', () => block(1, block(0, x)))
    return { y, loss: reduceSum(y), ...extra(x) }
  })

const nodeNames = (graph: GraphProto): string[] => graph.node.map(({ name }) => name)

describe('names', () => {
  it('of nodes are model path, op and operator, numbered where they occur twice', () => {
    const graph = graphOf(network('n'), { target: 'cpu' })
    expect(
      nodeNames(graph)
        .filter((name) => name.startsWith('encoder/1'))
        .sort(),
    ).toEqual([
      'encoder/1/add/Add',
      'encoder/1/gemm/Gemm',
      'encoder/1/matmul/FusedMatMul',
      'encoder/1/mul/Mul',
      'encoder/1/rmsNorm/SimplifiedLayerNormalization',
      'encoder/1/silu/Mul',
      'encoder/1/silu/Sigmoid',
    ])
    const twice = trace('t', { x: { shape: [2] } }, ({ x }) => ({ y: exp(exp(tanh(x))) }))
    expect(nodeNames(graphOf(twice))).toEqual(['tanh/Tanh', 'exp/Exp', 'exp_1/Exp'])
    expect(graphOf(twice).node[1].output).toEqual(['exp/Exp:0'])
  })

  it('of inputs and outputs are the program’s own', () => {
    const program = network('n', (x) => ({ same: x, again: x, c: constant(float32([2], [1, 2])) }))
    const { outputs } = serialize(program)
    const graph = graphOf(program)
    expect(graph.input.map(({ name }) => name)).toEqual(['x', 'w'])
    expect(graph.output.map(({ name }) => name)).toEqual(['y', 'loss', 'same', 'again', 'c'])
    expect(outputs).toEqual(Object.fromEntries(Object.keys(program.outputs).map((name) => [name, name])))
  })

  it('are each made once, even where a program has an input, an output and a path of one name', async () => {
    const program = trace('n', { x: { shape: [2] }, 'exp/Exp': { shape: [2] } }, (inputs) => {
      const y = exp(inputs.x)
      return { x: y, twice: y, 'exp:0': add(y, inputs['exp/Exp']), 'exp/Exp': inputs['exp/Exp'] }
    })
    const graph = graphOf(program)
    const made = [...graph.input, ...graph.initializer].map(({ name }) => name)
    made.push(...graph.node.flatMap(({ output }) => output))
    expect(new Set(made).size).toBe(made.length)
    const [x, e] = [float32([2], [0, 0]), float32([2], [5, 7])]
    const results = await runOnce(program, { x, 'exp/Exp': e })
    const numbers = Object.fromEntries(Object.entries(results).map(([name, { data }]) => [name, [...data]]))
    expect(numbers).toEqual({ x: [1, 1], twice: [1, 1], 'exp:0': [6, 8], 'exp/Exp': [5, 7] })
  })

  it('stay when other parts of the graph, gradients included, are added', () => {
    const plain = graphOf(network('n'))
    const grown = graphOf(
      network('n', (x) => ({ other: scope('head', () => exp(x)), d: gradient(reduceSum(exp(x)), [x])[0] })),
    )
    const readOf = (graph: GraphProto): Map<string, readonly string[]> =>
      new Map(graph.node.map(({ name, input }) => [name, input]))
    const after = readOf(grown)
    for (const [name, inputs] of readOf(plain)) expect(after.get(name), name).toEqual(inputs)
    expect(serialize(network('n')).bytes).toEqual(serialize(network('n')).bytes)
  })

  it('of constants are a parameter’s path, or their numbers, or where they are used', () => {
    const weights = { 'encoder.in.weight': normal('w', [50, 50]), 'encoder.in.bias': normal('b', [50]) }
    const layer = networkOf({ in: { weight: param([50, 50], 1), bias: param([50], 0) } }, (p) => p.in)
    const given = { weights, networks: { encoder: layer }, inputs: { x: { shape: [50, 2, 25] } } }
    const { program } = traceFrozen('frozen', given, ({ encoder }, { x }) => {
      const flat = scope('encoder', () => reshape(x, [50, 50]))
      const y = gemm(flat, encoder.weight, encoder.bias)
      return {
        y: add(
          mul(y, 0.5),
          scope('head', () => constant(normal('other', [50]))),
        ),
      }
    })
    const names = graphOf(program).initializer.map(({ name }) => name)
    expect(names.sort()).toEqual(
      [
        'int64[2]=50,50',
        'encoder.in.weight',
        'encoder.in.bias',
        'float32[]=0.5',
        'head/constant/constant',
      ].sort(),
    )
  })

  it('lead back to the node that they were emitted for', () => {
    const program = network('n')
    const { origin } = serialize(program)
    for (const name of nodeNames(graphOf(program))) {
      const node = origin.get(name)!
      expect(name.startsWith(`${node.scope === '' ? '' : `${node.scope}/`}${node.op.name}`), name).toBe(true)
    }
  })
})

describe('weights outside the model', () => {
  const weights = {
    large: normal('large', [100, 30]),
    odd: normal('odd', [30, 7]),
    small: normal('small', [7]),
  }
  const frozen = trace('frozen', { x: { shape: [5, 100] } }, ({ x }) => ({
    y: linear(
      matmul(x, constant(weights.large, 'large')),
      constant(weights.odd, 'odd'),
      constant(weights.small, 'small'),
    ),
  }))
  const outside = { file: 'weights.bin', above: 100 }

  it('are where the model says, page by page, and views of the tensors themselves', () => {
    const { bytes, weights: file } = serialize(frozen, { outside })
    const stored = Buffer.concat([...file!.chunks()])
    expect(stored.length).toBe(file!.bytes)
    const found: Record<string, HostTensor['data']> = {}
    for (const { name, dataLocation, externalData, rawData } of decode(bytes).graph!.initializer) {
      if (dataLocation !== TensorProto_DataLocation.EXTERNAL) continue
      const entries = Object.fromEntries(externalData.map(({ key, value }) => [key, value]))
      const [offset, length] = [Number(entries.offset), Number(entries.length)]
      expect([entries.location, offset % 4096, rawData.length]).toEqual(['weights.bin', 0, 0])
      found[name] = new Float32Array(Uint8Array.from(stored.subarray(offset, offset + length)).buffer)
    }
    expect(found).toEqual({ large: weights.large.data, odd: weights.odd.data })
    const buffers = new Set([...file!.chunks()].map((chunk) => chunk.buffer))
    expect(buffers.has(weights.large.data.buffer as ArrayBuffer)).toBe(true)
    expect(buffers.has(weights.odd.data.buffer as ArrayBuffer)).toBe(true)
  })

  it('are found by ONNX Runtime beside the model, and give the same results', async () => {
    const folder = await temporaryFolder()
    const { bytes, weights: file } = serialize(frozen, { target: 'standard', outside })
    writeFileSync(join(folder, 'model.onnx'), bytes)
    writeFileSync(join(folder, file!.file), Buffer.concat([...file!.chunks()]))
    const opened = await openOnnxFile(join(folder, 'model.onnx'))
    const feeds = { x: normal('x', [5, 100]) }
    const { y } = await runOnce(frozen, feeds)
    expect((await opened.run(feeds, 'y')).data).toEqual(y.data)
    await opened.dispose()
  })

  it('leave no file where none is large enough', () => {
    const { weights: file, bytes } = serialize(frozen, { outside: { file: 'weights.bin', above: 1e6 } })
    expect([file!.bytes, [...file!.chunks()]]).toEqual([0, []])
    expect(bytes).toEqual(serialize(frozen).bytes)
  })

  it('have exact offsets beyond 2 and 4 GiB', () => {
    const GiB = 2 ** 30
    expect(offsetsOf([3 * GiB, 1, 5 * GiB + 4095, 4096, 0, 8])).toEqual([
      0,
      3 * GiB,
      3 * GiB + 4096,
      8 * GiB + 8192,
      8 * GiB + 12288,
      8 * GiB + 12288,
    ])
  })

  it('must be outside when they exceed what protobuf holds', () => {
    const part = float32([2 ** 24], new Float32Array(2 ** 24)) // 64 MiB, 33 times
    const constants = Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`w${i}`, part]))
    expect(() => plainModel({ name: 'huge', inputs: [], outputs: [], nodes: [], constants })).toThrow(
      'model huge: 2214592512 bytes of weights inside the model, expected at most 2147483647 as protobuf holds no ' +
        'more; put them outside',
    )
  })
})
