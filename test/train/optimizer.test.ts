/** @file Optimisers as values: one made up here trains like AdamW does, and its state is laid out and named by it. */
import { describe, expect, it } from 'vitest'
import { float32, floats, type HostTensor, scalar } from '../../src/engine/host/tensor.ts'
import { param } from '../../src/engine/nn/params.ts'
import { add, mul, reduceSum, reshape, where } from '../../src/engine/ops/core.ts'
import { NodeRuntime } from '../../src/engine/runtime/node/runtime.ts'
import { adamW } from '../../src/train/adamw.ts'
import type { Objective } from '../../src/train/objective.ts'
import type { Optimizer } from '../../src/train/optimizer.ts'
import { planSlabs } from '../../src/train/slabs.ts'
import {
  averagesIn,
  initialState,
  isAverageOf,
  layoutOf,
  packState,
  readAverages,
  readState,
} from '../../src/train/state.ts'
import { compileStep, placeState, traceStep } from '../../src/train/trainStep.ts'
import { stepFeeds } from '../../src/train/update.ts'

const spec = { net: { a: param([2], 0), w: param([2, 2], 0), b: param([1], 0), v: param([1, 2], 0) } }

/** Momentum that moves every matrix by its row sums, and vectors as they are: it sees shapes, and matrices whole. */
const rowMomentum: Optimizer<'velocity', 'keep'> = {
  copies: ['velocity'],
  scalars: { keep: (step) => 1 / (step + 2) },
  standsAlone: ({ shape }) => shape.length === 2,
  begin: ({ ok, lr, own: { keep } }) => {
    const [kept, rate] = [where(ok, keep, 1), where(ok, mul(lr, -1), 0)]
    return {
      next: ({ size, entries }, { param, velocity }, gradient) => {
        const [{ shape }] = entries
        const sums = (v: typeof gradient) => {
          const matrix = reshape(v, shape)
          return reshape(add(mul(matrix, 0), reduceSum(matrix, [1], true)), [size])
        }
        const moved = add(mul(velocity, kept), shape.length === 2 ? sums(gradient) : gradient)
        return { param: add(param, mul(moved, rate)), velocity: moved }
      },
    }
  },
}

/** Σ weights·parameters, whose gradient is the weights; a fed factor makes it grow. */
const linear = (factorOf: (path: string) => number): Objective => ({
  name: 'linear',
  spec,
  inputs: { factor: { shape: [] } },
  trace: (lookUp, { factor }) => {
    const terms = ['net.a', 'net.w', 'net.b', 'net.v'].map((path) =>
      mul(reduceSum(lookUp(path)), mul(factor, factorOf(path))),
    )
    return { loss: terms.reduce((a, b) => add(a, b)), report: {} }
  },
})

const params: Readonly<Record<string, HostTensor>> = {
  'net.a': float32([2], [1, 2]),
  'net.w': float32([2, 2], [1, 2, 3, 4]),
  'net.b': float32([1], [5]),
  'net.v': float32([1, 2], [6, 7]),
}

describe('an optimiser of one’s own', () => {
  const runtime = new NodeRuntime({ threads: 1 })
  const factors: Readonly<Record<string, number>> = { 'net.a': 1, 'net.w': 2, 'net.b': 3, 'net.v': 4 }

  it.each([1, 2])('moves the weights as it says, batches in %d parts', async (parts) => {
    const step = traceStep(
      linear((path) => factors[path]),
      { optimizer: rowMomentum, clipNorm: 1e6 },
      parts,
    )
    const trainStep = await compileStep(runtime, step)
    const state = await placeState(runtime, step, initialState(step.layout, params))
    const slabs = ['velocity', 'param', 'ema'].flatMap((copy) => [0, 1, 2].map((i) => `${copy}/${i}`))
    const sums = ['sum/0', 'sum/1', 'sum/2', 'sum/loss']
    expect([...state.names].sort()).toEqual([...slabs, ...(parts === 1 ? [] : sums)].sort())
    const schedule = { rate: { lr: 0.5, warmupSteps: 0, finalFraction: 1 }, emaDecay: 0, steps: 9 }
    for (const i of [0, 1]) {
      const scalars = stepFeeds(rowMomentum, schedule, i)
      expect(Object.keys(scalars).sort()).toEqual(['emaDecay', 'keep', 'lossScale', 'lr'])
      // The parts' factors have the mean 1.
      await trainStep.run(async (part) => ({ factor: scalar(parts === 1 ? 1 : 0.5 + part) }), scalars, state)
    }
    const held = await readState(step.layout, state)
    // Velocities g and g·(1 + 1/3): the parameters fall by ½·g·(1 + 4/3).
    const gradients = { 'net.a': 1, 'net.w': 2 * 2, 'net.b': 3, 'net.v': 2 * 4 }
    for (const [path, g] of Object.entries(gradients)) {
      const start = floats(params[path])
      const [moved, velocity] = [`param/${path}`, `velocity/${path}`].map((name) => floats(held[name]))
      for (const [i, v] of moved.entries()) {
        expect(v, path).toBeCloseTo(start[i] - (g * 7) / 6, 5)
        expect(velocity[i], path).toBeCloseTo((g * 4) / 3, 5)
      }
    }
    // The average decays at once, so that it is the weights.
    const averages = await readAverages(step.layout, state)
    expect(Object.keys(averages).sort()).toEqual(Object.keys(params).sort())
    for (const [path, tensor] of Object.entries(averages)) {
      expect(tensor.shape).toEqual(params[path].shape)
      expect(floats(tensor)).toEqual(floats(held[`param/${path}`]))
    }
    const before = await readState(step.layout, state)
    const scalars = stepFeeds(rowMomentum, schedule, 2)
    const report = await trainStep.run(async () => ({ factor: scalar(Number.NaN) }), scalars, state)
    expect(floats(report.loss)[0]).toBeNaN()
    expect(await readState(step.layout, state)).toEqual(before)
    await trainStep.dispose()
    await state.dispose()
  })
})

describe('slabs', () => {
  const entries = Object.entries(spec.net).map(([path, { shape }]) => ({ path, shape }))
  const paths = (standsAlone?: Optimizer['standsAlone']): string[][] =>
    planSlabs(entries, standsAlone).map((slab) => slab.entries.map(({ path }) => path))

  it('hold what stands alone by itself, and pack the rest together', () => {
    expect(paths()).toEqual([['a', 'w', 'b', 'v']])
    expect(paths(rowMomentum.standsAlone)).toEqual([['a', 'b'], ['w'], ['v']])
  })
})

describe('checkpoints', () => {
  const layout = layoutOf(spec, adamW({ beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0 }))
  const whole = Object.fromEntries(
    ['param', 'moment1', 'moment2', 'ema'].flatMap((copy) =>
      Object.entries(params).map(([path, tensor]) => [`${copy}/${path}`, tensor]),
    ),
  )

  it('pack into one slab for each copy', () => {
    const slab = float32([9], [1, 2, 1, 2, 3, 4, 5, 6, 7])
    const names = ['param/0', 'moment1/0', 'moment2/0', 'ema/0']
    expect(packState(layout, whole)).toEqual(Object.fromEntries(names.map((name) => [name, slab])))
  })

  it('hold of each slab what the optimiser keeps of it, and ask for no more', async () => {
    const keeps: Optimizer['keeps'] = ({ entries }) => entries[0].shape.length === 2
    const own = layoutOf(spec, { ...rowMomentum, keeps })
    const start = initialState(own, params)
    const [param, ema] = ['param', 'ema'].map((copy) => [0, 1, 2].map((i) => `${copy}/${i}`))
    expect(Object.keys(start)).toEqual([...param, 'velocity/1', 'velocity/2', ...ema])
    const runtime = new NodeRuntime({ threads: 1 })
    const state = await runtime.place(start)
    const saved = await readState(own, state)
    const velocities = Object.keys(saved).filter((name) => name.startsWith('velocity/'))
    expect(velocities).toEqual(['velocity/net.w', 'velocity/net.v'])
    expect(packState(own, saved)).toEqual(start)
    const { 'velocity/net.v': _, ...lacking } = saved
    expect(() => packState(own, lacking)).toThrow(
      "parameters: 'velocity/net.v' should be float32[1,2], found nothing",
    )
    await state.dispose()
  })

  it('that lack a tensor, or have another of its name, are refused by its name and copy', () => {
    const { 'moment1/net.w': _, ...lacking } = whole
    expect(() => packState(layout, lacking)).toThrow(
      "parameters: 'moment1/net.w' should be float32[2,2], found nothing; was it saved with another configuration?",
    )
    const other = { ...whole, 'ema/net.b': float32([2], [1, 2]) }
    expect(() => packState(layout, other)).toThrow(
      "parameters: 'ema/net.b' should be float32[1], found float32[2]",
    )
    const { 'net.a': __, ...less } = params
    expect(() => initialState(layout, less)).toThrow(
      "parameters: 'net.a' should be float32[2], found nothing",
    )
  })

  it('give their averages by path, and say whose an average is', () => {
    expect(averagesIn({ ...whole, emanet: scalar(1) })).toEqual(params)
    expect(isAverageOf('ema/net.w', 'net')).toBe(true)
    expect(isAverageOf('ema/network.w', 'net')).toBe(false)
    expect(isAverageOf('param/net.w', 'net')).toBe(false)
  })
})
