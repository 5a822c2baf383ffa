/**
 * @file The variants of the method (ModelConfig.variant): what each one charges, whose gradient it lets through and what
 * the codec and the generator make of it, against formulas in float64 and networks that are run on their own.
 */
import { describe, expect, it } from 'vitest'
import { gradient } from '../../src/engine/autodiff/gradient.ts'
import { float32, floats, type HostTensor, int32, scalar, zeros } from '../../src/engine/host/tensor.ts'
import type { Value } from '../../src/engine/ir/graph.ts'
import { bindParams, flattenSpec, initialParams } from '../../src/engine/nn/params.ts'
import { add, reduceSum } from '../../src/engine/ops/core.ts'
import { NodeRuntime } from '../../src/engine/runtime/node/runtime.ts'
import type { Executable, Runtime } from '../../src/engine/runtime/runtime.ts'
import type { StepInputs } from '../../src/method/chain.ts'
import { createCodec } from '../../src/method/codec.ts'
import type { ModelConfig } from '../../src/method/config.ts'
import type { Guidance, SamplerConfig } from '../../src/method/diffusion/sampler.ts'
import { alphaOf, linearSchedule, sigmaOf, sigmoid } from '../../src/method/diffusion/schedule.ts'
import { drawnLeastNoise, elboWeight } from '../../src/method/diffusion/weighting.ts'
import { createTermsEstimator } from '../../src/method/evaluate.ts'
import { createGenerator } from '../../src/method/generator.ts'
import { decoderSpec, decoderV } from '../../src/method/networks/decoder.ts'
import { encode, encoderSpec } from '../../src/method/networks/encoder.ts'
import { noVariant, type VariantConfig } from '../../src/method/objective/variants.ts'
import {
  evaluate,
  integrate,
  mismatches,
  normal,
  randomParams,
  relativeError,
  type Tensors,
  tinyConfig,
} from './support.ts'

const B = 3
const { logSnr0, logSnr1 } = tinyConfig.latent
const [signal0, noise0] = [sigmoid(logSnr0), sigmoid(-logSnr0)]
const runtime = new NodeRuntime({ threads: 1 })

const withVariant = (variant: Partial<VariantConfig>): ModelConfig => ({
  ...tinyConfig,
  variant: { ...noVariant, ...variant },
})
const images = floats(normal('images', imageShape(tinyConfig, B), 0.5))
/** Parameters of stage 1 that depend on their paths alone: variants share those that they both have. */
const paramsOf = (config: ModelConfig): Record<string, HostTensor> => randomParams(stage1Spec(config))

const feedsOf = (config: ModelConfig, step = 4): Record<string, HostTensor> => {
  const { seed: _, ...feeds } = stage1Feeds(config, images, 7, step, 1)
  return Object.fromEntries(Object.entries(feeds).filter(([, tensor]) => tensor !== undefined))
}

type Run = {
  readonly terms: Readonly<Record<keyof Stage1Terms, Float32Array>>
  /** By path. */
  readonly gradients: Tensors
}

/** The terms of a variant, and the gradient of the sum over the batch of what `charge` picks. */
const run = async (
  config: ModelConfig,
  charge: (terms: Stage1Terms) => Value = ({ totalNats }) => totalNats,
  feeds: Tensors = feedsOf(config),
): Promise<Run> => {
  const spec = stage1Spec(config)
  const outputs = await evaluate(spec, paramsOf(config), feeds, (lookUp, inputs) => {
    const terms = stage1Terms(config, lookUp, inputs as unknown as Stage1Inputs)
    const paths = flattenSpec(spec).map(({ path }) => path)
    const gradients = gradient(reduceSum(charge(terms)), paths.map(lookUp))
    return { ...terms, ...Object.fromEntries(paths.map((path, i) => [`gradient/${path}`, gradients[i]!])) }
  })
  const named = (kind: string): [string, HostTensor][] =>
    Object.entries(outputs)
      .filter(([name]) => name.startsWith(kind))
      .map(([name, tensor]) => [name.slice(kind.length), tensor])
  const terms = Object.fromEntries(
    Object.entries(outputs)
      .filter(([name]) => !name.startsWith('gradient/'))
      .map(([name, tensor]) => [name, floats(tensor)]),
  )
  return { terms: terms as Run['terms'], gradients: Object.fromEntries(named('gradient/')) }
}

const below = (tensors: Tensors, network: string): Tensors =>
  Object.fromEntries(Object.entries(tensors).filter(([path]) => path.startsWith(`${network}.`)))

/** a·x + b·y of two sets of tensors with the same names. */
const combined = (a: number, x: Tensors, b: number, y: Tensors): Tensors =>
  Object.fromEntries(
    Object.entries(x).map(([name, t]) => [
      name,
      float32(
        t.shape,
        floats(t).map((v, i) => a * v + b * floats(y[name]!)[i]!),
      ),
    ]),
  )

/** Mean and variance of the clean latent, from the encoder run alone. */
const posterior = async (
  config: ModelConfig,
): Promise<{ readonly mean: number[]; readonly variance: number[] }> => {
  const x = float32(imageShape(config, B), images)
  const outputs = await evaluate(stage1Spec(config), paramsOf(config), { x }, (lookUp, inputs) => {
    const encoder = bindParams(encoderSpec(config), lookUp, 'encoder')
    const { mean, logVariance } = encode(encoder, config, inputs.x!)
    return { mean, ...(logVariance && { logVariance }) } as Record<string, Value>
  })
  const mean = [...floats(outputs.mean!)]
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
    const kl = mean.map((m, i) => normalKl(Math.sqrt(signal0) * m, signal0 * own[i]! + noise0))
    const { terms } = await run(config(0.3))
    expectClose(terms.rateElements, kl, 1e-5)
    expectClose(terms.priorNats, sumsPerExample(kl), 1e-5)
    expect([...terms.terminalNats]).toEqual(Array(B).fill(0))
  })

  it('adds klWeight times the KL to the loss, and its gradient', async () => {
    const [none, some, all] = [await run(config(0)), await run(config(0.3)), await run(config(1))]
    const kl = await run(config(0.3), ({ priorNats }) => priorNats)
    for (const [weight, { terms, gradients }] of [
      [0, none] as const,
      [0.3, some] as const,
      [1, all] as const,
    ]) {
      const total = Array.from(terms.priorNats, (nats, i) => weight * nats + terms.decoderNats[i]!)
      expectClose(terms.totalNats, total, 1e-6)
      expect([...terms.decoderNats]).toEqual([...none.terms.decoderNats])
      expect(mismatches(gradients, below(none.gradients, 'decoder'), 1e-6)).toEqual({})
      const encoder = combined(1, below(none.gradients, 'encoder'), weight, below(kl.gradients, 'encoder'))
      expect(mismatches(gradients, encoder, 1e-4)).toEqual({})
    }
    expect(relativeError(all.gradients['encoder.out.weight']!, none.gradients['encoder.out.weight']!)).toBeGreaterThan(0.01) // biome-ignore format: one line
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
      const { terms } = await run(config, undefined, feeds)
      const [draw, levels] = [floats(feeds.zDraw!), floats(feeds.z0LogSnr!)]
      const z = mean.map((m, i) => m + Math.sqrt(variance[i]!) * draw[i]!)
      expectClose(terms.z, z, 1e-6)
      const each = z.length / B
      const terminal = z.map((v, i) => {
        const own = levels[Math.floor(i / each)]!
        return (
          normalKl(alphaOf(logSnr1) * v, sigmoid(-logSnr1)) - 0.5 * Math.log1p(variance[i]! * Math.exp(own))
        )
      })
      expectClose(terms.terminalNats, sumsPerExample(terminal), 1e-5)
      if (priorBias === null) expect([...levels]).toEqual(Array(B).fill(logSnr0))
      else expect(new Set(levels).size).toBe(B)
    },
  )
})

describe.each(['fixed', 'learned'] as const)('stopGradient with %s variance', (variance) => {
  const rate = ({ priorNats, terminalNats }: Stage1Terms): Value => add(priorNats, terminalNats)

  it('keeps the rate from the encoder and gives the prior what the method gives it', async () => {
    const [baseline, stopped] = [
      await run(withVariant({ variance }), rate),
      await run(withVariant({ variance, stopGradient: true }), rate),
    ]
    for (const [path, { data }] of Object.entries(below(stopped.gradients, 'encoder'))) {
      expect([path, (data as Float32Array).every((v) => v === 0)]).toEqual([path, true])
    }
    const some = floats(baseline.gradients['encoder.out.weight']!)
    expect(some.some((v) => v !== 0)).toBe(true)
    expect(mismatches(stopped.gradients, below(baseline.gradients, 'prior'), 1e-6)).toEqual({})
    for (const name of ['priorNats', 'terminalNats', 'decoderNats', 'totalNats'] as const) {
      expectClose(stopped.terms[name], baseline.terms[name], 1e-6)
    }
  })

  it('leaves the encoder to the decoder and the weighted KL', async () => {
    const klWeight = 0.2
    const stopped = await run(withVariant({ variance, stopGradient: true, klWeight }))
    const ofDecoder = await run(withVariant({ variance }), ({ decoderNats }) => decoderNats)
    const kl = await run(withVariant({ variance, prior: 'normal' }), ({ priorNats }) => priorNats)
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
      (nats, i) => nats + terms.terminalNats[i]! + terms.decoderNats[i]! + klWeight * kl.terms.priorNats[i]!,
    )
    expectClose(terms.totalNats, total, 1e-6)
  })
})

describe('an MSE decoder', () => {
  const config = withVariant({ decoder: 'mse' })
  const feeds = feedsOf(config)
  const params = { ...paramsOf(config) }
  const least = -10

  /** z_0 as the objective makes it, and x̂ = −σ·v̂ from x_T = 0. */
  const prediction = async (): Promise<{ readonly z0: Float32Array; readonly xHat: number[] }> => {
    const { mean } = await posterior(config)
    const eps = floats(feeds.z0Eps!)
    const z0 = Float32Array.from(mean, (m, i) => Math.sqrt(signal0) * m + Math.sqrt(noise0) * eps[i]!)
    const inputs = {
      xT: zeros(imageShape(config, B)),
      z0: float32(latentShape(config, B), z0),
      logSnr: float32([B], Array(B).fill(least) as number[]),
    }
    const { v } = await evaluate(stage1Spec(config), params, inputs, (lookUp, { xT, z0, logSnr }) => ({
      v: decoderV(bindParams(decoderSpec(config), lookUp, 'decoder'), config, xT!, z0!, logSnr!, logSnr!),
    }))
    return { z0, xHat: [...floats(v!)].map((value) => -sigmaOf(least) * value) }
  }

  it('is charged as a Gaussian of precision e^b around one prediction', async () => {
    const { xHat } = await prediction()
    const { bias, lossFactor } = config.decoder
    const nats = xHat.map((v, i) => 0.5 * lossFactor * Math.exp(bias) * (images[i]! - v) ** 2)
    const { terms } = await run(config, undefined, feeds)
    expectClose(terms.decoderNats, sumsPerExample(nats), 1e-5)
  })

  it('decodes to that prediction, clipped, whatever the steps and the seed', async () => {
    const { z0, xHat } = await prediction()
    const codec = createCodec(runtime, config, params, 2)
    const decode = (seed: number, sampler: SamplerConfig) => codec.decode(z0, seed, sampler)
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
    expect(drawnLeastNoise(bias, low, high, 0)).toBeCloseTo(low, 9)
    expect(drawnLeastNoise(bias, low, high, 1 - 1e-12)).toBeCloseTo(high, 6)
    for (let logSnr = low + 0.5; logSnr < high; logSnr += 0.5) {
      // The u at which the draw passes λ, by bisection: the draw rises with u.
      let [from, to] = [0, 1]
      for (let i = 0; i < 50; i++) {
        const middle = (from + to) / 2
        if (drawnLeastNoise(bias, low, high, middle) < logSnr) from = middle
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
      const drawn = integrate((u) => elbo(drawnLeastNoise(bias, low, high, u)), 2000)
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
      const [z0, levels, weights] = [feeds.z0LogSnr!, feeds.zLogSnr!, feeds.zWeight!].map(floats)
      for (let i = 0; i < B; i++) {
        most.push(z0![i]!)
        expect(levels![i]!).toBeLessThanOrEqual(z0![i]!)
        expect(levels![i]!).toBeGreaterThanOrEqual(logSnr1)
        expect(weights![i]! / (0.5 * (z0![i]! - logSnr1) * sigmoid(levels![i]!))).toBeCloseTo(1, 5)
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
      const spec = decoderSpec(config)
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
          v: decoderV(bindParams(spec, lookUp), config, xT!, z0!, logSnr!, z0LogSnr!),
        }),
      )
      return v!
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

  it('is measured from λ(0) for every image, by the plain ELBO', async () => {
    const [weighted, plain] = [withVariant({ priorBias: 1 }), tinyConfig]
    const levels = rateLevels(weighted, B, 7, 0)
    expect([...floats(levels.z0LogSnr)]).toEqual(Array(B).fill(logSnr0))
    expect(levels).toEqual(rateLevels(plain, B, 7, 0))
    expect(floats(feedsOf(weighted, 0).z0LogSnr!).every((v) => v < logSnr0)).toBe(true)
    const estimator = createTermsEstimator(runtime, weighted, paramsOf(weighted), B)
    const measured = await estimator.terms(images, { first: 0, count: B, of: B }, { draws: 1, seed: 7 })
    await estimator.dispose()
    // With the feeds of the method, which know of no drawn noise.
    const { terms } = await run(weighted, undefined, feedsOf(plain, 0))
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
  const { terms } = await run(withVariant(variant))
  const rate = Array.from(terms.priorNats, (nats, i) => nats + terms.terminalNats[i]!)
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
  const whole = await run(config)
  const held = await run(config, undefined, { ...feedsOf(config), encoderShare: scalar(share) })
  const ofDecoder = await run(config, ({ decoderNats }) => decoderNats)
  const [all, rest] = [whole.gradients, ofDecoder.gradients].map((g) => below(g, 'encoder'))
  expect(mismatches(held.gradients, combined(share, all!, 1 - share, rest!), 1e-4)).toEqual({})
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
  const executable: Partial<Executable> = {
    run: async ({ xT, eps, keep, clean, noise }) => {
      const [a, b, c] = [keep!, clean!, noise!].map((t) => floats(t)[0]!)
      const [from, random] = [floats(xT!), floats(eps!)]
      return {
        x: float32(
          xT!.shape,
          from.map((v, i) => a! * v + b! * x[i]! + c! * random[i]!),
        ),
      }
    },
    dispose: async () => undefined,
  }
  return { compile: async () => executable as Executable } as unknown as Runtime
}

describe('pixels as latents', () => {
  /** Blocks of 2×2 pixels as 12 channels. */
  const config: ModelConfig = {
    ...withVariant({ encoder: 'pixels' }),
    latent: { ...tinyConfig.latent, channels: 12, downsample: 2 },
  }

  it('come back bit by bit, and a latent holds one block', async () => {
    const codec = createCodec(runtime, config, {}, 2)
    const z = await codec.encode(images)
    const { size } = config
    const shape = latentShape(config, B)
    expect(z.length).toBe(shape.reduce((a, b) => a * b))
    const block = (channel: number) => z[((channel * size) / 2 / 2) * size]! // position (0, 0) of the grid
    const pixel = (c: number, y: number, x: number) => images[(c * size + y) * size + x]!
    const wanted = [0, 1].flatMap((y) => [0, 1].flatMap((x) => [0, 1, 2].map((c) => pixel(c, y, x))))
    expect(Array.from({ length: 12 }, (_, channel) => block(channel))).toEqual(wanted)
    const z0 = codec.addNoise(z, 3)
    expect(z0).not.toBe(z)
    expect(await codec.decode(z0, 3, samplers[0]!)).toEqual(images)
    await codec.dispose()
  })

  it.each(samplers)('are generated to the end without noise: $kind', async (sampler) => {
    const x = floats(normal('known', latentShape(config, B)))
    const labels = new Int32Array(B)
    const weights = initialParams(stage2Spec(config), 1)
    const clean = createGenerator(knowing(x), config, weights, B)
    expect(await clean.generate(labels, 1, sampler, unguided)).toEqual(x)
    // Latents proper stop at λ(0): α₀·x and noise of σ₀ are left, with the posterior's own variance exactly that.
    const exact = { ...sampler, variance: 0 }
    const latents: ModelConfig = { ...config, variant: noVariant }
    const noisy = await createGenerator(knowing(x), latents, weights, B).generate(labels, 1, exact, unguided)
    const rest = noisy.map((v, i) => (v - alphaOf(logSnr0) * x[i]!) / sigmaOf(logSnr0))
    const deviation = Math.sqrt(rest.reduce((sum, v) => sum + v * v, 0) / rest.length)
    expect(deviation).toBeGreaterThan(0.9)
    expect(deviation).toBeLessThan(1.1)
  })

  it('are what DDIM makes of a base that predicts v = 0, clipped to the range of pixels', async () => {
    const generator = createGenerator(runtime, config, initialParams(stage2Spec(config), 1), B)
    const sampler: SamplerConfig = { kind: 'ddim', steps: 3, variance: 0 }
    const x = await generator.generate(new Int32Array(B), 1, sampler, unguided)
    await generator.dispose()
    const levels = [0, 1, 2].map((i) => linearSchedule(logSnr0, logSnr1).logSnr(1 - i / 3))
    const expected = floats(batchNoise(latentShape(config, B), 1, 'generate', 0)).map((noise) =>
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
  const images = floats(normal('set', imageShape(config, count), 0.5))
  const [perImage, perLatent] = [imageShape(config, 1), latentShape(config, 1)].map((s) =>
    s.reduce((a, b) => a * b),
  ) as [number, number]

  /** What `of` makes of the whole, after comparing it with what it makes of the parts. */
  const inParts = async (
    input: Float32Array | Int32Array,
    each: number,
    of: (part: Float32Array & Int32Array, first?: number) => Promise<Float32Array> | Float32Array,
  ): Promise<Float32Array> => {
    const whole = await of(input as Float32Array & Int32Array)
    for (const cut of [1, 3, 4, 5]) {
      const head = await of(input.slice(0, cut * each) as Float32Array & Int32Array)
      const tail = await of(input.slice(cut * each) as Float32Array & Int32Array, cut)
      expectClose([...head, ...tail], whole, 1e-6)
    }
    // It is the numbers that matter: without them the second part draws the first one's noise.
    const unnumbered = await of(input.slice(3 * each) as Float32Array & Int32Array)
    const rest = whole.slice((whole.length / count) * 3)
    expect(relativeError(unnumbered, rest)).toBeGreaterThan(1e-4)
    return whole
  }

  it('is encoded, made noisy and decoded as the whole', async () => {
    const codec = createCodec(runtime, config, paramsOf(config), batch)
    const z = await inParts(images, perImage, (part, first) => codec.encode(part, 5, first))
    const z0 = await inParts(z, perLatent, (part, first) => codec.addNoise(part, 5, first))
    for (const sampler of samplers) {
      await inParts(z0, perLatent, (part, first) => codec.decode(part, 5, sampler, first))
    }
    await codec.dispose()
  })

  it.each([unguided, { ...unguided, scale: 2 }])('is generated as the whole: $scale', async (guidance) => {
    const generator = createGenerator(runtime, config, randomParams(stage2Spec(config)), batch)
    const labels = Int32Array.of(0, 1, 2, 3, 2, 1, 0)
    await inParts(labels, 1, (part, first) => generator.generate(part, 5, samplers[0]!, guidance, first))
    await generator.dispose()
  })

  it('is generated by the prior as the whole, and guidance and labels change nothing', async () => {
    const generator = createGenerator(runtime, config, paramsOf(config), batch, 'prior')
    const labels = Int32Array.of(0, 1, 2, 3, 2, 1, 0)
    const strong = { ...unguided, scale: 3 }
    const whole = await inParts(labels, 1, (part, first) =>
      generator.generate(part, 5, samplers[0]!, strong, first),
    )
    expect(await generator.generate(new Int32Array(count), 5, samplers[0]!, unguided)).toEqual(whole)
    await generator.dispose()
  })
})

it('guidance 1 is the base model alone', async () => {
  const shape = latentShape(tinyConfig, B)
  const feeds = {
    xT: normal('xT', shape),
    eps: normal('eps', shape),
    logSnr: float32([B], [2, -1, -6]),
    keep: scalar(0.7),
    clean: scalar(0.4),
    noise: scalar(0.2),
    labels: int32([B], [0, 2, 1]),
    nullLabels: int32([B], Array(B).fill(tinyConfig.classes) as number[]),
    guidance: scalar(1),
  }
  const spec = stage2Spec(tinyConfig)
  const step = (guidance: number) =>
    evaluate(
      spec,
      randomParams(spec),
      { ...feeds, guidance: scalar(guidance) },
      (lookUp, { labels, nullLabels, guidance, ...rest }) => {
        const inputs = rest as unknown as StepInputs
        return {
          plain: baseStep(tinyConfig, lookUp, labels!, inputs),
          none: baseStep(tinyConfig, lookUp, nullLabels!, inputs),
          guided: guidedBaseStep(tinyConfig, lookUp, labels!, nullLabels!, guidance!, inputs),
        }
      },
    )
  const { plain, guided, none } = await step(1)
  expectClose(floats(guided!), floats(plain!), 1e-5)
  const { guided: strong } = await step(2)
  const extrapolated = floats(plain!).map((v, i) => 2 * v - floats(none!)[i]!)
  expectClose(floats(strong!), extrapolated, 1e-5)
  expect(relativeError(strong!, plain!)).toBeGreaterThan(1e-3)
})
