/** @file Preconditioning: with the output at 0 it is the best linear prediction, and what is left to predict has unit variance. */
import { describe, expect, it } from 'vitest'
import { float32, floats, type HostTensor } from '../../src/engine/host/tensor.ts'
import { trace } from '../../src/engine/ir/program.ts'
import { bindNetworks, specOf } from '../../src/engine/nn/network.ts'
import { initialParams } from '../../src/engine/nn/params.ts'
import { constant, mul } from '../../src/engine/ops/core.ts'
import { baseConfig, partConfig } from '../../src/method/config.ts'
import { imageV, latentV } from '../../src/method/diffusion/precondition.ts'
import { alphaOf, sigmaOf } from '../../src/method/diffusion/schedule.ts'
import { baseNetwork } from '../../src/method/networks/base.ts'
import { priorNetwork } from '../../src/method/networks/prior.ts'
import { latentShape, normal, relativeError, runOnce, tinyConfig } from './support.ts'

const levels = [-9, -4, -1, 0, 2, 4.5]
const B = levels.length
const logSnr = float32([B], levels)

/** E[v|z_t] of N(0, s²) by its own formula, x̂ = αs²/(α²s² + σ²)·z_t. */
const bestV = (zT: HostTensor, s: number): number[] => {
  const each = zT.data.length / B
  return [...floats(zT)].map((value, i) => {
    const [alpha, sigma] = [alphaOf(levels[Math.floor(i / each)]), sigmaOf(levels[Math.floor(i / each)])]
    const xHat = ((alpha * s ** 2) / (alpha ** 2 * s ** 2 + sigma ** 2)) * value
    return (alpha * value - xHat) / sigma
  })
}

describe('a preconditioned model of latents', () => {
  it.each([0.25, 0.6, 2])(
    'of deviation %d predicts as well as the spread allows where its output is 0',
    async (s) => {
      const zT = normal('z', [B, 50])
      const program = trace('v', { zT: { shape: zT.shape }, logSnr: { shape: [B] } }, (inputs) => ({
        v: latentV((x) => mul(x, 0), inputs.zT, inputs.logSnr, s),
      }))
      const { v } = await runOnce(program, { zT, logSnr })
      expect(relativeError(floats(v), bestV(zT, s))).toBeLessThan(1e-5)
    },
  )

  it('is given numbers of unit variance, and has numbers of unit variance to give', async () => {
    const [s, n] = [0.3, 40_000]
    const [z, eps] = [normal('latents', [B, n], s), normal('noise', [B, n])]
    const program = trace('v', { zT: { shape: [B, n] }, logSnr: { shape: [B] } }, (inputs) => {
      const given = (F: (x: typeof inputs.zT) => typeof inputs.zT) => latentV(F, inputs.zT, inputs.logSnr, s)
      return { zero: given((x) => mul(x, 0)), same: given((x) => x) }
    })
    const at = (i: number) =>
      [alphaOf(levels[Math.floor(i / n)]), sigmaOf(levels[Math.floor(i / n)])] as const
    const [x, e] = [floats(z), floats(eps)]
    const zT = float32(
      [B, n],
      x.map((value, i) => at(i)[0] * value + at(i)[1] * e[i]),
    )
    const { zero, same } = await runOnce(program, { zT, logSnr })
    const [none, own] = [floats(zero), floats(same)]
    for (let b = 0; b < B; b++) {
      let [input, target, both] = [0, 0, 0]
      for (let i = b * n; i < (b + 1) * n; i++) {
        const [alpha, sigma] = at(i)
        const D = alpha ** 2 * s ** 2 + sigma ** 2
        const given = ((own[i] - none[i]) * Math.sqrt(D)) / s
        const wanted = ((alpha * e[i] - sigma * x[i] - none[i]) * Math.sqrt(D)) / s
        input += given ** 2 / n
        target += wanted ** 2 / n
        both += (given * wanted) / n
      }
      expect(input).toBeCloseTo(1, 1)
      expect(target).toBeCloseTo(1, 1)
      // What the input tells linearly is already in: nothing of it is left.
      expect(Math.abs(both)).toBeLessThan(0.03)
    }
  })

  it('begins there: prior and base model', async () => {
    const deviation = 0.4
    const model = { ...tinyConfig, latent: { ...tinyConfig.latent, deviation } }
    const networks = {
      prior: priorNetwork(partConfig(model).prior),
      base: baseNetwork(baseConfig(model), {}),
    }
    const params = initialParams(specOf(networks), 3)
    const zT = normal('zT', latentShape(model, B))
    const program = trace('both', { zT: { shape: zT.shape }, logSnr: { shape: [B] } }, (inputs) => {
      const { prior, base } = bindNetworks(networks, (path) => constant(params[path]))
      const [z, level] = [inputs.zT, inputs.logSnr]
      return { prior: prior(z, level), base: base({ zT: z, logSnr: level, conditions: {} }) }
    })
    const { prior, base } = await runOnce(program, { zT, logSnr })
    for (const v of [prior, base]) expect(relativeError(floats(v), bestV(zT, deviation))).toBeLessThan(1e-5)
  })
})

describe('a preconditioned decoder', () => {
  it.each([0.1, 0.3, 1])(
    'of deviation %d needs −μσ/√D alone of a mean μ that the latent tells',
    async (s) => {
      const mean = normal('means', [B, 40])
      const xT = normal('x', [B, 40])
      const each = 40
      const D = (b: number): number => alphaOf(levels[b]) ** 2 * s ** 2 + sigmaOf(levels[b]) ** 2
      const F = float32(
        [B, 40],
        floats(mean).map((mu, i) => {
          const b = Math.floor(i / each)
          return (-mu * sigmaOf(levels[b])) / Math.sqrt(D(b))
        }),
      )
      const specs = { F: { shape: F.shape }, xT: { shape: xT.shape }, logSnr: { shape: [B] } }
      const program = trace('v', specs, (inputs) => ({
        v: imageV(inputs.F, inputs.xT, inputs.logSnr, s),
        plain: imageV(inputs.F, inputs.xT, inputs.logSnr, undefined),
      }))
      const { v, plain } = await runOnce(program, { F, xT, logSnr })
      const wanted = [...floats(xT)].map((value, i) => {
        const b = Math.floor(i / each)
        const [alpha, sigma, mu] = [alphaOf(levels[b]), sigmaOf(levels[b]), floats(mean)[i]]
        const xHat = mu + ((alpha * s ** 2) / D(b)) * (value - alpha * mu)
        return (alpha * value - xHat) / sigma
      })
      expect(relativeError(floats(v), wanted)).toBeLessThan(1e-5)
      expect(floats(plain)).toEqual(floats(F))
      if (s === 1) expect(relativeError(floats(v), floats(F))).toBeLessThan(1e-6)
    },
  )
})
