/**
 * @file The bitrate in closed form: for Gaussian latents and their optimal denoiser the prior's loss is known exactly,
 * which pins every constant of the loss (method.md section 3).
 */
import { describe, expect, it } from 'vitest'
import { randomUniform, streamKey } from '../../src/engine/host/random.ts'
import { float32, floats } from '../../src/engine/host/tensor.ts'
import type { Value } from '../../src/engine/ir/graph.ts'
import { type Program, trace } from '../../src/engine/ir/program.ts'
import { add, constant, div, mul, square } from '../../src/engine/ops/core.ts'
import { NodeRuntime } from '../../src/engine/runtime/node/runtime.ts'
import {
  diffuse,
  type Level,
  levelOf,
  normalKlElements,
  posteriorEntropyElements,
  sumPerExample,
  vLoss,
  vTarget,
} from '../../src/method/diffusion/process.ts'
import {
  cosineSchedule,
  linearSchedule,
  resolutionShift,
  type Schedule,
  sigmoid,
  stratifiedTimes,
} from '../../src/method/diffusion/schedule.ts'
import { elboWeight } from '../../src/method/diffusion/weighting.ts'
import { integrate, normal } from './support.ts'

const [logSnr0, logSnr1] = [5, -10]
const variances = [1, 4, 0.25]

/** ½ln((1 + s²e^λ₀)/(1 + s²e^λ₁)), nats per dimension. */
const exactDiffusion = (s2: number, from = logSnr0, to = logSnr1): number =>
  0.5 * Math.log((1 + s2 * Math.exp(from)) / (1 + s2 * Math.exp(to)))
/** ½(α₁²s² + σ₁² − 1 − ln σ₁²) with σ₁² − 1 = −α₁² and −ln σ₁² = ln(1 + e^λ₁). */
const exactTerminal = (s2: number, at = logSnr1): number =>
  0.5 * (sigmoid(at) * (s2 - 1) + Math.log1p(Math.exp(at)))
/** I(z; z_0) = ½ln(1 + s²e^λ₀). */
const exactRate = (s2: number): number => 0.5 * Math.log1p(s2 * Math.exp(logSnr0))

/** v̂ = E[v|z_t] = ασ(1 − s²)·z_t/(α²s² + σ²) for z ~ N(0, s²). */
const optimalV = (zT: Value, { alpha, sigma }: Level, s2: number): Value =>
  div(mul(mul(mul(alpha, sigma), 1 - s2), zT), add(mul(square(alpha), s2), square(sigma)))

/** Dimensions of one latent. */
const D = 8

/** Nats per latent of Gaussian latents, through the functions that stage 1 uses. @param own the encoder's variance, if any */
const rateProgram = (B: number, s2: number, own: number): Program => {
  const specs = {
    z: { shape: [B, D] },
    eps: { shape: [B, D] },
    logSnr: { shape: [B] },
    weight: { shape: [B] },
  }
  return trace('rate', specs, ({ z, eps, logSnr, weight }) => {
    const level = levelOf(logSnr, 2)
    const vHat = optimalV(diffuse(z, eps, level), level, s2)
    const terminal = normalKlElements(z, logSnr1)
    const logVariance = (): Value => constant(float32([B, D], Array(B * D).fill(Math.log(own)) as number[]))
    const rest = own === 0 ? terminal : add(terminal, posteriorEntropyElements(logVariance(), logSnr0))
    return { diffusion: vLoss(vTarget(z, eps, level), vHat, weight), terminal: sumPerExample(rest) }
  })
}

interface Estimate {
  readonly mean: number
  /** Standard error of the mean from the spread of batches. */
  readonly error: number
}

const estimate = (batches: readonly number[]): Estimate => {
  const n = batches.length
  const mean = batches.reduce((a, b) => a + b, 0) / n
  return { mean, error: Math.sqrt(batches.reduce((a, b) => a + (b - mean) ** 2, 0) / (n - 1) / n) }
}

const meanOf = (data: Float32Array): number => data.reduce((a, b) => a + b, 0) / data.length

/** Nats per dimension from 100,000 latents in 40 batches, each with its own stratified times. */
const measure = async (
  schedule: Schedule,
  s2: number,
  own = 0,
): Promise<{ readonly diffusion: Estimate; readonly terminal: Estimate }> => {
  const [batches, B] = [40, 2500]
  const executable = await new NodeRuntime({ threads: 1 }).compile(rateProgram(B, s2, own))
  const diffusion: number[] = []
  const terminal: number[] = []
  for (let i = 0; i < batches; i++) {
    const times = stratifiedTimes(randomUniform(streamKey(3, 'rate'), i), B)
    const nats = await executable.run({
      z: normal(`rate z ${i}`, [B, D], Math.sqrt(s2)),
      eps: normal(`rate eps ${i}`, [B, D]),
      logSnr: float32([B], times.map(schedule.logSnr)),
      weight: float32(
        [B],
        times.map((t) => elboWeight(schedule, t)),
      ),
    })
    diffusion.push(meanOf(floats(nats.diffusion)) / D)
    terminal.push(meanOf(floats(nats.terminal)) / D)
  }
  await executable.dispose()
  return { diffusion: estimate(diffusion), terminal: estimate(terminal) }
}

describe.each([
  ['linear', linearSchedule(logSnr0, logSnr1)],
  ['cosine', cosineSchedule(logSnr0, logSnr1)],
])('the measured rate with a %s schedule', (_, schedule) => {
  it.each(variances)('is the closed form for latents of variance %d', async (s2) => {
    const { diffusion, terminal } = await measure(schedule, s2)
    expect(Math.abs(diffusion.mean / exactDiffusion(s2) - 1)).toBeLessThan(0.01)
    expect(Math.abs(terminal.mean / exactTerminal(s2) - 1)).toBeLessThan(0.01)
    // The error is small enough to be worth stating, and states the truth.
    expect(diffusion.error / diffusion.mean).toBeLessThan(0.004)
    expect(diffusion.error).toBeGreaterThan(0)
    expect(Math.abs(diffusion.mean - exactDiffusion(s2))).toBeLessThan(4 * diffusion.error)
    expect(Math.abs(terminal.mean - exactTerminal(s2))).toBeLessThan(4 * terminal.error)
  })
})

describe('the measured rate of an encoder with a variance of its own', () => {
  it.each([
    [1, 0.01],
    [1, 0.3],
    [4, 1],
  ])('is I(m; z_0) and the terminal gap: means of variance %d, noise of %d', async (ofMean, own) => {
    // What is drawn has both variances; its mean alone is what the latent tells of the image.
    const s2 = ofMean + own
    const { diffusion, terminal } = await measure(linearSchedule(logSnr0, logSnr1), s2, own)
    const [signal, noise] = [sigmoid(logSnr0), sigmoid(-logSnr0)]
    const information = 0.5 * Math.log1p((signal * ofMean) / (signal * own + noise))
    const variance1 = sigmoid(logSnr1) * s2 + sigmoid(-logSnr1)
    const exact = information + 0.5 * (variance1 - 1 - Math.log(variance1))
    expect(exact).toBeCloseTo(exactDiffusion(s2) + exactTerminal(s2) - exactRate(own), 12)
    const measured = diffusion.mean + terminal.mean
    expect(Math.abs(measured - exact)).toBeLessThan(4 * Math.hypot(diffusion.error, terminal.error))
    expect(Math.abs(measured - exact)).toBeLessThan(0.03)
  })
})

/** E‖v − v̂‖² = E‖x − x̂‖²/σ² of the optimal denoiser. */
const optimalError = (s2: number, logSnr: number): number =>
  s2 / (1 + s2 * Math.exp(logSnr)) / sigmoid(-logSnr)

describe('the expected rate', () => {
  it.each([
    ['linear', linearSchedule(logSnr0, logSnr1)],
    ['cosine', cosineSchedule(logSnr0, logSnr1)],
    ['cosine shifted to 16 pixels', cosineSchedule(logSnr0, logSnr1, resolutionShift(16))],
    ['cosine shifted to 512 pixels', cosineSchedule(logSnr0, logSnr1, resolutionShift(512))],
  ])('does not depend on the schedule: %s', (_, schedule) => {
    for (const s2 of variances) {
      const nats = integrate((t) => elboWeight(schedule, t) * optimalError(s2, schedule.logSnr(t)))
      expect(Math.abs(nats - exactDiffusion(s2))).toBeLessThan(1e-6)
    }
  })

  it('exceeds the exact rate by the terminal gap alone', () => {
    for (const s2 of [...variances, 100]) {
      for (const at of [logSnr1, -5]) {
        const gap = exactDiffusion(s2, logSnr0, at) + exactTerminal(s2, at) - exactRate(s2)
        const variance1 = sigmoid(at) * s2 + sigmoid(-at)
        expect(gap).toBeCloseTo(0.5 * (variance1 - 1 - Math.log(variance1)), 12)
        expect(gap).toBeGreaterThan(-1e-15)
      }
    }
  })

  it('has the values that were worked out by hand', () => {
    expect(exactDiffusion(1)).toBeCloseTo(2.503335, 6)
    expect(exactDiffusion(1) + exactTerminal(1)).toBeCloseTo(2.503358, 6)
    expect((exactDiffusion(1) + exactTerminal(1)) / Math.LN2).toBeCloseTo(3.61158, 5)
    expect(exactRate(1)).toBeCloseTo(2.503358, 6)
    expect(exactRate(4)).toBeCloseTo(3.193989, 6)
    expect(exactDiffusion(4) + exactTerminal(4) - exactRate(4)).toBeLessThan(1e-8)
    expect(exactDiffusion(100, 5, -5) + exactTerminal(100, -5)).toBeCloseTo(4.87973, 5)
    expect(exactRate(100)).toBeCloseTo(4.80262, 5)
  })

  it('has the least variance over times with a linear schedule', () => {
    const relativeDeviation = (schedule: Schedule): number => {
      const moment = (power: number): number =>
        integrate((t) => (elboWeight(schedule, t) * optimalError(1, schedule.logSnr(t))) ** power)
      return Math.sqrt(moment(2) / moment(1) ** 2 - 1)
    }
    expect(relativeDeviation(linearSchedule(5, -10))).toBeCloseTo(1.18, 2)
    expect(relativeDeviation(linearSchedule(5, -5))).toBeCloseTo(0.78, 2)
    expect(relativeDeviation(cosineSchedule(5, -10))).toBeCloseTo(1.24, 2)
    expect(relativeDeviation(cosineSchedule(10, -10))).toBeCloseTo(2.85, 2)
  })
})
