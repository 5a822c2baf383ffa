/** @file Muon: what its iteration makes of matrices, its steps against float64, its state, and that it trains. */
import { describe, expect, it } from 'vitest'
import { float32, floats, type HostTensor, type Shape } from '../../src/engine/host/tensor.ts'
import { trace } from '../../src/engine/ir/program.ts'
import { param } from '../../src/engine/nn/params.ts'
import { add, mul, reduceMean, reduceSum, square, sub } from '../../src/engine/ops/core.ts'
import { matmul } from '../../src/engine/ops/matmul.ts'
import { NodeRuntime } from '../../src/engine/runtime/node/runtime.ts'
import { updatedInPlace } from '../../src/engine/runtime/overwrite.ts'
import { symmetricEigenvalues } from '../../src/metrics/linearAlgebra.ts'
import { adamW } from '../../src/train/adamw.ts'
import { muon, orthogonalise } from '../../src/train/muon.ts'
import type { Objective } from '../../src/train/objective.ts'
import type { Optimizer } from '../../src/train/optimizer.ts'
import { initialState } from '../../src/train/state.ts'
import { compileStep, placeState, programsOf, traceStep } from '../../src/train/trainStep.ts'
import { stepFeeds } from '../../src/train/update.ts'
import { normal, runOnce } from '../method/support.ts'
import { dispose, held, type Prepared, prepareStep } from './prepared.ts'

type Tensors = Readonly<Record<string, HostTensor>>

// ---- matrices in float64 ----------------------------------------------------------------------------------------

type Matrix = readonly (readonly number[])[]

const turned = (m: Matrix): Matrix => m[0].map((_, j) => m.map((row) => row[j]))
const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, v, i) => sum + v * b[i], 0)
const product = (a: Matrix, b: Matrix): Matrix => {
  const columns = turned(b)
  return a.map((row) => columns.map((column) => dot(row, column)))
}
/** Σ factor·matrix */
const mixed = (...terms: readonly (readonly [factor: number, m: Matrix])[]): Matrix =>
  terms[0][1].map((row, i) => row.map((_, j) => terms.reduce((sum, [f, m]) => sum + f * m[i][j], 0)))
const norm = (m: Matrix): number => Math.hypot(...m.flat())

/** A tensor flattened behind its first axis. */
const matrixOf = ({ shape: [rows], data }: HostTensor): Matrix => {
  const values = Array.from(data, Number)
  const cols = values.length / rows
  return Array.from({ length: rows }, (_, i) => values.slice(i * cols, (i + 1) * cols))
}

/** U·Vᵀ, by the cubic Newton–Schulz iteration until it stands still. */
const polar = (m: Matrix): Matrix => {
  let x = mixed([1 / norm(m), m])
  for (let i = 0; i < 60; i++) x = mixed([1.5, x], [-0.5, product(product(x, turned(x)), x)])
  return x
}

/** Singular values, ascending. */
const singularValues = (m: Matrix): number[] => {
  const wide = m.length <= m[0].length ? m : turned(m)
  const gram = Float64Array.from(product(wide, turned(wide)).flat())
  return Array.from(symmetricEigenvalues(gram, wide.length), (v) => Math.sqrt(Math.max(0, v)))
}

/** The iteration as its authors write it, always from the left. */
const iterated = (m: Matrix): Matrix => {
  let x = mixed([1 / (norm(m) + 1e-7), m])
  for (let i = 0; i < 5; i++) {
    const squared = product(x, turned(x))
    const polynomial = mixed([-4.775, squared], [2.0315, product(squared, squared)])
    x = mixed([3.4445, x], [1, product(polynomial, x)])
  }
  return x
}

const quintic = (s: number): number => 3.4445 * s - 4.775 * s ** 3 + 2.0315 * s ** 5

describe('orthogonalise', () => {
  const made = async (matrix: HostTensor): Promise<Matrix> => {
    const { shape } = matrix
    const [rows] = shape
    const { y } = await runOnce(
      trace('orthogonalise', { x: { shape } }, ({ x }) => ({ y: orthogonalise(x) })),
      { x: matrix },
    )
    expect(y.shape).toEqual([rows, matrix.data.length / rows])
    return matrixOf(y)
  }

  it.each([
    [[8, 8]],
    [[64, 64]],
    [[16, 48]],
    [[48, 16]],
    [[2, 200]],
    [[24, 216]], // kernels of 24 × 24 × 3 × 3 …
    [[96, 24]], // … and 96 × 24 × 1 × 1
  ])('makes the singular values of %j about 1 and keeps their directions', async (shape: Shape) => {
    const matrix = normal(`matrix/${shape}`, shape)
    const before = matrixOf(matrix)
    const found = await made(matrix)
    const [given, values] = [singularValues(mixed([1 / norm(before), before])), singularValues(found)]
    for (const value of values) expect(value).toBeLessThan(1.3)
    // Smaller ones, which square matrices have, would take more iterations.
    const large = given.filter((s) => s > 1 / 500).length
    expect(large).toBeGreaterThanOrEqual(0.9 * given.length)
    for (const value of values.slice(-large)) expect(value).toBeGreaterThan(0.6)
    const expected = given.map((s) => [1, 2, 3, 4, 5].reduce(quintic, s)).sort((a, b) => a - b)
    for (const [i, value] of values.entries()) expect(value).toBeCloseTo(expected[i], 3)
    const exact = polar(before)
    expect(dot(found.flat(), exact.flat()) / norm(found) / norm(exact)).toBeGreaterThan(0.95)
  })

  it('does not depend on scale, and leaves nothing nothing', async () => {
    const matrix = normal('scaled', [6, 10])
    const expected = matrixOf(matrix)
    for (const scale of [1e-3, 1e3]) {
      const scaled = float32(
        [6, 10],
        floats(matrix).map((v) => v * scale),
      )
      const error = norm(mixed([1, await made(scaled)], [-1, iterated(expected)]))
      expect(error / norm(iterated(expected))).toBeLessThan(1e-4)
    }
    expect((await made(float32([2, 3], Array(6).fill(0)))).flat()).toEqual(Array(6).fill(0))
  })
})

// ---- steps ------------------------------------------------------------------------------------------------------

const shapes: Readonly<Record<string, Shape>> = {
  wide: [6, 10],
  bias: [7],
  tall: [12, 5],
  end: [5, 6],
  kernel: [4, 3, 2, 2],
  scale: [6, 1, 1],
}
const names = Object.keys(shapes)
const owned = ['wide', 'tall', 'kernel']

const [weightDecay, clipNorm, emaDecay, lr] = [0.1, 5, 0.5, 0.02]
const adam = { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay }
const optimizer = muon({ momentum: 0.95, weightDecay, takes: (path) => path !== 'end' }, adamW(adam))
const schedule = { rate: { lr, warmupSteps: 0, finalFraction: 1 }, emaDecay, steps: 10 }
const params = Object.fromEntries(names.map((name) => [name, normal(`param/${name}`, shapes[name])]))

/** The gradient of a step, clipped in every other of them. */
const gradientAt = (step: number): Tensors =>
  Object.fromEntries(
    names.map((name) => [
      `gradient/${name}`,
      float32(
        shapes[name],
        floats(normal(`gradient/${step}/${name}`, shapes[name])).map((v) => v * (step % 2 === 0 ? 1 : 0.1)),
      ),
    ]),
  )

/** Σ parameters·fed, of which what is fed is the gradient. */
const linear: Objective = {
  name: 'linear',
  spec: Object.fromEntries(names.map((name) => [name, param(shapes[name], 1)])),
  inputs: Object.fromEntries(names.map((name) => [`gradient/${name}`, { shape: shapes[name] }])),
  trace: (lookUp, inputs) => ({
    loss: names
      .map((name) => reduceSum(mul(lookUp(name), inputs[`gradient/${name}`])))
      .reduce((a, b) => add(a, b)),
    report: {},
  }),
}

const runtime = new NodeRuntime({ threads: 1 })

/** A compiled step with its state: the initial one, or that of a checkpoint. */
const prepared = (parts: number, checkpoint?: Tensors): Promise<Prepared> =>
  prepareStep(runtime, traceStep(linear, { optimizer, clipNorm }, parts), params, checkpoint)

/** Takes steps `from` to `to − 1`. The gradients of parts have that of the step as their mean. */
const take = async (
  { traced: { parts }, trainStep, state }: Prepared,
  from: number,
  to: number,
  gradient: (step: number) => Tensors = gradientAt,
): Promise<void> => {
  const share = (part: number): number => (parts === 1 ? 1 : (2 * part + 1) / parts)
  for (let step = from; step < to; step++) {
    const ofPart = (part: number): Tensors =>
      Object.fromEntries(
        Object.entries(gradient(step)).map(([name, t]) => [
          name,
          float32(
            t.shape,
            floats(t).map((v) => v * share(part)),
          ),
        ]),
      )
    await trainStep.run(async (part) => ofPart(part), stepFeeds(optimizer, schedule, step), state)
  }
}

/** The state after some steps in float64, by copy and name, as matrices. */
const reference = (steps: number): Readonly<Record<string, Matrix>> => {
  const state: Record<string, Matrix> = {}
  for (const name of names) {
    const start = matrixOf(params[name])
    const zero = mixed([0, start])
    Object.assign(state, { [`param/${name}`]: start, [`ema/${name}`]: start })
    const kept = owned.includes(name) ? ['momentum'] : ['moment1', 'moment2']
    for (const copy of kept) state[`${copy}/${name}`] = zero
  }
  for (let step = 0; step < steps; step++) {
    const all = names.map((name) => matrixOf(gradientAt(step)[`gradient/${name}`]))
    const clip = Math.min(1, clipNorm / Math.hypot(...all.flat(2)))
    for (const [i, name] of names.entries()) {
      const g = mixed([clip, all[i]])
      const copy = (kind: string): Matrix => state[`${kind}/${name}`]
      let direction: Matrix
      if (owned.includes(name)) {
        state[`momentum/${name}`] = mixed([0.95, copy('momentum')], [1, g])
        const size = 0.2 * Math.sqrt(Math.max(g.length, g[0].length))
        direction = mixed([size, iterated(mixed([0.95, copy('momentum')], [1, g]))])
      } else {
        state[`moment1/${name}`] = mixed([adam.beta1, copy('moment1')], [1, g])
        const squares = g.map((row) => row.map((v) => v * v))
        state[`moment2/${name}`] = mixed([adam.beta2, copy('moment2')], [1, squares])
        const unbiased = (sum: number, beta: number): number => (sum * (1 - beta)) / (1 - beta ** (step + 1))
        direction = copy('moment1').map((row, r) =>
          row.map((m, k) => {
            const v = copy('moment2')[r][k]
            return unbiased(m, adam.beta1) / (Math.sqrt(unbiased(v, adam.beta2)) + adam.epsilon)
          }),
        )
      }
      state[`param/${name}`] = mixed([1 - lr * weightDecay, copy('param')], [-lr, direction])
      const decay = Math.min(emaDecay, (1 + step) / (10 + step))
      state[`ema/${name}`] = mixed([decay, copy('ema')], [1 - decay, copy('param')])
    }
  }
  return state
}

describe('Muon', () => {
  it.each([1, 2])('takes the steps of its formula in float64, batches in %d parts', async (parts) => {
    const run = await prepared(parts)
    await take(run, 0, 5)
    const [found, expected] = [await held(run), reference(5)]
    // Matrices need their momentum alone, and everything else what AdamW needs.
    expect(Object.keys(found).sort()).toEqual(Object.keys(expected).sort())
    for (const [name, tensor] of Object.entries(found)) {
      const error = norm(mixed([1, matrixOf(tensor)], [-1, expected[name]]))
      expect(error / norm(expected[name]), name).toBeLessThan(1e-4)
    }
    await dispose(run)
  })

  it.each([1, 2])('continues from a checkpoint bit for bit, batches in %d parts', async (parts) => {
    const [unbroken, head] = [await prepared(parts), await prepared(parts)]
    await take(unbroken, 0, 6)
    await take(head, 0, 3)
    const tail = await prepared(parts, await held(head))
    await take(tail, 3, 6)
    expect(await held(tail)).toEqual(await held(unbroken))
    expect(await held(head)).not.toEqual(await held(unbroken))
    await Promise.all([unbroken, head, tail].map(dispose))
  })

  it.each([0, 3])('leaves everything as it was in step %d, whose gradient is not finite', async (bad) => {
    const run = await prepared(1)
    await take(run, 0, bad)
    const before = await held(run)
    const poisoned = { ...gradientAt(bad), 'gradient/bias': float32([7], [1, 2, Number.NaN, 4, 5, 6, 7]) }
    await take(run, bad, bad + 1, () => poisoned)
    expect(await held(run)).toEqual(before)
    await take(run, bad, bad + 1)
    expect(await held(run)).not.toEqual(before)
    await dispose(run)
  })

  it('is updated where it lies, all of it', () => {
    for (const parts of [1, 2])
      for (const { program, updates } of programsOf(traceStep(linear, { optimizer, clipNorm }, parts)))
        expect(updatedInPlace(program, updates)).toEqual(new Set(Object.keys(updates)))
  })
})

describe('a linear map', () => {
  const [N, D] = [64, 16]
  const tensor = (m: Matrix): HostTensor => float32([m.length, m[0].length], m.flat())
  const drawn = (name: string, shape: Shape): Matrix => matrixOf(normal(name, shape))
  // Examples of four strong directions and many weak ones, none along an axis.
  const strong = product(drawn('strong', [N, 4]), drawn('directions', [4, D]))
  const x = mixed([1, strong], [0.1, drawn('weak', [N, D])])
  const target = mixed([0.25, drawn('target', [D, D])])
  const feeds = { x: tensor(x), y: tensor(product(x, target)) }
  const start = { map: tensor(mixed([0, target])) }

  const regression: Objective = {
    name: 'regression',
    spec: { map: param([D, D], 0) },
    inputs: { x: { shape: [N, D] }, y: { shape: [N, D] } },
    trace: (lookUp, { x, y }) => ({
      loss: reduceMean(square(sub(matmul(x, lookUp('map')), y))),
      report: {},
    }),
  }

  /** The mean squared error after 100 steps at the best of some learning rates. */
  const leastLoss = async (own: Optimizer): Promise<number> => {
    const traced = traceStep(regression, { optimizer: own, clipNorm: 1 }, 1)
    const trainStep = await compileStep(runtime, traced)
    const found: number[] = []
    for (const lr of [0.08, 0.16, 0.32]) {
      const decaying = { rate: { lr, warmupSteps: 0, finalFraction: 0.01 }, emaDecay, steps: 100 }
      const state = await placeState(runtime, traced, initialState(traced.layout, start))
      let last = Number.NaN
      for (let step = 0; step < decaying.steps; step++) {
        const { loss } = await trainStep.run(async () => feeds, stepFeeds(own, decaying, step), state)
        last = floats(loss)[0]
      }
      found.push(last)
      await state.dispose()
    }
    await trainStep.dispose()
    return Math.min(...found)
  }

  it('is learned in its weak directions too, where AdamW is still far', async () => {
    const others = adamW({ ...adam, weightDecay: 0 })
    const byMuon = await leastLoss(muon({ momentum: 0.95, weightDecay: 0, takes: () => true }, others))
    expect(byMuon).toBeLessThan(2e-4) // of 2.5 at the start
    expect(byMuon).toBeLessThan(0.1 * (await leastLoss(others)))
  })
})
