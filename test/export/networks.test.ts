/** @file Networks as ONNX models: of any batch they compute what the programs of that batch compute, for every kind of model. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { halved } from '../../src/engine/host/float16.ts'
import {
  examplesOf,
  floats,
  type HostTensor,
  int32,
  type Shape,
  sizeOf,
} from '../../src/engine/host/tensor.ts'
import type { Program } from '../../src/engine/ir/program.ts'
import { type OnnxFile, openOnnxFile } from '../../src/engine/runtime/node/onnxFile.ts'
import {
  type ExportedNetwork,
  exportedDecoder,
  exportedEncoder,
  exportedGenerator,
  type Keeping,
} from '../../src/export/networks.ts'
import { tracedDecoderStep, tracedEncoder } from '../../src/method/codec.ts'
import type { ModelConfig } from '../../src/method/config.ts'
import { tracedGeneratorStep } from '../../src/method/generator.ts'
import { givenMaskOf } from '../../src/method/given.ts'
import { temporaryFolder } from '../data/temporary.ts'
import {
  normal,
  randomParams,
  relativeError,
  runOnce,
  stage1Spec,
  stage2Spec,
  type Tensors,
  tinyConfig,
  withVariant,
} from '../method/support.ts'

const folder = await temporaryFolder()
const opened: OnnxFile[] = []
afterAll(async () => {
  for (const file of opened) await file.dispose()
})

/** A network's files, opened. */
const open = async ({ file, model }: ExportedNetwork, name: string): Promise<OnnxFile> => {
  const path = join(folder, `${name}-${file}`)
  writeFileSync(path, model.bytes)
  if (model.weights !== null)
    writeFileSync(
      join(folder, model.weights.file),
      [...model.weights.chunks()].map(Buffer.from).reduce((a, b) => Buffer.concat([a, b])),
    )
  opened.push(await openOnnxFile(path, { threads: 1 }))
  return opened.at(-1)!
}

const clips: ModelConfig = {
  ...tinyConfig,
  frames: 8,
  video: { downsample: 4, kernel: 3, attention: 'full', given: 3, givenShare: 0.5 },
}
const models: Readonly<Record<string, ModelConfig>> = {
  'the method': tinyConfig,
  'without classes': { ...tinyConfig, classes: 0 },
  'told whether an image is mirrored': {
    ...tinyConfig,
    base: { ...tinyConfig.base, conditions: ['classes', 'mirror'] },
  },
  preconditioned: {
    ...tinyConfig,
    latent: { ...tinyConfig.latent, deviation: 0.5 },
    decoder: { ...tinyConfig.decoder, deviation: 0.3 },
  },
  'a U-ViT as base': {
    ...tinyConfig,
    base: { ...tinyConfig.base, uvit: { channels: [8], convBlocks: 1, width: 16, blocks: 1 } },
  },
  'a learned variance': withVariant({ variance: 'learned' }),
  'latents of differing noise': withVariant({ priorBias: 0 }),
  'one prediction of the image': withVariant({ decoder: 'mse' }),
  'recomputed blocks': { ...tinyConfig, recompute: true },
  clips,
  'clips, factorised attention': { ...clips, video: { ...clips.video!, attention: 'factorised' } },
}

/** Something for every input of a network. */
const fed = (name: string, shape: Shape, { classes }: ModelConfig): HostTensor => {
  if (name === 'labels')
    return int32(
      shape,
      Array.from({ length: sizeOf(shape) }, (_, i) => i % (classes + 1)),
    )
  if (name === 'mirroring')
    return int32(
      shape,
      Array.from({ length: sizeOf(shape) }, (_, i) => i % 3),
    )
  if (name === 'givenMask')
    return givenMaskOf(
      Array.from({ length: shape[0] }, (_, i) => i % 3),
      shape[1],
    )
  return normal(name, shape, name === 'logSnr' ? 3 : 1)
}

const made = new Map<ModelConfig, Tensors>()
const weightsOf = (model: ModelConfig): Tensors => {
  const weights = made.get(model) ?? {
    ...randomParams(stage1Spec(model)),
    ...randomParams(stage2Spec(model)),
  }
  made.set(model, weights)
  return weights
}

interface Case {
  /** Models in which it is another network. */
  readonly of: readonly string[]
  readonly made: (model: ModelConfig, keeping: Keeping) => ExportedNetwork
  readonly program: (model: ModelConfig, B: number) => Program
}
const networks: Readonly<Record<string, Case>> = {
  encoder: {
    of: ['the method', 'a learned variance', 'clips'],
    made: (model, keeping) => exportedEncoder(model, weightsOf(model), keeping),
    program: (model, B) => tracedEncoder(model, weightsOf(model), B).program,
  },
  decoder: {
    of: Object.keys(models).filter((name) => !/base|mirrored|classes|learned/.test(name)),
    made: (model, keeping) => exportedDecoder(model, weightsOf(model), keeping),
    program: (model, B) => tracedDecoderStep(model, weightsOf(model), B).program,
  },
  'base model': {
    of: Object.keys(models).filter((name) => !/variance|prediction|differing/.test(name)),
    made: (model, keeping) => exportedGenerator(model, weightsOf(model), 'base', keeping),
    program: (model, B) => tracedGeneratorStep(model, weightsOf(model), B, 'base').program,
  },
  prior: {
    of: ['the method', 'preconditioned', 'clips'],
    made: (model, keeping) => exportedGenerator(model, weightsOf(model), 'prior', keeping),
    program: (model, B) => tracedGeneratorStep(model, weightsOf(model), B, 'prior').program,
  },
}

/** Examples of the largest batch; those of smaller ones are its first. */
const most = 7

/** Feeds of B examples, and what a network gives for them. */
const given = async (
  network: ExportedNetwork,
  file: OnnxFile,
  B: number,
  model: ModelConfig = tinyConfig,
): Promise<[Tensors, HostTensor]> => {
  const some = ({ name, shape }: ExportedNetwork['inputs'][number]): HostTensor =>
    examplesOf(fed(name, [most, ...shape.slice(1).map(Number)], model), 0, B)
  const feeds: Tensors = Object.fromEntries(network.inputs.map((input) => [input.name, some(input)]))
  return [feeds, await file.run(feeds, network.outputs[0].name)]
}

describe.each(Object.entries(networks))('%s', (name, { of, made, program }) => {
  it.each(of)('of %s', async (kind) => {
    const model = models[kind]
    const network = made(model, { weights: 'inside' })
    const file = await open(network, `${name}-${kind}`)
    const [{ name: output, shape }] = network.outputs
    const whole = program(model, most)
    const [feeds, all] = await given(network, file, most, model)
    const expected = await runOnce({ ...whole, outputs: { [output]: whole.outputs[output] } }, feeds)
    expect(all.shape).toEqual([most, ...shape.slice(1)])
    expect(floats(all).some((value) => value !== 0)).toBe(true)
    expect(relativeError(all, expected[output])).toBeLessThan(2e-5)
    for (const B of [1, 2, 3]) {
      const [, some] = await given(network, file, B, model)
      expect(some.shape).toEqual([B, ...shape.slice(1)])
      expect(relativeError(some, examplesOf(expected[output], 0, B)), `batch ${B}`).toBeLessThan(2e-5)
    }
  })
})

describe('what a network reads', () => {
  it.each([
    ['encoder', 'the method', ['x']],
    ['encoder', 'a learned variance', ['x', 'zDraw']],
    ['decoder', 'the method', ['z0', 'xT', 'logSnr']],
    ['decoder', 'clips', ['z0', 'xT', 'logSnr', 'givenFrames', 'givenZ', 'givenMask']],
    ['base model', 'told whether an image is mirrored', ['xT', 'logSnr', 'labels', 'mirroring']],
    ['base model', 'clips', ['xT', 'logSnr', 'labels', 'givenZ', 'givenMask']],
    ['prior', 'the method', ['xT', 'logSnr']],
  ])('%s of %s', (network, model, names) => {
    const { inputs } = networks[network].made(models[model], { weights: 'inside' })
    expect(inputs.map(({ name }) => name)).toEqual(names)
    for (const { shape } of inputs) expect(shape[0]).toBe('batch')
  })
})

describe('how weights are kept', () => {
  const weights = weightsOf(tinyConfig)
  const halves = Object.fromEntries(Object.entries(weights).map(([path, tensor]) => [path, halved(tensor)]))

  it('beside the model: the same numbers, and little left inside', async () => {
    const [inside, beside] = (['inside', 'beside'] as const).map((place) =>
      exportedDecoder(tinyConfig, weights, { weights: place }),
    )
    expect(beside.model.weights?.file).toBe('decoder_step.weights')
    expect(inside.model.bytes.length - beside.model.bytes.length).toBeGreaterThan(60_000)
    const files = [await open(inside, 'in'), await open(beside, 'be')]
    const [[, a], [, b]] = [await given(inside, files[0], 3), await given(beside, files[1], 3)]
    expect(b).toEqual(a)
  })

  it('as halves: half the bytes, and what the rounded weights compute in float32', async () => {
    const whole = exportedDecoder(tinyConfig, weights, { weights: 'inside' })
    const half = exportedDecoder(tinyConfig, weights, { weights: 'inside', halves })
    const saved = whole.model.bytes.length - half.model.bytes.length
    const parameters = Object.entries(weights).filter(([path]) => path.startsWith('decoder.'))
    const bytes = parameters.reduce((sum, [, { data }]) => sum + data.byteLength, 0)
    expect(saved / (bytes / 2)).toBeGreaterThan(0.75)
    const [, found] = await given(half, await open(half, 'half'), 3)
    const [, exact] = await given(whole, await open(whole, 'whole'), 3)
    const error = relativeError(found, exact)
    expect(error).toBeGreaterThan(1e-5)
    expect(error).toBeLessThan(5e-3)
  })
})
