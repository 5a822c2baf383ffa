/**
 * @file The variants of the method (ModelConfig.variant): what each one charges, whose gradient it lets through and what
 * the codec and the generator make of it, against formulas in float64 and networks that are run on their own.
 */
import { describe, expect, it } from 'vitest'
import { gradient } from '../../src/engine/autodiff/gradient.ts'
import {
  examplesOf,
  float32,
  floats,
  type HostTensor,
  int32,
  scalar,
  stacked,
  zeros,
} from '../../src/engine/host/tensor.ts'
import type { Value } from '../../src/engine/ir/graph.ts'
import { flattenSpec, initialParams } from '../../src/engine/nn/params.ts'
import { add, constant, reduceSum } from '../../src/engine/ops/core.ts'
import { NodeRuntime } from '../../src/engine/runtime/node/runtime.ts'
import type { DeviceState, Executable, Runtime } from '../../src/engine/runtime/runtime.ts'
import { autoencoderFeeds, encoderNetwork, measuredFeeds } from '../../src/method/autoencoder.ts'
import { createCodec } from '../../src/method/codec.ts'
import { latentInUse, type ModelConfig } from '../../src/method/config.ts'
import { type Draw, numberedNoise } from '../../src/method/diffusion/draws.ts'
import type { Guidance, SamplerConfig } from '../../src/method/diffusion/sampler.ts'
import { alphaOf, linearSchedule, sigmaOf, sigmoid } from '../../src/method/diffusion/schedule.ts'
import { drawnLeastNoise, elboWeight } from '../../src/method/diffusion/weighting.ts'
import { createTermsEstimator } from '../../src/method/evaluate.ts'
import { createGenerator, guidedStep, plainStep } from '../../src/method/generator.ts'
import { normalPriorElements } from '../../src/method/objective/normalKl.ts'
import { noVariant, type VariantConfig } from '../../src/method/variants.ts'
import {
  baseOf,
  compiled,
  decoderOf,
  evaluate,
  imageShape,
  integrate,
  latentShape,
  mismatches,
  normal,
  randomParams,
  relativeError,
  type Stage1Terms,
  stage1Spec,
  stage1Terms,
  stage2Spec,
  stepOf,
  type Tensors,
  tinyConfig,
  under,
  wholeDraw,
  withVariant,
} from './support.ts'

const B = 3
const { logSnr0, logSnr1 } = tinyConfig.latent
const [signal0, noise0] = [sigmoid(logSnr0), sigmoid(-logSnr0)]
const runtime = new NodeRuntime({ threads: 1 })

const imageTensor = normal('images', imageShape(tinyConfig, B), 0.5)
const images = floats(imageTensor)
/** Parameters of stage 1 that depend on their paths alone: variants share those that they both have. */
const paramsOf = (config: ModelConfig): Record<string, HostTensor> => randomParams(stage1Spec(config))

const feedsOf = (config: ModelConfig, step = 4): Record<string, HostTensor> => {
  const {
    seed: _,
    firstExample: __,
    ...feeds
  } = autoencoderFeeds(config, imageTensor, wholeDraw(7, step, B), 1)
  return feeds
}

/** What losses are made of, and gradients taken of. */
const charges = {
  total: ({ totalNats }: Stage1Terms): Value => totalNats,
  prior: ({ priorNats }: Stage1Terms): Value => priorNats,
  rate: ({ priorNats, terminalNats }: Stage1Terms): Value => add(priorNats, terminalNats),
  decoder: ({ decoderNats }: Stage1Terms): Value => decoderNats,
} as const

type Terms = Readonly<Record<keyof Stage1Terms, Float32Array>>
type Run = {
  readonly terms: Terms
  /** By path, of the sum over the batch. */
  readonly gradients: Tensors
}

const programs = new Map<string, Promise<Executable>>()
/** The program of a variant, with gradients where a charge is given; compiled once. */
const programOf = (config: ModelConfig, charge?: keyof typeof charges): Promise<Executable> => {
  const spec = stage1Spec(config)
  const key = JSON.stringify([config, charge])
  const program =
    programs.get(key) ??
    compiled(spec, feedsOf(config), (lookUp, inputs) => {
      const terms = stage1Terms(config, lookUp, inputs)
      if (charge === undefined) return terms
      const paths = flattenSpec(spec).map(({ path }) => path)
      const gradients = gradient(reduceSum(charges[charge](terms)), paths.map(lookUp))
      return { ...terms, ...Object.fromEntries(paths.map((path, i) => [`gradient/${path}`, gradients[i]])) }
    })
  programs.set(key, program)
  return program
}

/** The terms of a variant, and the gradient of the sum over the batch of a charge. */
const run = async (
  config: ModelConfig,
  charge?: keyof typeof charges,
  feeds: Tensors = feedsOf(config),
): Promise<Run> => {
  const outputs = await (await programOf(config, charge)).run({ ...paramsOf(config), ...feeds })
  const terms = Object.entries(outputs).filter(([name]) => !name.startsWith('gradient/'))
  return {
    terms: Object.fromEntries(terms.map(([name, tensor]) => [name, floats(tensor)])) as Terms,
    gradients: under(outputs, 'gradient'),
  }
}

/** The terms alone. */
const termsOf = async (config: ModelConfig, feeds?: Tensors): Promise<Terms> =>
  (await run(config, undefined, feeds)).terms

const below = (tensors: Tensors, network: string): Tensors =>
  Object.fromEntries(Object.entries(tensors).filter(([path]) => path.startsWith(`${network}.`)))

/** a·x + b·y of two sets of tensors with the same names. */
const combined = (a: number, x: Tensors, b: number, y: Tensors): Tensors =>
  Object.fromEntries(
    Object.entries(x).map(([name, t]) => [
      name,
      float32(
        t.shape,
        floats(t).map((v, i) => a * v + b * floats(y[name])[i]),
      ),
    ]),
  )

/** Mean and variance of the clean latent, from the encoder run alone. */
const posterior = async (
  config: ModelConfig,
): Promise<{ readonly mean: number[]; readonly variance: number[] }> => {
  const outputs = await evaluate(
    stage1Spec(config),
    paramsOf(config),
    { x: imageTensor },
    (lookUp, inputs): Record<string, Value> => {
      const { mean, logVariance } = encoderNetwork(config).bind(lookUp, 'encoder')(inputs.x)
      return { mean, ...(logVariance && { logVariance }) }
    },
  )
  const mean = [...floats(outputs.mean)]
  const { logVariance } = outputs
  return { mean, variance: logVariance ? [...floats(logVariance)].map(Math.exp) : mean.map(() => 0) }
}

/** KL[N(μ, s²) ‖ N(0, 1)] */
const normalKl = (mu: number, s2: number): number => 0.5 * (mu * mu + s2 - 1 - Math.log(s2))

const sumsPerExample = (elements: readonly number[]): number[] => {
  const each = elements.length / B
  return Array.from({ length: B }, (_, i) =>
    elements.slice(i * each, (i + 1) * each).reduce((a, b) => a + b, 0),
  )
}

const expectClose = (actual: ArrayLike<number>, wanted: ArrayLike<number>, tolerance: number): void => {
  expect(Array.from(wanted).every(Number.isFinite)).toBe(true)
  expect(relativeError(actual, wanted)).toBeLessThan(tolerance)
}

describe.each(['fixed', 'learned'] as const)('a normal prior with %s variance', (variance) => {
  const config = (klWeight: number) => withVariant({ prior: 'normal', variance, klWeight })

  it('has the closed-form KL as its rate, element by element', async () => {
    const { mean, variance: own } = await posterior(config(0.3))
    const kl = mean.map((m, i) => normalKl(Math.sqrt(signal0) * m, signal0 * own[i] + noise0))
    const terms = await termsOf(config(0.3))
    expectClose(terms.rateElements, kl, 1e-5)
    expectClose(terms.priorNats, sumsPerExample(kl), 1e-5)
    expect([...terms.terminalNats]).toEqual(Array(B).fill(0))
  })

  it('adds klWeight times the KL to the loss, and its gradient', async () => {
    const [none, some, all] = [
      await run(config(0), 'total'),
      await run(config(0.3), 'total'),
      await run(config(1), 'total'),
    ]
    const kl = await run(config(0.3), 'prior')
    for (const [weight, { terms, gradients }] of [
      [0, none] as const,
      [0.3, some] as const,
      [1, all] as const,
    ]) {
      const total = Array.from(terms.priorNats, (nats, i) => weight * nats + terms.decoderNats[i])
      expectClose(terms.totalNats, total, 1e-6)
      expect([...terms.decoderNats]).toEqual([...none.terms.decoderNats])
      expect(mismatches(gradients, below(none.gradients, 'decoder'), 1e-6)).toEqual({})
      const encoder = combined(1, below(none.gradients, 'encoder'), weight, below(kl.gradients, 'encoder'))
      expect(mismatches(gradients, encoder, 1e-4)).toEqual({})
    }
    expect(relativeError(all.gradients['encoder.out.weight'], none.gradients['encoder.out.weight'])).toBeGreaterThan(0.01) // biome-ignore format: one line
  })

  it('can be free of charge only with a variance of its own', async () => {
    const own =
      variance === 'learned' ? { logVariance: constant(zeros([1, 4, 2, 2])) } : { logVariance: null }
    const { nats } = await evaluate({}, {}, { mean: zeros([1, 4, 2, 2]) }, (_, { mean }) => ({
      nats: normalPriorElements(tinyConfig.latent, { mean, ...own }),
    }))
    // N(0, 1) itself, and at best a mean of 0 with the fixed noise: ½(ln(1 + e⁵) − α₀²) of every element.
    const least = variance === 'learned' ? 0 : 2.0067
    for (const each of floats(nats)) expect(each).toBeCloseTo(least, 4)
  })

  it('has no prior network', () => {
    const paths = flattenSpec(stage1Spec(config(1))).map(({ path }) => path.split('.')[0])
    expect([...new Set(paths)]).toEqual(['encoder', 'decoder'])
  })
})

describe('a learned variance under the diffusion prior', () => {
  it('starts at about the fixed noise', async () => {
    const { variance } = await posterior(withVariant({ variance: 'learned' }))
    const logs = variance.map((v) => Math.log(v) + logSnr0)
    expect(Math.abs(logs.reduce((a, b) => a + b, 0) / logs.length)).toBeLessThan(1)
  })

  it.each([null, 1])(
    'draws z and charges less by the entropy at its own noise (prior bias %s)',
    async (priorBias) => {
      const config = withVariant({ variance: 'learned', priorBias })
      const { mean, variance } = await posterior(config)
      const feeds = feedsOf(config)
      const terms = await termsOf(config, feeds)
      const [draw, levels] = [floats(feeds.zDraw), floats(feeds.z0LogSnr)]
      const z = mean.map((m, i) => m + Math.sqrt(variance[i]) * draw[i])
      expectClose(terms.z, z, 1e-6)
      const each = z.length / B
      const terminal = z.map((v, i) => {
        const own = levels[Math.floor(i / each)]
        return (
          normalKl(alphaOf(logSnr1) * v, sigmoid(-logSnr1)) - 0.5 * Math.log1p(variance[i] * Math.exp(own))
        )
      })
      expectClose(terms.terminalNats, sumsPerExample(terminal), 1e-5)
      if (priorBias === null) expect([...levels]).toEqual(Array(B).fill(logSnr0))
      else expect(new Set(levels).size).toBe(B)
    },
  )
})

describe.each(['fixed', 'learned'] as const)('stopGradient with %s variance', (variance) => {
  it('keeps the rate from the encoder and gives the prior what the method gives it', async () => {
    const [baseline, stopped] = [
      await run(withVariant({ variance }), 'rate'),
      await run(withVariant({ variance, stopGradient: true }), 'rate'),
    ]
    for (const [path, { data }] of Object.entries(below(stopped.gradients, 'encoder'))) {
      expect([path, (data as Float32Array).every((v) => v === 0)]).toEqual([path, true])
    }
    const some = floats(baseline.gradients['encoder.out.weight'])
    expect(some.some((v) => v !== 0)).toBe(true)
    expect(mismatches(stopped.gradients, below(baseline.gradients, 'prior'), 1e-6)).toEqual({})
    for (const name of ['priorNats', 'terminalNats', 'decoderNats', 'totalNats'] as const) {
      expectClose(stopped.terms[name], baseline.terms[name], 1e-6)
    }
  })

  it('leaves the encoder to the decoder and the weighted KL', async () => {
    const klWeight = 0.2
    const stopped = await run(withVariant({ variance, stopGradient: true, klWeight }), 'total')
    const ofDecoder = await run(withVariant({ variance }), 'decoder')
    const kl = await run(withVariant({ variance, prior: 'normal' }), 'prior')
    const encoder = combined(
      1,
      below(ofDecoder.gradients, 'encoder'),
      klWeight,
      below(kl.gradients, 'encoder'),
    )
    expect(Object.keys(encoder).length).toBeGreaterThan(5)
    expect(mismatches(stopped.gradients, encoder, 1e-4)).toEqual({})
    const { terms } = stopped
    const total = Array.from(
      terms.priorNats,
      (nats, i) => nats + terms.terminalNats[i] + terms.decoderNats[i] + klWeight * kl.terms.priorNats[i],
    )
    expectClose(terms.totalNats, total, 1e-6)
  })
})

/** Nats of an error by its distribution's density, but for the constant. */
const errorNats = {
  mse: (error: number, bias: number) => 0.5 * Math.exp(bias) * error ** 2,
  absolute: (error: number, bias: number) => Math.abs(error) / (Math.exp(-bias / 2) / Math.SQRT2),
} as const

describe.each(['mse', 'absolute'] as const)('a decoder by one prediction, %s', (decoder) => {
  const config = withVariant({ decoder })
  const feeds = feedsOf(config)
  const params = { ...paramsOf(config) }
  const least = -10

  /** z_0 as the objective makes it, and x̂ = −σ·v̂ from x_T = 0. */
  const prediction = async (): Promise<{ readonly z0: Float32Array; readonly xHat: number[] }> => {
    const { mean } = await posterior(config)
    const eps = floats(feeds.z0Eps)
    const z0 = Float32Array.from(mean, (m, i) => Math.sqrt(signal0) * m + Math.sqrt(noise0) * eps[i])
    const inputs = {
      xT: zeros(imageShape(config, B)),
      z0: float32(latentShape(config, B), z0),
      logSnr: float32([B], Array(B).fill(least) as number[]),
    }
    const { v } = await evaluate(stage1Spec(config), params, inputs, (lookUp, { xT, z0, logSnr }) => ({
      v: decoderOf(config, lookUp)({ xT: xT, z0: z0, logSnr: logSnr, z0LogSnr: logSnr }),
    }))
    return { z0, xHat: [...floats(v)].map((value) => -sigmaOf(least) * value) }
  }

  it('is charged as a distribution of precision e^b around one prediction', async () => {
    const { xHat } = await prediction()
    const { bias, lossFactor } = config.decoder
    const nats = xHat.map((v, i) => lossFactor * errorNats[decoder](images[i] - v, bias))
    const terms = await termsOf(config, feeds)
    expectClose(terms.decoderNats, sumsPerExample(nats), 1e-5)
  })

  it('decodes to that prediction, clipped, whatever the steps and the seed', async () => {
    const { z0, xHat } = await prediction()
    const codec = createCodec(runtime, config, params, 2)
    const latents = float32(latentShape(config, B), z0)
    const decode = async (seed: number, sampler: SamplerConfig) =>
      floats(await codec.decode(latents, seed, sampler))
    const images = await decode(1, { kind: 'ddim', steps: 1, variance: 0 })
    const clipped = xHat.map((v) => Math.min(1, Math.max(-1, v)))
    expectClose(images, clipped, 1e-5)
    expect(xHat.some((v) => Math.abs(v) > 1)).toBe(true)
    expect(xHat.some((v) => Math.abs(v) < 1)).toBe(true)
    expect(await decode(2, { kind: 'ancestral', steps: 5, variance: 1 })).toEqual(images)
    await codec.dispose()
  })
})

describe('a weighted prior', () => {
  const [low, high] = [logSnr1 + 1, logSnr0]
  /** P(λ_max > λ) of the logistic with location b between low and high. */
  const survival = (bias: number, logSnr: number): number =>
    (sigmoid(bias - Math.max(logSnr, low)) - sigmoid(bias - high)) /
    (sigmoid(bias - low) - sigmoid(bias - high))

  it.each([-3, 0, 2.8, 9])('draws its least noise from the truncated logistic of location %d', (bias) => {
    expect(drawnLeastNoise(bias, [low, high], 0)).toBeCloseTo(low, 9)
    expect(drawnLeastNoise(bias, [low, high], 1 - 1e-12)).toBeCloseTo(high, 6)
    for (let logSnr = low + 0.5; logSnr < high; logSnr += 0.5) {
      // The u at which the draw passes λ, by bisection: the draw rises with u.
      let [from, to] = [0, 1]
      for (let i = 0; i < 50; i++) {
        const middle = (from + to) / 2
        if (drawnLeastNoise(bias, [low, high], middle) < logSnr) from = middle
        else to = middle
      }
      expect(Math.abs(1 - from - survival(bias, logSnr))).toBeLessThan(1e-9)
    }
  })

  it.each([-3, 0, 2.8])('expects the ELBO weighted by sigmoid(b − λ) less a constant: b = %d', (bias) => {
    for (const s2 of [1, 4, 0.25]) {
      // ‖v − v̂‖² of the optimal denoiser of N(0, s²)
      const error = (logSnr: number): number => s2 / (1 + s2 * Math.exp(logSnr)) / sigmoid(-logSnr)
      const elbo = (most: number): number => {
        const schedule = linearSchedule(most, logSnr1)
        return integrate((t) => elboWeight(schedule, t) * error(schedule.logSnr(t)), 400)
      }
      const drawn = integrate((u) => elbo(drawnLeastNoise(bias, [low, high], u)), 2000)
      const schedule = linearSchedule(logSnr0, logSnr1)
      const weighted = integrate((t) => {
        const logSnr = schedule.logSnr(t)
        return survival(bias, logSnr) * elboWeight(schedule, t) * error(logSnr)
      })
      expect(Math.abs(drawn / weighted - 1)).toBeLessThan(1e-3)
    }
    // Over most of the range that is the sigmoid weight itself, up to one factor.
    const factor = 1 / (sigmoid(bias - low) - sigmoid(bias - high))
    for (let logSnr = low; logSnr < bias; logSnr += 0.5) {
      const sigmoidWeight = factor * sigmoid(bias - logSnr)
      expect(sigmoidWeight - survival(bias, logSnr)).toBeCloseTo(factor * sigmoid(bias - high), 12)
    }
  })

  it('is fed levels between its own least noise and the most, with their weights', () => {
    const bias = 1
    const config = withVariant({ priorBias: bias })
    const most: number[] = []
    for (let step = 0; step < 700; step++) {
      const feeds = feedsOf(config, step)
      const [z0, levels, weights] = [feeds.z0LogSnr, feeds.zLogSnr, feeds.zWeight].map(floats)
      for (let i = 0; i < B; i++) {
        most.push(z0[i])
        expect(levels[i]).toBeLessThanOrEqual(z0[i])
        expect(levels[i]).toBeGreaterThanOrEqual(logSnr1)
        expect(weights[i] / (0.5 * (z0[i] - logSnr1) * sigmoid(levels[i]))).toBeCloseTo(1, 5)
      }
    }
    // Kolmogorov–Smirnov; 1.95/√n is passed once in a thousand.
    most.sort((a, b) => a - b)
    const distance = Math.max(
      ...most.map((v, i) => Math.abs((i + 0.5) / most.length - (1 - survival(bias, v)))),
    )
    expect(distance).toBeLessThan(1.95 / Math.sqrt(most.length))
  })

  it('tells the decoder how noisy the latent is, and only it', async () => {
    const decoded = async (config: ModelConfig, level: number): Promise<HostTensor> => {
      const spec = stage1Spec(config)
      const feeds = {
        xT: normal('xT', imageShape(config, B)),
        z0: normal('z0', latentShape(config, B)),
        logSnr: float32([B], [1, 0, -1]),
        z0LogSnr: float32([B], Array(B).fill(level) as number[]),
      }
      const { v } = await evaluate(
        spec,
        randomParams(spec),
        feeds,
        (lookUp, { xT, z0, logSnr, z0LogSnr }) => ({
          v: decoderOf(config, lookUp)({ xT: xT, z0: z0, logSnr: logSnr, z0LogSnr: z0LogSnr }),
        }),
      )
      return v
    }
    const [told, plain] = [withVariant({ priorBias: 1 }), tinyConfig]
    expect(relativeError(await decoded(told, 0), await decoded(told, 5))).toBeGreaterThan(1e-3)
    expect(await decoded(plain, 0)).toEqual(await decoded(plain, 5))
    const paths = (config: ModelConfig) => flattenSpec(stage1Spec(config)).map(({ path }) => path)
    const own = paths(told).filter((path) => !paths(plain).includes(path))
    expect(own.length).toBeGreaterThan(0)
    expect(own.every((path) => path.startsWith('decoder.latentLogSnr.0.'))).toBe(true)
    expect(paths(told).filter((path) => !own.includes(path))).toEqual(paths(plain))
  })

  it.each([-3, 1, 9])('is in use from the median of its least noise on: b = %d', (bias) => {
    const { logSnr0: inUse, ...rest } = latentInUse(withVariant({ priorBias: bias }))
    expect(survival(bias, inUse)).toBeCloseTo(0.5, 9)
    expect({ ...rest, logSnr0 }).toEqual(tinyConfig.latent)
    expect(latentInUse(tinyConfig)).toBe(tinyConfig.latent)
  })

  it('is generated down to where its decoder is told it is, and gets that noise from the encoder', async () => {
    const config = withVariant({ priorBias: 1 })
    const inUse = latentInUse(config).logSnr0
    const params = paramsOf(config)
    const known = floats(normal('known', latentShape(config, 200)))
    const sampler: SamplerConfig = { kind: 'ancestral', steps: 4, variance: 0 }
    const many = Array.from({ length: 200 }, () => null)
    const prior = createGenerator(knowing(known), config, params, 200, 'prior')
    const generated = floats(await prior.generate({ facts: many, seed: 1, sampler, guidance: unguided }))
    const base = createGenerator(knowing(known), config, randomParams(stage2Spec(config)), 200)
    const byBase = floats(await base.generate({ facts: many, seed: 1, sampler, guidance: unguided }))
    const codec = createCodec(runtime, config, params, B)
    const z = float32(latentShape(config, 200), known)
    const noisy = floats(codec.addNoise(z, 3))
    // α·z and noise of σ at the level in use.
    for (const latents of [generated, byBase, noisy]) {
      const rest = latents.map((v, i) => (v - alphaOf(inUse) * known[i]) / sigmaOf(inUse))
      const deviation = Math.sqrt(rest.reduce((sum, v) => sum + v * v, 0) / rest.length)
      expect(Math.abs(deviation - 1)).toBeLessThan(0.1)
    }
    // The decoder is told that level: one step from pure noise is x̂ of the network asked by hand.
    const step = await evaluate(
      stage1Spec(config),
      params,
      {
        xT: numberedNoise(imageShape(config, B), 1, 'decode', 0),
        z0: examplesOf(z, 0, B),
        logSnr: float32([B], Array(B).fill(-10) as number[]),
        z0LogSnr: float32([B], Array(B).fill(inUse) as number[]),
      },
      (lookUp, { xT, z0, logSnr, z0LogSnr }) => ({
        v: decoderOf(config, lookUp)({ xT, z0, logSnr, z0LogSnr }),
      }),
    )
    const oneStep = createCodec(runtime, config, params, B)
    const images = floats(
      await oneStep.decode(examplesOf(z, 0, B), 1, { kind: 'ddim', steps: 1, variance: 0 }),
    )
    await oneStep.dispose()
    const noise = floats(numberedNoise(imageShape(config, B), 1, 'decode', 0))
    const wanted = floats(step.v).map((v, i) =>
      Math.min(1, Math.max(-1, alphaOf(-10) * noise[i] - sigmaOf(-10) * v)),
    )
    expectClose(images, wanted, 1e-5)
    await codec.dispose()
  })

  it('is measured from the noise in use for every image, by the plain ELBO', async () => {
    const weighted = withVariant({ priorBias: 1 })
    const inUse = latentInUse(weighted)
    const draw: Draw = { ...wholeDraw(7, 0, B), purpose: 'measuring' }
    const levels = measuredFeeds(weighted, imageTensor, draw)
    expectClose(floats(levels.z0LogSnr), Array(B).fill(inUse.logSnr0), 1e-6)
    expect(levels).toEqual(measuredFeeds({ ...tinyConfig, latent: inUse }, imageTensor, draw))
    expect(floats(feedsOf(weighted, 0).z0LogSnr).every((v) => v < logSnr0)).toBe(true)
    const estimator = createTermsEstimator(runtime, weighted, paramsOf(weighted), B)
    const measured = await estimator.terms(imageTensor, { first: 0, count: B, of: B }, { draws: 1, seed: 7 })
    await estimator.dispose()
    // The feeds know of no drawn noise.
    const terms = await termsOf(weighted, levels)
    for (const name of ['priorNats', 'terminalNats', 'decoderNats', 'rateElements'] as const) {
      expectClose(Array.from(measured[name]), terms[name], 1e-5)
    }
  })
})

it.each<Partial<VariantConfig>>([
  {},
  { variance: 'learned' },
  { prior: 'normal', klWeight: 0.1 },
  { prior: 'normal', variance: 'learned', klWeight: 0.1 },
  { stopGradient: true, klWeight: 0.1 },
  { stopGradient: true, variance: 'learned' },
  { decoder: 'mse' },
  { priorBias: 0 },
  { priorBias: 0, variance: 'learned' },
])('the rate lies where its elements say: %j', async (variant) => {
  const terms = await termsOf(withVariant(variant))
  const rate = Array.from(terms.priorNats, (nats, i) => nats + terms.terminalNats[i])
  expectClose(sumsPerExample([...terms.rateElements]), rate, 1e-5)
  expect(terms.rateElements.length).toBe(terms.z.length)
})

it.each<Partial<VariantConfig>>([
  { variance: 'learned' },
  { variance: 'learned', klWeight: 0.1 },
  { prior: 'normal', klWeight: 0.1 },
  { prior: 'normal', variance: 'learned', klWeight: 0.1 },
  { priorBias: 0, variance: 'learned' },
])('the warm-up scales what the rate tells the encoder, and nothing else: %j', async (variant) => {
  const config = withVariant(variant)
  const share = 0.25
  const whole = await run(config, 'total')
  const held = await run(config, 'total', { ...feedsOf(config), encoderShare: scalar(share) })
  const ofDecoder = await run(config, 'decoder')
  const [all, rest] = [whole.gradients, ofDecoder.gradients].map((g) => below(g, 'encoder'))
  expect(mismatches(held.gradients, combined(share, all, 1 - share, rest), 1e-4)).toEqual({})
  for (const network of ['prior', 'decoder']) {
    expect(mismatches(held.gradients, below(whole.gradients, network), 1e-6)).toEqual({})
  }
  for (const name of ['priorNats', 'terminalNats', 'totalNats'] as const) {
    expectClose(held.terms[name], whole.terms[name], 1e-6)
  }
})

const unguided: Guidance = { scale: 1, logSnrMin: -4, logSnrMax: 4 }
const samplers: readonly SamplerConfig[] = [
  { kind: 'ancestral', steps: 4, variance: 0.3 },
  { kind: 'ddim', steps: 3, variance: 0 },
]

/** Runs every step with x̂ = the given latents instead of a network's prediction. */
const knowing = (x: Float32Array): Runtime => {
  const held = new Map<string, HostTensor>()
  const state: DeviceState = {
    names: ['xT', 'before'],
    read: async () => Object.fromEntries(held),
    write: async () => undefined,
    change: async () => undefined,
    dispose: async () => undefined,
  }
  const executable: Executable = {
    run: async ({ eps, keep, clean, noise }) => {
      const [a, b, c] = [keep, clean, noise].map((t) => floats(t)[0])
      const xT = held.get('xT')!
      const [from, random] = [floats(xT), floats(eps)]
      held.set(
        'xT',
        float32(
          xT.shape,
          from.map((v, i) => a * v + b * x[i] + c * random[i]),
        ),
      )
      return {}
    },
    traffic: { toDevice: 0, toHost: 0 },
    profile: async () => [],
    dispose: async () => undefined,
  }
  return {
    device: 'cpu',
    limits: null,
    compile: async () => executable,
    place: async (tensors) => {
      for (const [name, tensor] of Object.entries(tensors)) held.set(name, tensor)
      return state
    },
  }
}

describe('pixels as latents', () => {
  /** Blocks of 2×2 pixels as 12 channels. */
  const config: ModelConfig = {
    ...withVariant({ encoder: 'pixels' }),
    latent: { ...tinyConfig.latent, channels: 12, downsample: 2 },
  }

  it('come back bit by bit, and a latent holds one block', async () => {
    const codec = createCodec(runtime, config, {}, 2)
    const z = await codec.encode(imageTensor)
    const { size } = config
    expect(z.shape).toEqual(latentShape(config, B))
    const block = (channel: number) => floats(z)[((channel * size) / 2 / 2) * size] // position (0, 0) of the grid
    const pixel = (c: number, y: number, x: number) => images[(c * size + y) * size + x]
    const wanted = [0, 1].flatMap((y) => [0, 1].flatMap((x) => [0, 1, 2].map((c) => pixel(c, y, x))))
    expect(Array.from({ length: 12 }, (_, channel) => block(channel))).toEqual(wanted)
    const z0 = codec.addNoise(z, 3)
    expect(z0).toEqual(z)
    expect(await codec.decode(z0, 3, samplers[0])).toEqual(imageTensor)
    await codec.dispose()
  })

  it.each(samplers)('are generated to the end without noise: $kind', async (sampler) => {
    const x = floats(normal('known', latentShape(config, B)))
    const facts = Array.from({ length: B }, () => ({ label: 0 }))
    const weights = initialParams(stage2Spec(config), 1)
    const clean = createGenerator(knowing(x), config, weights, B)
    const request = { facts, seed: 1, guidance: unguided }
    expect(floats(await clean.generate({ ...request, sampler }))).toEqual(x)
    // Latents proper stop at λ(0): α₀·x and noise of σ₀ are left, with the posterior's own variance exactly that.
    const exact = { ...sampler, variance: 0 }
    const latents: ModelConfig = { ...config, variant: noVariant }
    const noisy = await createGenerator(knowing(x), latents, weights, B).generate({
      ...request,
      sampler: exact,
    })
    const rest = floats(noisy).map((v, i) => (v - alphaOf(logSnr0) * x[i]) / sigmaOf(logSnr0))
    const deviation = Math.sqrt(rest.reduce((sum, v) => sum + v * v, 0) / rest.length)
    expect(deviation).toBeGreaterThan(0.9)
    expect(deviation).toBeLessThan(1.1)
  })

  it('are what DDIM makes of a base that predicts v = 0, clipped to the range of pixels', async () => {
    const generator = createGenerator(runtime, config, initialParams(stage2Spec(config), 1), B)
    const sampler: SamplerConfig = { kind: 'ddim', steps: 3, variance: 0 }
    const facts = Array.from({ length: B }, () => ({ label: 0 }))
    const x = floats(await generator.generate({ facts, seed: 1, sampler, guidance: unguided }))
    await generator.dispose()
    const levels = [0, 1, 2].map((i) => linearSchedule(logSnr0, logSnr1).logSnr(1 - i / 3))
    const expected = floats(numberedNoise(latentShape(config, B), 1, 'generate', 0)).map((noise) =>
      levels.reduce((xT, t, i) => {
        const xHat = Math.max(-1, Math.min(1, alphaOf(t) * xT))
        const s = levels[i + 1]
        if (s === undefined) return xHat
        return alphaOf(s) * xHat + (sigmaOf(s) / sigmaOf(t)) * (xT - alphaOf(t) * xHat)
      }, noise),
    )
    expect(Math.max(...expected)).toBe(1)
    expectClose(x, expected, 1e-5)
  })
})

describe('a set in two parts', () => {
  const config = withVariant({ variance: 'learned' })
  const [count, batch] = [7, 4]
  const set = normal('set', imageShape(config, count), 0.5)

  /** What `of` makes of the examples from `first` on, numbered so, after comparing the whole with what it makes of parts. */
  const inParts = async (
    of: (from: number, to: number, first?: number) => Promise<HostTensor> | HostTensor,
  ): Promise<HostTensor> => {
    const whole = await of(0, count)
    for (const cut of [1, 3, 4, 5]) {
      const parts = stacked([await of(0, cut), await of(cut, count, cut)])
      expectClose(floats(parts), floats(whole), 1e-6)
    }
    // It is the numbers that matter: without them the second part draws the first one's noise.
    const unnumbered = await of(3, count)
    expect(relativeError(unnumbered, examplesOf(whole, 3, count - 3))).toBeGreaterThan(1e-4)
    return whole
  }
  const cut = (tensor: HostTensor, from: number, to: number): HostTensor =>
    examplesOf(tensor, from, to - from)

  it('is encoded, made noisy and decoded as the whole', async () => {
    const codec = createCodec(runtime, config, paramsOf(config), batch)
    const z = await inParts((from, to, first) => codec.encode(cut(set, from, to), 5, first))
    const z0 = await inParts((from, to, first) => codec.addNoise(cut(z, from, to), 5, first))
    for (const sampler of samplers) {
      await inParts((from, to, first) => codec.decode(cut(z0, from, to), 5, sampler, first))
    }
    await codec.dispose()
  })

  const facts = [0, 1, 2, -1, 2, 1, 0].map((label) => ({ label }))
  const request = { seed: 5, sampler: samplers[0] }

  it.each([unguided, { ...unguided, scale: 2 }])('is generated as the whole: $scale', async (guidance) => {
    const generator = createGenerator(runtime, config, randomParams(stage2Spec(config)), batch)
    await inParts((from, to, first = 0) =>
      generator.generate({ ...request, facts: facts.slice(from, to), guidance, first }),
    )
    await generator.dispose()
  })

  it('is generated by the prior as the whole, and guidance and classes change nothing', async () => {
    const generator = createGenerator(runtime, config, paramsOf(config), batch, 'prior')
    const strong = { ...unguided, scale: 3 }
    const whole = await inParts((from, to, first = 0) =>
      generator.generate({ ...request, facts: facts.slice(from, to), guidance: strong, first }),
    )
    const nothing = facts.map(() => null)
    expect(await generator.generate({ ...request, facts: nothing, guidance: unguided })).toEqual(whole)
    await generator.dispose()
  })
})

it('guidance 1 is the base model alone', async () => {
  const shape = latentShape(tinyConfig, B)
  const feeds = {
    xT: normal('xT', shape),
    eps: normal('eps', shape),
    logSnr: float32([B], [2, -1, -6]),
    before: normal('before', shape),
    keep: scalar(0.7),
    clean: scalar(0.4),
    past: scalar(0.1),
    noise: scalar(0.2),
    labels: int32([B], [0, 2, 1]),
    'null/labels': int32([B], Array(B).fill(tinyConfig.classes) as number[]),
    guidance: scalar(1),
  }
  const spec = stage2Spec(tinyConfig)
  const step = (guidance: number) =>
    evaluate(spec, randomParams(spec), { ...feeds, guidance: scalar(guidance) }, (lookUp, inputs) => {
      const base = baseOf(tinyConfig, lookUp)
      const step = stepOf(inputs)
      return {
        plain: plainStep(tinyConfig, base, step).x,
        none: plainStep(tinyConfig, base, { ...step, labels: inputs['null/labels'] }).x,
        guided: guidedStep(tinyConfig, base, step).x,
      }
    })
  const { plain, guided, none } = await step(1)
  expectClose(floats(guided), floats(plain), 1e-5)
  const { guided: strong } = await step(2)
  const extrapolated = floats(plain).map((v, i) => 2 * v - floats(none)[i])
  expectClose(floats(strong), extrapolated, 1e-5)
  expect(relativeError(strong, plain)).toBeGreaterThan(1e-3)
})
