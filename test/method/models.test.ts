/** @file The four networks: what they are before training, what their structure promises, and their sizes. */
import { describe, expect, it } from 'vitest'
import {
  float32,
  floats,
  type HostTensor,
  int32,
  type Shape,
  sizeOf,
  zeros,
} from '../../src/engine/host/tensor.ts'
import { input, type Value } from '../../src/engine/ir/graph.ts'
import { resBlock, resBlockSpec } from '../../src/engine/nn/layers.ts'
import {
  bindParams,
  flattenSpec,
  initialParams,
  type Params,
  param,
  type Spec,
} from '../../src/engine/nn/params.ts'
import { blockSpec, stack, stackSpec } from '../../src/engine/nn/transformer.ts'
import { depthToSpace, spaceToDepth } from '../../src/engine/ops/conv.ts'
import { conditionedBase, conditionFeeds } from '../../src/method/baseModel.ts'
import { latentOf, type ModelConfig } from '../../src/method/config.ts'
import { baseNetwork } from '../../src/method/networks/base.ts'
import { halvings, stageChannels } from '../../src/method/networks/config.ts'
import { decoderSpec, decoderV } from '../../src/method/networks/decoder.ts'
import { encode, encoderSpec } from '../../src/method/networks/encoder.ts'
import { priorSpec, priorV } from '../../src/method/networks/prior.ts'
import {
  baseOf,
  evaluate,
  imageShape,
  latentShape,
  networkConfigs,
  normal,
  paperConfig,
  randomParams,
  relativeError,
  stage1Spec,
  stage2Spec,
  type Tensors,
  tinyConfig,
} from './support.ts'

/** Number of scalars in a tree. */
const countParams = (spec: Spec): number =>
  flattenSpec(spec).reduce((n, { spec: { shape } }) => n + sizeOf(shape), 0)

const B = 2
const tiny = networkConfigs(tinyConfig)
const paper = networkConfigs(paperConfig)
const grid = latentOf(tinyConfig).height
const latents = latentShape(tinyConfig, B)
const images = imageShape(tinyConfig, B)
const logSnr = float32([B], [-1.5, 2])

/** Runs a network on its own parameters and returns its only output. */
const outputOf = async <S extends Spec>(
  spec: S,
  params: Tensors,
  feeds: Tensors,
  body: (p: Params<S>, inputs: Readonly<Record<string, Value>>) => Value,
): Promise<HostTensor> => {
  const { y } = await evaluate(spec, params, feeds, (lookUp, inputs) => ({
    y: body(bindParams(spec, lookUp), inputs),
  }))
  return y
}

const prior = (params: Tensors): Promise<HostTensor> =>
  outputOf(priorSpec(tiny.prior), params, { zT: normal('zT', latents), logSnr }, (p, { zT, logSnr }) =>
    priorV(p, tiny.prior, zT, logSnr),
  )

const base = async (params: Tensors): Promise<HostTensor> => {
  const feeds = { zT: normal('zT', latents), logSnr, ...conditionFeeds(tinyConfig, [{ label: 1 }, null]) }
  const { y } = await evaluate(stage2Spec(tinyConfig), params, feeds, (lookUp, inputs) => ({
    y: baseOf(tinyConfig, lookUp)({ zT: inputs.zT, logSnr: inputs.logSnr, conditions: inputs }),
  }))
  return y
}

/** @param seed none at evaluation */
const decoder = (params: Tensors, config: ModelConfig = tinyConfig, seed?: number): Promise<HostTensor> => {
  const feeds = { xT: normal('xT', images), z0: normal('z0', latents), logSnr }
  const seeds: Tensors = seed === undefined ? {} : { seed: int32([], [seed]) }
  const { decoder: sizes } = networkConfigs(config)
  return outputOf(decoderSpec(sizes), params, { ...feeds, ...seeds }, (p, { xT, z0, logSnr, seed }) =>
    decoderV(p, sizes, {
      xT: xT,
      z0: z0,
      logSnr: logSnr,
      z0LogSnr: logSnr,
      dropout: seed && { seed },
    }),
  )
}

describe('before training', () => {
  it('prior, decoder and base predict exactly zero', async () => {
    const outputs = await Promise.all([
      prior(initialParams(priorSpec(tiny.prior), 1)),
      decoder(initialParams(decoderSpec(tiny.decoder), 1)),
      base(initialParams(stage2Spec(tinyConfig), 1)),
    ])
    for (const y of outputs) expect(floats(y).every((v) => v === 0)).toBe(true)
    expect(outputs.map(({ shape }) => shape)).toEqual([latents, images, latents])
  })

  it('the encoder does not: its output has about unit variance', async () => {
    const spec = encoderSpec(tiny.encoder)
    const x = normal('x', [16, 3, tinyConfig.size, tinyConfig.size], 0.5)
    const z = await outputOf(spec, initialParams(spec, 1), { x }, (p, { x }) => encode(p, tiny.encoder, x))
    expect(z.shape).toEqual([16, tinyConfig.latent.channels, grid, grid])
    const data = floats(z)
    const variance = data.reduce((a, b) => a + b * b, 0) / data.length
    expect(variance).toBeGreaterThan(0.1)
    expect(variance).toBeLessThan(2)
  })

  it('a stack of transformer blocks returns its input', async () => {
    const spec = { stack: stackSpec({ width: 16, blocks: 3, headWidth: 8, dropout: 0 }, 12) }
    const feeds = { x: normal('tokens', [B, 5, 16]), embedding: normal('embedding', [B, 12]) }
    const run = (params: Tensors): Promise<HostTensor> =>
      outputOf(spec, params, feeds, (p, { x, embedding }) =>
        stack(p.stack, x, {
          embedding: embedding,
          headWidth: 8,
          dropout: 0,
          name: 'stack',
          recompute: false,
        }),
      )
    expect((await run(initialParams(spec, 1))).data).toEqual(feeds.x.data)
    expect(relativeError(await run(randomParams(spec)), feeds.x)).toBeGreaterThan(0.1)
  })

  it('a residual block returns its input, conditioned or not', async () => {
    const feeds = { x: normal('maps', [B, 16, 4, 6]), embedding: normal('embedding', [B, 12]) }
    for (const dEmbedding of [undefined, 12]) {
      const spec = { block: resBlockSpec(16, dEmbedding) }
      const run = (params: Tensors): Promise<HostTensor> =>
        outputOf(spec, params, feeds, (p, { x, embedding }) => resBlock(p.block, x, embedding))
      expect((await run(initialParams(spec, 1))).data).toEqual(feeds.x.data)
      expect(relativeError(await run(randomParams(spec)), feeds.x)).toBeGreaterThan(0.1)
    }
  })
})

/** The parameters with those that match replaced. */
const replaced = (
  params: Tensors,
  pattern: RegExp,
  value: (path: string, shape: Shape) => HostTensor,
): Tensors => {
  const paths = Object.keys(params).filter((path) => pattern.test(path))
  expect(paths.length).toBeGreaterThan(0)
  return { ...params, ...Object.fromEntries(paths.map((path) => [path, value(path, params[path].shape)])) }
}
const zeroed = (params: Tensors, pattern: RegExp): Tensors =>
  replaced(params, pattern, (_, shape) => zeros(shape))
const redrawn = (params: Tensors, pattern: RegExp): Tensors =>
  replaced(params, pattern, (path, shape) => normal(`again ${path}`, shape, 0.3))

describe('a level adds only what the levels below it changed', () => {
  it('decoder: where the inner level changes nothing, the way up from it does not matter', async () => {
    const params = randomParams(decoderSpec(tiny.decoder))
    expect(
      relativeError(await decoder(redrawn(params, /^levels\.0\.up$/)), await decoder(params)),
    ).toBeGreaterThan(1e-2)
    const still = zeroed(params, /^levels\.1\.(up|(before|after)\.\d+\.conv2)$/)
    const y = await decoder(still)
    expect(await decoder(redrawn(still, /^levels\.0\.up$/))).toEqual(y)
    expect(await decoder(redrawn(still, /^(blocks|latent|levels\.1\.down)/))).toEqual(y)
    // What is left is the outermost level, which still sees the image.
    expect(floats(y).some((v) => Math.abs(v) > 0.01)).toBe(true)
  })

  it('base: where the second level changes nothing, the ways down and up do not matter', async () => {
    const params = randomParams(stage2Spec(tinyConfig))
    expect(relativeError(await base(redrawn(params, /^base\.down\./)), await base(params))).toBeGreaterThan(
      1e-3,
    )
    const still = zeroed(params, /^base\.middle\.\d+\.(attended|out)$/)
    const y = await base(still)
    expect(await base(redrawn(still, /^base\.(up\.weight|down\.)/))).toEqual(y)
  })

  it('decoder: the latent is heard, by every pixel', async () => {
    const params = randomParams(decoderSpec(tiny.decoder))
    const [y, other] = await Promise.all([decoder(params), decoder(zeroed(params, /^latent\.weight$/))])
    const [a, b] = [floats(y), floats(other)]
    expect(a.every((v, i) => v !== b[i])).toBe(true)
  })
})

describe('sizes', () => {
  const block = (D: number, E: number): number =>
    (E + 1) * 2 * D + 3 * D * D + D * D + (D + 1) * 4 * D + 4 * D * D // film, q k v, attended, hidden, out
  const plainBlock = (C: number): number => 2 * C + 9 * C * C + 2 * C + 9 * C * C
  const filmBlock = (C: number, E: number): number => 2 * C + 9 * C * C + (E + 1) * 2 * C + 9 * C * C
  const logSnrLayers = (E: number): number => (64 + 1) * E + (E + 1) * E
  const c = 32

  it('of blocks follow from their definition', () => {
    expect(countParams(blockSpec(1024, 1024))).toBe(block(1024, 1024))
    expect(block(1024, 1024)).toBe(14_686_208)
    expect(countParams(resBlockSpec(512))).toBe(plainBlock(512))
    expect(countParams(resBlockSpec(512, 1024))).toBe(filmBlock(512, 1024))
  })

  it("of the paper's encoder and prior", () => {
    const stages = [128, 256, 512, 512]
    const blocks = [2, 2, 2, 3]
    const ways = 4 * 128 * 256 + 4 * 256 * 512 + 4 * 512 * 512
    const ends = 12 * 9 * 128 + 128 + 2 * 512 + 512 * 9 * c + c
    const inside = stages.reduce((n, C, i) => n + blocks[i] * plainBlock(C), 0)
    expect(countParams(encoderSpec(paper.encoder))).toBe(inside + ways + ends)
    const around = (c + 1) * 1024 + (1024 + 1) * 2 * 1024 + (1024 + 1) * c
    expect(countParams(priorSpec(paper.prior))).toBe(logSnrLayers(1024) + around + 8 * block(1024, 1024))
  })

  it("of the paper's decoder and base", () => {
    const E = 1024
    const levels = [
      [128, 256],
      [256, 512],
      [512, 1024],
    ].reduce((n, [C, below]) => n + 2 * 2 * filmBlock(C, E) + 4 * C * below + below * 4 * C, 0)
    const ends = 12 * 9 * 128 + 128 + (c + 1) * E + 2 * 128 + 128 * 9 * 12 + 12
    expect(countParams(decoderSpec(paper.decoder))).toBe(logSnrLayers(E) + levels + 8 * block(E, E) + ends)
    const outer = (c + 1) * 512 + (4 * 512 + 1) * E + (E + 1) * 4 * 512 + (E + 1) * 2 * 512 + (512 + 1) * c
    const inside = 6 * block(512, E) + 16 * block(E, E)
    expect(countParams(conditionedBase(paperConfig).spec)).toBe(logSnrLayers(E) + 1001 * E + outer + inside)
  })

  /** Parameters as inputs of their shapes; nothing runs. */
  const lookUpOf = (spec: Spec): ((path: string) => Value) => {
    const values = new Map(flattenSpec(spec).map(({ path, spec: { shape } }) => [path, input(path, shape)]))
    return (path) => values.get(path)!
  }
  /** Traces a network on inputs of these shapes. */
  const shapeOf = <S extends Spec>(spec: S, body: (p: Params<S>) => Value): Shape =>
    body(bindParams(spec, lookUpOf(spec))).shape

  it("of the paper's latent: 512² pixels to 32×32×32, and back", () => {
    const x = input('x', [4, 3, 512, 512])
    expect(latentOf(paperConfig)).toEqual({ channels: 32, frames: undefined, height: 32, width: 32 })
    const latent = shapeOf(encoderSpec(paper.encoder), (p) => encode(p, paper.encoder, x))
    expect(latent).toEqual([4, 32, 32, 32])
    const z = input('z', latent)
    const level = input('logSnr', [4])
    expect(shapeOf(priorSpec(paper.prior), (p) => priorV(p, paper.prior, z, level))).toEqual(latent)
    expect(
      shapeOf(decoderSpec(paper.decoder), (p) =>
        decoderV(p, paper.decoder, { xT: x, z0: z, logSnr: level, z0LogSnr: level }),
      ),
    ).toEqual(x.shape)
    const base = baseNetwork(paper.base, {})
    const reads = { zT: z, logSnr: level, conditions: {} }
    expect(base.bind(lookUpOf({ base: base.spec }), 'base')(reads).shape).toEqual(latent)
  })

  it.each([
    [256, 16, 16],
    [512, 8, 64],
    [512, 32, 16],
    [64, 4, 16],
  ])('of the latent of %d² pixels at %d× are %d', (size, downsample, expected) => {
    const config = { ...paperConfig, size, latent: { ...paperConfig.latent, downsample } }
    const x = input('x', [1, 3, size, size])
    const { encoder } = networkConfigs(config)
    expect(shapeOf(encoderSpec(encoder), (p) => encode(p, encoder, x))).toEqual([1, 32, expected, expected])
  })

  it('that do not divide are refused in words', () => {
    expect(() => latentOf({ ...paperConfig, size: 500 })).toThrow(/data\.size 500 .* latent\.downsample 16/)
    expect(() => halvings(2, 12)).toThrow(/power of two/)
    expect(() => halvings(4, 2)).toThrow(/power of two/)
    expect([halvings(2, 16), halvings(2, 2), halvings(1, 8)]).toEqual([3, 0, 3])
    expect(stageChannels([8, 16], 4)).toEqual([8, 16, 16, 16])
    expect(stageChannels([8, 16], 1)).toEqual([8])
  })
})

describe('a U-ViT as base model', () => {
  /** Pixel diffusion at full resolution; the sizes of the tiny decoder with its patches as latents. */
  const uvit = { channels: [8, 16], convBlocks: 1, width: 16, blocks: 2 }
  const model: ModelConfig = {
    ...tinyConfig,
    latent: { ...tinyConfig.latent, channels: 12, downsample: 2 },
    base: { ...tinyConfig.base, uvit },
    variant: { ...tinyConfig.variant, encoder: 'pixels' },
  }
  const feeds = { zT: normal('pixels', latentShape(model, B)), logSnr }
  const run = async (params: Tensors, of: ModelConfig = model): Promise<HostTensor> => {
    const all = { ...feeds, ...conditionFeeds(of, [{ label: 1 }, null]) }
    const { y } = await evaluate(stage2Spec(of), params, all, (lookUp, inputs) => ({
      y: baseOf(of, lookUp)({ zT: inputs.zT, logSnr: inputs.logSnr, conditions: inputs }),
    }))
    return y
  }
  const untold = /^base\.classes$/

  it('is the decoder to which no latent says anything', async () => {
    const params = zeroed(randomParams(stage2Spec(model)), untold)
    const own = Object.entries(params).map(([path, tensor]) => [path.replace(/^base\./, ''), tensor])
    const silent = { 'latent.weight': zeros([4, 16]), 'latent.bias': zeros([16]) }
    const sizes = networkConfigs(tinyConfig).decoder
    const decoderParams: Tensors = { ...Object.fromEntries(own), ...silent }
    const wanted = await outputOf(
      decoderSpec(sizes),
      decoderParams,
      { z: feeds.zT, z0: normal('z0', latents), logSnr },
      (p, { z, z0, logSnr }) =>
        spaceToDepth(decoderV(p, sizes, { xT: depthToSpace(z, 2), z0, logSnr, z0LogSnr: logSnr }), 2),
    )
    expect(relativeError(await run(params), wanted)).toBeLessThan(1e-5)
    expect(floats(wanted).some((v) => Math.abs(v) > 0.01)).toBe(true)
  })

  it('predicts zero before training, and is preconditioned like the other', async () => {
    const initial = initialParams(stage2Spec(model), 1)
    expect(floats(await run(initial)).every((v) => v === 0)).toBe(true)
    const s = 0.5
    const known = { ...model, latent: { ...model.latent, deviation: s } }
    // v̂ = ασ(1 − s²)/(α²s² + σ²)·z_t where the network says nothing.
    const each = floats(feeds.zT).length / B
    const wanted = floats(feeds.zT).map((z, i) => {
      const lambda = floats(logSnr)[Math.floor(i / each)]
      const [signal, noise] = [1 / (1 + Math.exp(-lambda)), 1 / (1 + Math.exp(lambda))]
      return (Math.sqrt(signal * noise) * (1 - s * s) * z) / (signal * s * s + noise)
    })
    expect(relativeError(floats(await run(initial, known)), wanted)).toBeLessThan(1e-5)
  })

  it('is told the class', async () => {
    const params = randomParams(stage2Spec(model))
    const [told, silent] = [await run(params), await run(zeroed(params, untold))]
    expect(relativeError(told, silent)).toBeGreaterThan(1e-3)
  })

  it('refuses a latent that does not halve so often', async () => {
    const deep = { ...model, base: { ...model.base, uvit: { ...uvit, channels: [8, 8, 8, 8] } } }
    await expect(run(randomParams(stage2Spec(deep)), deep)).rejects.toThrow(
      'base.uvit.channels has 4 stages, each of which halves the latent, but 8×8 positions are no multiple of 16; give fewer',
    )
  })
})

describe('parameters', () => {
  const specs: Readonly<Record<string, Spec>> = {
    stage1: stage1Spec(tinyConfig),
    stage2: stage2Spec(tinyConfig),
  }

  it.each(Object.keys(specs))(
    'of %s are asked for under the paths that flattenSpec lists, in its order',
    (name) => {
      const asked: string[] = []
      const shapes = new Map(flattenSpec(specs[name]).map(({ path, spec }) => [path, spec.shape]))
      bindParams(specs[name], (path) => {
        asked.push(path)
        return input(path, shapes.get(path)!)
      })
      expect(asked).toEqual(flattenSpec(specs[name]).map(({ path }) => path))
      expect(new Set(asked).size).toBe(asked.length)
      expect(asked.every((path) => /^(encoder|prior|decoder|base)(\.\w+)+$/.test(path))).toBe(true)
    },
  )

  it('bind to the leaves of their own paths', () => {
    const spec = { a: param([1], 0), list: [param([2], 0), { b: param([3], 0) }] }
    const sizes: Readonly<Record<string, number>> = { 'root.a': 1, 'root.list.0': 2, 'root.list.1.b': 3 }
    const bound = bindParams(spec, (path) => input(path, [sizes[path]]), 'root')
    expect(
      JSON.parse(JSON.stringify(bound, (key, v) => (key === 'id' || key === 'node' ? undefined : v))),
    ).toMatchObject({
      a: { name: 'root.a' },
      list: [{ name: 'root.list.0' }, { b: { name: 'root.list.1.b' } }],
    })
    expect(flattenSpec(spec).map(({ path }) => path)).toEqual(['a', 'list.0', 'list.1.b'])
    expect(countParams(spec)).toBe(6)
  })

  it.each([
    ['float32[3]', input('given', [3])],
    ['float32[2,1]', input('given', [2, 1])],
    ['int32[2]', input('given', [2], 'int32')],
  ])('are refused as %s where float32[2] is expected', (type, value) => {
    expect(() => bindParams({ a: param([2], 0) }, () => value)).toThrow(
      `parameters: 'a' should be float32[2], found ${type}; was it saved with another configuration?`,
    )
  })

  it('start from the seed and their own path alone', () => {
    const [one, again, other] = [1, 1, 2].map((seed) => initialParams(specs.stage1, seed))
    expect(one).toEqual(again)
    expect(one['encoder.in.weight']).not.toEqual(other['encoder.in.weight'])
    const alone = initialParams({ encoder: encoderSpec(tiny.encoder) }, 1)
    for (const [path, tensor] of Object.entries(alone)) expect(one[path]).toEqual(tensor)
    expect(one['prior.blocks.0.query']).not.toEqual(one['prior.blocks.0.key'])
  })

  it('start with the deviation that their spec states', () => {
    const values = initialParams(specs.stage1, 3)
    for (const { path, spec } of flattenSpec(specs.stage1)) {
      const data = floats(values[path])
      expect(values[path].shape).toEqual(spec.shape)
      const deviation = Math.sqrt(data.reduce((a, b) => a + b * b, 0) / data.length)
      if (spec.std === 0) expect(deviation).toBe(0)
      else expect(Math.abs(deviation / spec.std - 1)).toBeLessThan(4 / Math.sqrt(2 * data.length))
    }
  })
})

describe('dropout in the decoder', () => {
  const config: ModelConfig = { ...tinyConfig, decoder: { ...tinyConfig.decoder, dropout: 0.5 } }
  const params = randomParams(decoderSpec(networkConfigs(config).decoder))

  it('is a function of the seed, and absent without one', async () => {
    const [a, again, other, none, plain] = await Promise.all([
      decoder(params, config, 7),
      decoder(params, config, 7),
      decoder(params, config, 8),
      decoder(params, config),
      decoder(params),
    ])
    expect(a).toEqual(again)
    expect(relativeError(a, other)).toBeGreaterThan(1e-3)
    expect(relativeError(a, none)).toBeGreaterThan(1e-3)
    expect(none).toEqual(plain)
  })

  it('does nothing at rate 0, whatever the seed', async () => {
    expect(await decoder(params, tinyConfig, 7)).toEqual(await decoder(params))
  })
})
