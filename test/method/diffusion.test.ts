/** @file Schedules, weights, times, samplers, rates and slabs: identities and limits that hold whatever the network. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { presetByName } from '../../src/config/load.ts'
import { presets } from '../../src/config/presets.ts'
import { modelConfig } from '../../src/config/schema.ts'
import { gradient } from '../../src/engine/autodiff/gradient.ts'
import { fillNormal, streamKey } from '../../src/engine/host/random.ts'
import { float32, floats, type HostTensor, type Shape, sizeOf } from '../../src/engine/host/tensor.ts'
import type { Value } from '../../src/engine/ir/graph.ts'
import { trace } from '../../src/engine/ir/program.ts'
import { add, mul, reduceSum, sin, square, sub } from '../../src/engine/ops/core.ts'
import { matmul } from '../../src/engine/ops/matmul.ts'
import { partConfig } from '../../src/method/config.ts'
import {
  diffuse,
  levelOf,
  normalKlElements,
  sumPerExample,
  vTarget,
  xFromV,
} from '../../src/method/diffusion/process.ts'
import {
  guidanceAt,
  type SamplerConfig,
  type Step,
  samplerSteps,
} from '../../src/method/diffusion/sampler.ts'
import {
  alphaOf,
  cosineSchedule,
  linearSchedule,
  resolutionShift,
  type Schedule,
  sigmaOf,
  sigmoid,
  stratifiedTimes,
  weightSchedule,
} from '../../src/method/diffusion/schedule.ts'
import { elboWeight, sigmoidWeight, type Weighting } from '../../src/method/diffusion/weighting.ts'
import { decoderSchedule } from '../../src/method/objective/schedules.ts'
import { noVariant, partsOfVariant } from '../../src/method/variants.ts'
import { emaDecayAt, learningRate } from '../../src/train/rates.ts'
import { packHost, packSlab, planSlabs, unpackHost, unpackSlab } from '../../src/train/slabs.ts'
import { integrate, normal, relativeError, runOnce, tinyConfig, wholeDraw } from './support.ts'

const schedules: readonly (readonly [string, Schedule])[] = [
  ['linear 5 to −10', linearSchedule(5, -10)],
  ['linear 10 to −10', linearSchedule(10, -10)],
  ['cosine 10 to −10', cosineSchedule(10, -10)],
  ['cosine 10 to −10 for 64 pixels', cosineSchedule(10, -10, resolutionShift(64))],
  ['cosine 15 to −15 for 512 pixels', cosineSchedule(15, -15, resolutionShift(512))],
  ['weight of bias 2', weightSchedule(5, -10, 2)],
  ['weight of bias 0', weightSchedule(5, -10, 0)],
  ['weight of bias −1', weightSchedule(4, -8, -1)],
]

describe.each(schedules)('the schedule %s', (_, schedule) => {
  const times = Array.from({ length: 51 }, (_, i) => i / 50)

  it('has exact end points and falls in between', () => {
    expect(schedule.logSnr(0)).toBe(schedule.logSnr0)
    expect(schedule.logSnr(1)).toBe(schedule.logSnr1)
    const levels = times.map(schedule.logSnr)
    for (const [i, level] of levels.slice(1).entries()) expect(level).toBeLessThan(levels[i])
    // The end points are limits, not exceptions.
    expect(schedule.logSnr(1e-9)).toBeCloseTo(schedule.logSnr0, 3)
    expect(schedule.logSnr(1 - 1e-9)).toBeCloseTo(schedule.logSnr1, 3)
  })

  it('states its own slope', () => {
    for (const t of times) {
      const h = t === 0 || t === 1 ? 1e-8 : 1e-6 // one-sided at the ends, where the cosine bends most
      const [from, to] = [Math.max(0, t - h), Math.min(1, t + h)]
      const difference = (schedule.logSnr(to) - schedule.logSnr(from)) / (to - from)
      expect(schedule.slope(t) / difference).toBeCloseTo(1, t === 0 || t === 1 ? 3 : 5)
      expect(schedule.slope(t)).toBeLessThan(0)
    }
  })
})

describe('schedules', () => {
  it('keep end points that are no round numbers', () => {
    const ends = fc.tuple(
      fc.double({ min: 0.01, max: 20, noNaN: true }),
      fc.double({ min: -20, max: 0, noNaN: true }),
    )
    fc.assert(
      fc.property(ends, ([logSnr0, logSnr1]) => {
        for (const schedule of [linearSchedule(logSnr0, logSnr1), cosineSchedule(logSnr0, logSnr1, 1.7)]) {
          if (schedule.logSnr(0) !== logSnr0 || schedule.logSnr(1) !== logSnr1) return false
        }
        return true
      }),
    )
  })

  it('shift by the resolution: a halved image has four times the signal', () => {
    expect(resolutionShift(32)).toBe(0)
    expect(resolutionShift(64)).toBeCloseTo(-2 * Math.LN2, 12)
    const [plain, shifted] = [cosineSchedule(60, -60), cosineSchedule(60, -60, resolutionShift(64))]
    expect(shifted.logSnr(0.5) - plain.logSnr(0.5)).toBeCloseTo(resolutionShift(64), 6)
  })

  it('refuse a range that does not fall', () => {
    for (const make of [linearSchedule, cosineSchedule]) {
      expect(() => make(-5, 5)).toThrow(/log-SNR must fall/)
      expect(() => make(Number.NaN, 5)).toThrow(/log-SNR must fall/)
    }
  })

  it('split unit variance into signal and noise at any level', () => {
    fc.assert(
      fc.property(fc.double({ min: -700, max: 700, noNaN: true }), (logSnr) => {
        const [alpha, sigma] = [alphaOf(logSnr), sigmaOf(logSnr)]
        expect(alpha ** 2 + sigma ** 2).toBeCloseTo(1, 12)
        if (Math.abs(logSnr) < 300) expect(2 * Math.log(alpha / sigma)).toBeCloseTo(logSnr, 9)
      }),
    )
  })
})

describe('the noisy end of images', () => {
  /** Of an image of one colour, deviation 1 over images: its mean over the noise of that mean, √(SNR·pixels). */
  const meanColour = (size: number, logSnr: number): number => size * Math.exp(logSnr / 2)
  const end = (preset: string): number => {
    const config = presetByName(preset)
    return decoderSchedule(partConfig(modelConfig(config, 1))).logSnr1
  }

  it('hides the mean colour at every size of the presets, where λ = −10 shows it at 512 pixels', () => {
    expect(meanColour(512, -10)).toBeGreaterThan(3)
    for (const name of Object.keys(presets))
      expect(meanColour(presetByName(name).data.size, end(name)), name).toBeLessThan(0.5)
  })

  it('is −10 where nothing is set, and the same for decoders of one step', () => {
    expect(end('study')).toBe(-10)
    const model = { ...tinyConfig, decoder: { ...tinyConfig.decoder, logSnr1: -13 } }
    const { xLogSnr } = partsOfVariant({ ...noVariant, decoder: 'mse' }).distortion.levels(
      partConfig(model),
      wholeDraw(0, 0, 2),
    )
    expect(floats(xLogSnr)).toEqual(Float32Array.of(-13, -13))
    expect(decoderSchedule(partConfig(model)).logSnr(1)).toBe(-13)
  })
})

describe('the process in the graph', () => {
  const logSnr = [-100, -10, -2, 0, 3, 10, 100]
  const B = logSnr.length
  const shape = [B, 2, 3]
  const specs = { x: { shape }, eps: { shape }, vHat: { shape }, logSnr: { shape: [B] } }
  const feeds = {
    x: normal('process x', shape),
    eps: normal('process eps', shape),
    vHat: normal('process v', shape),
    logSnr: float32([B], logSnr),
  }

  it('obeys the identities of v-prediction', async () => {
    const program = trace('identities', specs, ({ x, eps, vHat, logSnr }) => {
      const level = levelOf(logSnr, 3)
      const { alpha, sigma } = level
      const xT = diffuse(x, eps, level)
      const v = vTarget(x, eps, level)
      const xHat = xFromV(xT, vHat, level)
      const epsHat = add(mul(sigma, xT), mul(alpha, vHat))
      const error = (a: Value, b: Value): Value => sumPerExample(square(sub(a, b)))
      return {
        one: add(square(alpha), square(sigma)),
        x: xFromV(xT, v, level),
        eps: add(mul(sigma, xT), mul(alpha, v)),
        vError: error(v, vHat),
        xError: error(x, xHat),
        epsError: error(eps, epsHat),
      }
    })
    const out = await runOnce(program, feeds)
    for (const one of floats(out.one)) expect(one).toBeCloseTo(1, 6)
    expect(relativeError(out.x, feeds.x)).toBeLessThan(1e-6)
    expect(relativeError(out.eps, feeds.eps)).toBeLessThan(1e-6)
    const [vError, xError, epsError] = [out.vError, out.xError, out.epsError].map(floats)
    for (const [i, level] of logSnr.entries()) {
      expect(xError[i] / vError[i]).toBeCloseTo(sigmoid(-level), 5)
      expect(epsError[i] / vError[i]).toBeCloseTo(sigmoid(level), 5)
    }
  })

  it.each([5, 0, -10, -30])('has the terminal KL of two Gaussians at λ = %d', async (logSnr1) => {
    const out = await runOnce(
      trace('terminal', { x: { shape } }, ({ x }) => ({ kl: sumPerExample(normalKlElements(x, logSnr1)) })),
      { x: feeds.x },
    )
    const [mean2, variance] = [sigmoid(logSnr1), sigmoid(-logSnr1)]
    const each = sizeOf(shape) / B
    for (const [i, kl] of floats(out.kl).entries()) {
      const z = floats(feeds.x).subarray(i * each, (i + 1) * each)
      const square = z.reduce((a, b) => a + b * b, 0)
      const logVariance = logSnr1 > 0 ? Math.log(variance) : Math.log1p(-mean2)
      const rest = logSnr1 < -20 ? mean2 ** 2 / 2 : -mean2 - logVariance
      expect(kl / (0.5 * (mean2 * square + each * rest))).toBeCloseTo(1, 5)
    }
  })
})

describe('weights', () => {
  const bias = 2.8
  const factor = 1.5
  const weight = sigmoidWeight(bias, factor)

  it.each(schedules)('are e^b·sigmoid(λ − b) in x-space with %s', (_, schedule) => {
    for (const t of [0, 0.1, 0.4, 0.7, 1]) {
      const logSnr = schedule.logSnr(t)
      // ‖x − x̂‖² = σ²‖v − v̂‖²
      const xSpace = weight(schedule, t) / sigmoid(-logSnr)
      const expected = factor * 0.5 * -schedule.slope(t) * Math.exp(bias) * sigmoid(logSnr - bias)
      expect(xSpace / expected).toBeCloseTo(1, 9)
      const elbo = elboWeight(schedule, t) / sigmoid(-logSnr)
      expect(elbo / (0.5 * -schedule.slope(t) * Math.exp(logSnr))).toBeCloseTo(1, 9)
    }
  })

  it('discount low noise, and only low noise', () => {
    const schedule = linearSchedule(20, -20)
    const discount = (t: number): number => weight(schedule, t) / elboWeight(schedule, t)
    for (let t = 0; t < 1; t += 0.05) expect(discount(t)).toBeLessThan(discount(t + 0.05))
    expect(discount(0)).toBeLessThan(1e-6)
    expect(discount(1)).toBeCloseTo(factor, 6)
    // c·sigmoid(b − λ) crosses 1 where λ = b − logit(1/c), downwards in λ.
    const crossing = (20 - (bias - Math.log(1 / (factor - 1)))) / 40
    expect(discount(crossing)).toBeCloseTo(1, 9)
    expect(discount(crossing + 0.01)).toBeGreaterThan(1)
  })

  it.each([-3, -0.5, 0, 0.8, 2])('are the same for every draw where λ is drawn by them, bias %d', (b) => {
    const schedule = weightSchedule(10, -10, b)
    const weights = [0, 0.01, 0.3, 0.6, 0.99, 1].map((t) => sigmoidWeight(b)(schedule, t))
    // The integral of the weight is what any schedule has: the estimator is unbiased.
    const other = cosineSchedule(10, -10)
    const area = integrate((t) => sigmoidWeight(b)(other, t))
    for (const one of weights) expect(one / area).toBeCloseTo(1, 2)
  })

  it('stay finite and exact at λ = ±100', () => {
    const schedule = linearSchedule(100, -100)
    expect(elboWeight(schedule, 0)).toBe(100)
    expect(elboWeight(schedule, 1) / (100 * Math.exp(-100))).toBeCloseTo(1, 9)
    expect(weight(schedule, 0) / (factor * 100 * Math.exp(bias - 100))).toBeCloseTo(1, 9)
    expect(weight(schedule, 1) / (factor * 100 * Math.exp(-100))).toBeCloseTo(1, 9)
    const steep = cosineSchedule(100, -100)
    for (const t of [0, 0.5, 1]) expect(Number.isFinite(weight(steep, t))).toBe(true)
  })

  it.each<[string, Weighting]>([
    ['unweighted', elboWeight],
    ['sigmoid', weight],
  ])('give a mean loss that does not depend on the schedule: %s', (_, weighting) => {
    const [s2, gain] = [0.6, 0.5]
    // x̂ = gain·x_t, far from optimal: E‖x − x̂‖² = (1 − gain·α)²s² + gain²σ².
    const xError = (logSnr: number): number =>
      (1 - gain * alphaOf(logSnr)) ** 2 * s2 + gain ** 2 * sigmoid(-logSnr)
    const meanLoss = (schedule: Schedule): number =>
      integrate(
        (t) => (weighting(schedule, t) * xError(schedule.logSnr(t))) / sigmoid(-schedule.logSnr(t)),
        100_000,
      )
    const expected = meanLoss(linearSchedule(6, -10))
    for (const size of [16, 32, 512]) {
      expect(meanLoss(cosineSchedule(6, -10, resolutionShift(size))) / expected).toBeCloseTo(1, 7)
    }
  })
})

describe('stratified times', () => {
  it('fall once into each stratum', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        fc.integer({ min: 1, max: 64 }),
        (u, B) => {
          const times = stratifiedTimes(u, B).sort((a, b) => a - b)
          const offset = times[0]
          expect(offset).toBeGreaterThanOrEqual(0)
          for (const [i, t] of times.entries()) {
            expect(t).toBeLessThan(1)
            expect(Math.abs(t - offset - i / B)).toBeLessThan(1e-9)
          }
          expect(offset).toBeLessThan(1 / B + 1e-9)
        },
      ),
    )
  })

  it('are each uniform when u is', () => {
    const draws = 1000
    const B = 8
    for (let i = 0; i < B; i++) {
      const own = Array.from({ length: draws }, (_, k) => stratifiedTimes((k + 0.5) / draws, B)[i])
      for (const [k, t] of own.sort((a, b) => a - b).entries()) expect(t).toBeCloseTo((k + 0.5) / draws, 9)
    }
  })
})

// ---- samplers -----------------------------------------------------------------------------------------------------

/** The exact denoiser of N(mean, s2): x̂ = mean + gain·(x_t − α·mean). */
const denoiser = (logSnr: number, s2: number): number =>
  (s2 * alphaOf(logSnr)) / (sigmoid(logSnr) * s2 + sigmoid(-logSnr))

interface Moments {
  readonly mean: number
  readonly variance: number
}

/**
 * A linear Gaussian chain keeps its distribution Gaussian, so mean and variance follow exactly: of x_t and of the prediction
 * before it, which are both affine in the start and, as a step either adds noise or looks back, in nothing else then.
 */
const follow = (steps: readonly Step[], target: Moments): Moments => {
  // x_t = mean + scale·x_1 with noise of variance `noisy` on top; likewise x̂ of the step before, without the noise.
  let x = { mean: 0, scale: 1, noisy: 0 }
  let before = { mean: 0, scale: 0 }
  for (const { logSnr, keep, clean, past, noise } of steps) {
    const gain = denoiser(logSnr, target.variance)
    const xHat = {
      mean: target.mean + gain * (x.mean - alphaOf(logSnr) * target.mean),
      scale: gain * x.scale,
    }
    x = {
      mean: keep * x.mean + clean * xHat.mean + past * before.mean,
      scale: keep * x.scale + clean * xHat.scale + past * before.scale,
      noisy: (keep + clean * gain) ** 2 * x.noisy + noise ** 2,
    }
    before = xHat
  }
  return { mean: x.mean, variance: x.scale ** 2 + x.noisy }
}

const configs: readonly SamplerConfig[] = [
  { kind: 'ancestral', steps: 4000, variance: 0 },
  { kind: 'ancestral', steps: 4000, variance: 0.5 },
  { kind: 'ancestral', steps: 4000, variance: 1 },
  { kind: 'ddim', steps: 4000, variance: 0 },
  { kind: 'dpmpp2m', steps: 4000, variance: 0 },
]

describe.each(configs)('the sampler $kind with variance $variance', (config) => {
  const target: Moments = { mean: 0.7, variance: 0.3 }
  const schedule = cosineSchedule(5, -10)

  it('stops a latent chain at the noisy distribution of λ(0)', () => {
    const { mean, variance } = follow(samplerSteps(schedule, config, 'noisy'), target)
    const [alpha, sigma] = [alphaOf(5), sigmaOf(5)]
    expect(mean / (alpha * target.mean)).toBeCloseTo(1, 2)
    expect(variance / (alpha ** 2 * target.variance + sigma ** 2)).toBeCloseTo(1, 2)
    // The noise of λ(0) is there: without it the variance would be 2% less.
    expect(variance).toBeGreaterThan(1.015 * alpha ** 2 * target.variance)
  })

  it('ends a pixel chain with the prediction', () => {
    const steps = samplerSteps(cosineSchedule(10, -10), config, 'clean')
    expect(steps).toHaveLength(config.steps)
    expect(steps.at(-1)).toMatchObject({ keep: 0, clean: 1, noise: 0 })
    const { mean, variance } = follow(steps, target)
    expect(mean / target.mean).toBeCloseTo(1, 2)
    expect(variance / target.variance).toBeCloseTo(1, 2)
  })

  it('asks the network at every level of the grid, from λ(1)', () => {
    const steps = samplerSteps(schedule, { ...config, steps: 5 }, 'noisy')
    expect(steps.map(({ logSnr }) => logSnr)).toEqual(
      [1, 0.8, 0.6, 0.4, 0.2].map((t) => expect.closeTo(schedule.logSnr(t), 9)),
    )
    expect(steps[0].logSnr).toBe(-10)
  })
})

describe('one step', () => {
  const schedule = cosineSchedule(10, -10)
  const step = (kind: SamplerConfig['kind'], variance: number): readonly (readonly [Step, number])[] =>
    samplerSteps(schedule, { kind, steps: 7, variance }, 'noisy').map((s, i) => [
      s,
      schedule.logSnr(1 - (i + 1) / 7),
    ])

  it.each<[SamplerConfig['kind']]>([['ancestral'], ['ddim']])(
    'keeps the marginals: q(x_s|x_t, x) after q(x_t|x) is q(x_s|x), %s',
    (kind) => {
      for (const [{ logSnr, keep, clean, noise }, next] of step(kind, 0)) {
        expect(keep * alphaOf(logSnr) + clean).toBeCloseTo(alphaOf(next), 12)
        expect(keep ** 2 * sigmoid(-logSnr) + noise ** 2).toBeCloseTo(sigmoid(-next), 12)
      }
    },
  )

  it('is exact with the lower variance for a point and with the upper one for unit variance, in any number of steps', () => {
    for (const steps of [1, 2, 7]) {
      const lower = samplerSteps(schedule, { kind: 'ancestral', steps, variance: 0 }, 'noisy')
      // Starting from N(0, I) instead of q(z_1|0) costs e^−10 · a factor below one.
      expect(Math.abs(follow(lower, { mean: 0, variance: 0 }).variance / sigmoid(-10) - 1)).toBeLessThan(1e-4)
      const upper = samplerSteps(schedule, { kind: 'ancestral', steps, variance: 1 }, 'noisy')
      expect(follow(upper, { mean: 0, variance: 1 }).variance).toBeCloseTo(1, 12)
    }
  })

  it('interpolates the variance in log space', () => {
    const [lower, middle, upper] = [0, 0.25, 1].map((v) => step('ancestral', v).map(([s]) => s.noise))
    for (const i of lower.keys()) {
      expect(Math.log(middle[i])).toBeCloseTo(0.75 * Math.log(lower[i]) + 0.25 * Math.log(upper[i]), 9)
      expect(lower[i]).toBeLessThan(upper[i])
    }
  })

  it('follows the flow of the exact denoiser to first order by DDIM, to second by DPM-Solver++', () => {
    const target: Moments = { mean: 0, variance: 0.3 }
    // The probability flow multiplies a Gaussian by the ratio of its deviations.
    const deviation = (logSnr: number): number =>
      Math.sqrt(sigmoid(logSnr) * target.variance + sigmoid(-logSnr))
    const exact = (deviation(4) / deviation(-4)) ** 2
    const miss = (kind: SamplerConfig['kind'], steps: number): number =>
      Math.abs(
        follow(samplerSteps(linearSchedule(4, -4), { kind, steps, variance: 0 }, 'noisy'), target).variance -
          exact,
      )
    for (const steps of [64, 128, 256]) {
      expect(miss('ddim', steps) / miss('ddim', 2 * steps)).toBeCloseTo(2, 0)
      expect(miss('dpmpp2m', steps) / miss('dpmpp2m', 2 * steps)).toBeCloseTo(4, 0)
    }
    expect(miss('dpmpp2m', 16)).toBeLessThan(miss('ddim', 16) / 4)
  })

  it('of DPM-Solver++ extrapolates from two predictions, on equal steps by 3/2 and −1/2', () => {
    // With steps of equal length r is 1: D = 3/2·x̂ − 1/2·x̂_before.
    const steps = samplerSteps(linearSchedule(4, -4), { kind: 'dpmpp2m', steps: 4, variance: 0 }, 'noisy')
    const plain = samplerSteps(linearSchedule(4, -4), { kind: 'ddim', steps: 4, variance: 0 }, 'noisy')
    expect(steps[0]).toEqual({ ...plain[0], past: expect.closeTo(0, 12) })
    for (const i of [1, 2, 3]) {
      expect(steps[i].clean).toBeCloseTo(1.5 * plain[i].clean, 12)
      expect(steps[i].past).toBeCloseTo(-0.5 * plain[i].clean, 12)
      expect(steps[i].keep).toBe(plain[i].keep)
    }
  })

  it('needs at least one step', () => {
    for (const steps of [0, -1, 1.5]) {
      expect(() => samplerSteps(schedule, { kind: 'ddim', steps, variance: 0 }, 'clean')).toThrow(/steps/)
    }
  })
})

it('an ancestral chain of particles has the target distribution', () => {
  const [mean, s2, count] = [0.7, 0.3, 20_000]
  const steps = samplerSteps(linearSchedule(5, -10), { kind: 'ancestral', steps: 60, variance: 0.5 }, 'noisy')
  const x = new Float32Array(count)
  fillNormal(x, streamKey(5, 'start'))
  const eps = new Float32Array(count)
  for (const [i, { logSnr, keep, clean, noise }] of steps.entries()) {
    fillNormal(eps, streamKey(5, 'step', i))
    const [alpha, gain] = [alphaOf(logSnr), denoiser(logSnr, s2)]
    for (let j = 0; j < count; j++) {
      x[j] = keep * x[j] + clean * (mean + gain * (x[j] - alpha * mean)) + noise * eps[j]
    }
  }
  const average = x.reduce((a, b) => a + b, 0) / count
  const variance = x.reduce((a, b) => a + (b - average) ** 2, 0) / count
  const expected = sigmoid(5) * s2 + sigmoid(-5)
  expect(Math.abs(average - alphaOf(5) * mean)).toBeLessThan(4 * Math.sqrt(expected / count) + 0.01)
  expect(Math.abs(variance / expected - 1)).toBeLessThan(0.06)
})

it('guidance acts inside its interval only', () => {
  const guidance = { scale: 2.5, logSnrMin: -3, logSnrMax: 2 }
  expect([-10, -3.01, -3, 0, 2, 2.01, 5].map((logSnr) => guidanceAt(guidance, logSnr))).toEqual([
    1, 1, 2.5, 2.5, 2.5, 1, 1,
  ])
})

// ---- rates and slabs ----------------------------------------------------------------------------------------------

describe('rates', () => {
  const config = { lr: 0.01, warmupSteps: 10, finalFraction: 0.1 }
  it('warm up linearly, then fall along a cosine to the final fraction', () => {
    expect(learningRate(config, 0, 110)).toBeCloseTo(0.001, 12)
    expect(learningRate(config, 4, 110)).toBeCloseTo(0.005, 12)
    expect(learningRate(config, 9, 110)).toBeCloseTo(0.01, 12)
    expect(learningRate(config, 10, 110)).toBeCloseTo(0.01, 12)
    expect(learningRate(config, 35, 110)).toBeCloseTo(0.01 * (0.1 + 0.9 * (0.5 + Math.SQRT1_2 / 2)), 12)
    expect(learningRate(config, 60, 110)).toBeCloseTo(0.0055, 12)
    expect(learningRate(config, 110, 110)).toBeCloseTo(0.001, 12)
    expect(learningRate(config, 500, 110)).toBeCloseTo(0.001, 12)
  })
  it('need neither a warm-up nor steps after it', () => {
    expect(learningRate({ ...config, warmupSteps: 0 }, 0, 100)).toBe(0.01)
    expect(learningRate(config, 9, 10)).toBeCloseTo(0.01, 12)
    expect(Number.isFinite(learningRate(config, 10, 10))).toBe(true)
  })
  it('average over a tenth of the steps so far, up to the full decay', () => {
    expect(emaDecayAt(0.999, 0)).toBeCloseTo(0.1, 12)
    expect(emaDecayAt(0.999, 8)).toBeCloseTo(0.5, 12)
    expect(emaDecayAt(0.999, 890)).toBeCloseTo(0.99, 12)
    expect(emaDecayAt(0.999, 100_000)).toBe(0.999)
  })
})

describe('slabs', () => {
  const shapes: Readonly<Record<string, Shape>> = {
    a: [3, 4],
    b: [5],
    large: [2 ** 18 + 1],
    c: [2, 2],
    d: [1],
  }
  const entries = Object.entries(shapes).map(([path, shape]) => ({ path, shape }))
  const tensors = Object.fromEntries(entries.map(({ path, shape }) => [path, normal(`slab ${path}`, shape)]))
  const slabs = planSlabs(entries)

  it('keep the order and give a large tensor a slab of its own', () => {
    expect(slabs.map((slab) => slab.entries.map(({ path }) => path))).toEqual([
      ['a', 'b'],
      ['large'],
      ['c', 'd'],
    ])
    expect(slabs.map(({ size }) => size)).toEqual([17, 2 ** 18 + 1, 5])
  })

  it('return on the host what was packed', () => {
    const restored = Object.assign(
      {},
      ...slabs.map((slab) => unpackHost(slab, packHost(slab, tensors))),
    ) as Record<string, HostTensor>
    for (const [path, tensor] of Object.entries(tensors)) {
      expect(restored[path].shape).toEqual(tensor.shape)
      expect(relativeError(restored[path], tensor)).toBe(0)
    }
  })

  it('name a tensor that is missing or of another size', () => {
    expect(() => packHost(slabs[0], { a: tensors.a })).toThrow(/'b' should be float32\[5\], found nothing/)
    expect(() => packHost(slabs[0], { ...tensors, b: tensors.d })).toThrow(
      /'b' should be float32\[5\], found float32\[1\]/,
    )
  })

  it('unpack in the graph, with the gradient of the slab made of the gradients of its tensors', async () => {
    const [slab] = planSlabs([
      { path: 'm', shape: [3, 4] },
      { path: 'n', shape: [4, 2] },
      { path: 'idle', shape: [3] },
      { path: 'bias', shape: [2] },
    ])
    const values = Object.fromEntries(
      slab.entries.map(({ path, shape }) => [path, normal(`own ${path}`, shape)]),
    )
    const lossOf = (at: (path: string) => Value): Value =>
      reduceSum(sin(add(matmul(at('m'), at('n')), at('bias'))))
    const packed = await runOnce(
      trace('packed', { slab: { shape: [slab.size] } }, ({ slab: value }) => {
        const parts = unpackSlab(slab, value)
        const loss = lossOf((path) => parts.get(path)!)
        const again = packSlab(slab, parts)
        return { loss, again, d: gradient(loss, [value])[0], ...Object.fromEntries(parts) }
      }),
      { slab: packHost(slab, values) },
    )
    const separate = await runOnce(
      trace('separate', values, (inputs) => {
        const paths = slab.entries.map(({ path }) => path)
        const loss = lossOf((path) => inputs[path])
        const gradients = gradient(
          loss,
          paths.map((path) => inputs[path]),
        )
        return { loss, ...Object.fromEntries(paths.map((path, i) => [path, gradients[i]])) }
      }),
      values,
    )
    for (const [path, tensor] of Object.entries(values)) expect(packed[path]).toEqual(tensor)
    expect(packed.loss).toEqual(separate.loss)
    expect(packed.again).toEqual(packHost(slab, values))
    expect(unpackHost(slab, packed.d)).toEqual(
      Object.fromEntries(slab.entries.map(({ path }) => [path, separate[path]])),
    )
  })
})
