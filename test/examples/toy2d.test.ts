/** @file The method as a whole on points of the plane, against its closed forms: examples/toy2d.ts in a shorter form. */
import { beforeAll, describe, expect, it } from 'vitest'
import {
  covarianceOf,
  curve,
  gaussian,
  gaussianLines,
  type Line,
  meanDistance,
  moonLines,
  moons,
  type Toy,
  toy2d,
} from '../../examples/toy2d.ts'
import { sourceOf } from '../sources.ts'

const steps = 1000

/** Measured and expected of the line that begins so. */
const lineOf = (lines: readonly Line[], start: string): { measured: number; expected: number } => {
  const [, measured, , expected] = lines.find(([what]) => what.startsWith(start))!
  return { measured, expected }
}

it('is one file of fewer than 250 lines', () => {
  expect(sourceOf('examples/toy2d.ts').trimEnd().split('\n').length).toBeLessThan(250)
})

describe('a Gaussian, whose optimum is known', () => {
  let toy: Toy
  let lines: Line[]
  beforeAll(async () => {
    toy = await toy2d(gaussian, steps)
    lines = gaussianLines(toy)
  })

  it('the prior measures the rate of the latents', () => {
    const { measured, expected } = lineOf(lines, 'rate')
    expect(Math.abs(measured / expected - 1)).toBeLessThan(0.05)
  })

  it('the encoder finds the optimum of both losses', () => {
    const { measured, expected } = lineOf(lines, '½ ln det')
    expect(Math.abs(measured - expected)).toBeLessThan(0.1)
  })

  it.each(['decoder loss', 'squared error'])('%s is that of the optimum', (start) => {
    const { measured, expected } = lineOf(lines, start)
    expect(Math.abs(measured / expected - 1)).toBeLessThan(0.1)
  })

  it('samples have the covariance of the data', () => {
    for (const [i, expected] of [1, 1, 0.75].entries())
      expect(Math.abs(covarianceOf(toy.samples)[i] - expected)).toBeLessThan(0.12)
  })
})

describe('two moons', () => {
  let toy: Toy
  let lines: Line[]
  beforeAll(async () => {
    toy = await toy2d(moons, steps)
    lines = moonLines(toy)
  })

  /** Whether points lie at the curve and reach all of it. */
  const isMoons = (points: Toy['samples']): boolean =>
    meanDistance(points, curve) < 0.1 && meanDistance(curve, points) < 0.05

  it('take a rate, and less than a Gaussian of their covariance', () => {
    const { measured, expected } = lineOf(lines, 'rate')
    expect(measured).toBeGreaterThan(2)
    expect(measured).toBeLessThan(expected)
  })

  it('are reconstructed up to what is left to the decoder', () => {
    const { measured, expected } = lineOf(lines, 'squared error')
    expect(Math.abs(measured / expected - 1)).toBeLessThan(0.25)
  })

  it('are what samples lie at, and reach all of; with their coordinates shuffled they do not', () => {
    expect(isMoons(toy.data)).toBe(true)
    expect(isMoons(toy.samples)).toBe(true)
    const shuffled = toy.samples.map(([x], i) => [x, toy.samples.at(i - 1)![1]] as const)
    expect(isMoons(shuffled)).toBe(false)
    expect(isMoons(toy.samples.filter(([x]) => x < 0))).toBe(false)
  })
})
