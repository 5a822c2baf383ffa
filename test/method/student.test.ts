/** @file A decoder of few steps: what it is taught, held against the chain of its teacher. */
import { describe, expect, it } from 'vitest'
import { float32, floats, type HostTensor } from '../../src/engine/host/tensor.ts'
import { trace } from '../../src/engine/ir/program.ts'
import { bindNetworks } from '../../src/engine/nn/network.ts'
import { constant } from '../../src/engine/ops/core.ts'
import { predicted } from '../../src/method/chain.ts'
import { imageOf, latentOf, partConfig } from '../../src/method/config.ts'
import { alphaOf, sigmaOf } from '../../src/method/diffusion/schedule.ts'
import { decoderNetwork } from '../../src/method/networks/decoder.ts'
import { batchShape } from '../../src/method/networks/shapes.ts'
import { deterministicSteps, landingOn, studentFeeds, studentObjective } from '../../src/method/student.ts'
import { normal, randomParams, relativeError, runOnce, tinyConfig, wholeDraw } from './support.ts'

const B = 2
const [image, latent] = [batchShape(imageOf(tinyConfig), B), batchShape(latentOf(tinyConfig), B)]
const draw = wholeDraw(1, 0, B)
const network = decoderNetwork(partConfig(tinyConfig).decoder)
const weights = randomParams({ decoder: network.spec })

/** x̂ of the decoder with those weights. */
const xHatOf = async (xT: HostTensor, z0: HostTensor, level: number): Promise<HostTensor> => {
  const inputs = { xT: { shape: image }, z0: { shape: latent }, logSnr: { shape: [B] } }
  const program = trace('xHat', inputs, (given) => {
    const { decoder } = bindNetworks({ decoder: network }, (path) => constant(weights[path], path))
    const z0LogSnr = constant(float32([B], [5, 5]))
    const reads = { xT: given.xT, z0: given.z0, logSnr: given.logSnr, z0LogSnr }
    return { xHat: predicted(reads, decoder(reads)) }
  })
  return (await runOnce(program, { xT, z0, logSnr: float32([B], [level, level]) })).xHat
}

/** The student's loss and squared errors with those weights. */
const lossOf = (feeds: Readonly<Record<string, HostTensor>>) => {
  const objective = studentObjective(tinyConfig, B)
  const program = trace('loss', objective.inputs, (inputs) => {
    const { loss, report } = objective.trace((path) => constant(weights[path], path), inputs)
    return { loss, squared: report.squared }
  })
  return runOnce(program, feeds)
}

describe('the steps of a student', () => {
  it('fall on those of its teacher, and their end is the image', () => {
    const teachers = deterministicSteps(tinyConfig, 12)
    for (const steps of [1, 2, 3, 4, 6]) {
      const own = deterministicSteps(tinyConfig, steps)
      expect(own.map(({ logSnr }) => logSnr)).toEqual(
        teachers.filter((_, i) => i % (12 / steps) === 0).map(({ logSnr }) => logSnr),
      )
      expect(own.at(-1)).toMatchObject({ keep: 0, clean: 1, noise: 0 })
    }
  })

  it('land where their target says: on the DDIM path through x_s', () => {
    const [xT, xS] = [normal('from', image), normal('to', image)]
    for (const [i, step] of deterministicSteps(tinyConfig, 4).entries()) {
      const target = floats(landingOn(step, xT, xS))
      const landed = target.map((value, j) => step.keep * floats(xT)[j] + step.clean * value)
      expect(relativeError(landed, [...floats(xS)])).toBeLessThan(1e-5)
      const next = deterministicSteps(tinyConfig, 4)[i + 1]
      if (next === undefined) expect(target).toEqual(floats(xS))
      else {
        // x_s and x_t share the noise that the target leaves in x_t: ε = (x_t − α_t·x̃)/σ_t.
        const eps = floats(xT).map((x, j) => (x - alphaOf(step.logSnr) * target[j]) / sigmaOf(step.logSnr))
        const again = eps.map((e, j) => alphaOf(next.logSnr) * target[j] + sigmaOf(next.logSnr) * e)
        expect(relativeError(again, [...floats(xS)])).toBeLessThan(1e-4)
      }
    }
  })
})

describe('what a student is charged', () => {
  it.each([0, 1, 2, 3])('is nothing where step %d does what the teacher did', async (i) => {
    const [xT, z0, step] = [normal('x', image), normal('z', latent), deterministicSteps(tinyConfig, 4)[i]]
    const xHat = await xHatOf(xT, z0, step.logSnr)
    const xS = float32(
      image,
      floats(xHat).map((value, j) => step.keep * floats(xT)[j] + step.clean * value),
    )
    const { loss, squared } = await lossOf(studentFeeds(tinyConfig, step, { xT, xS, z0 }, draw))
    expect(Math.max(...floats(squared), floats(loss)[0])).toBeLessThan(1e-8)
  })

  it.each([0, 3])('is max(SNR, 1) times the squared error at step %d', async (i) => {
    const [xT, xS, z0] = [normal('x', image), normal('s', image), normal('z', latent)]
    const step = deterministicSteps(tinyConfig, 4)[i]
    const { loss, squared } = await lossOf(studentFeeds(tinyConfig, step, { xT, xS, z0 }, draw))
    const [target, xHat] = [floats(landingOn(step, xT, xS)), floats(await xHatOf(xT, z0, step.logSnr))]
    const each = target.length / B
    const errors = [0, 1].map((b) => {
      const own = target.slice(b * each, (b + 1) * each)
      return own.reduce((sum, value, j) => sum + (value - xHat[b * each + j]) ** 2, 0) / each
    })
    expect(relativeError(floats(squared), errors)).toBeLessThan(1e-4)
    const expected = (Math.max(1, Math.exp(step.logSnr)) * (errors[0] + errors[1])) / B
    expect(floats(loss)[0] / expected).toBeCloseTo(1, 4)
  })
})
