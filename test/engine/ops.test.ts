/**
 * @file Every op at every sample: ONNX Runtime against the float64 reference, the gradient and the gradient of the
 * gradient against central differences of the reference.
 */
import { describe, expect, it } from 'vitest'
import { gradient } from '../../src/engine/autodiff/gradient.ts'
import { float32, type HostTensor } from '../../src/engine/host/tensor.ts'
import { type EmissionTarget, input, type Value } from '../../src/engine/ir/graph.ts'
import { allOps } from '../../src/engine/ops/all.ts'
import { cast, mul, reduceSum, stopGradient } from '../../src/engine/ops/core.ts'
import * as emission from '../../src/engine/ops/emit.ts'
import * as surface from '../../src/ops.ts'
import { runOnce } from '../method/support.ts'
import { cases, differences, drawInputs, errorOf } from './cases.ts'
import {
  forwardOf,
  isFloat,
  runValues as runValuesBy,
  savedOutput,
  setUp,
  type Typed,
  weigh,
  whyNoGradient,
} from './opRuns.ts'
import { evaluate, fromHost, type RefTensor, rules } from './reference.ts'

/** Runs values on ONNX Runtime as one program. */
const runValues = (
  tensors: ReadonlyMap<Value, HostTensor>,
  values: readonly Value[],
  target: EmissionTarget = 'cpu',
): Promise<Typed[]> => runValuesBy((program, feeds) => runOnce(program, feeds, target), tensors, values)

const expectClose = (
  actual: readonly RefTensor[],
  expected: readonly RefTensor[],
  tolerance: number,
): void => {
  expect(actual.map((t) => t.shape)).toEqual(expected.map((t) => t.shape))
  for (const [i, t] of expected.entries()) expect(errorOf(actual[i], t)).toBeLessThan(tolerance)
}

it('the reference defines exactly the ops of the project, and each has a sample', () => {
  expect(Object.keys(rules).sort()).toEqual(allOps.map((op) => op.name).sort())
  expect(allOps.filter((op) => op.samples.length === 0).map((op) => op.name)).toEqual([])
})

it('only constants and comparisons lack a gradient', () => {
  const without = allOps.filter((op) => op.vjp === undefined).map((op) => op.name)
  expect(without).toEqual(['constant', 'greater', 'less', 'equal'])
})

it('the public surface is every family: functions, and the families’ lists of op objects', () => {
  const lists = Object.entries(surface).flatMap(([name, exported]) =>
    typeof exported === 'function' ? [] : [{ name, list: exported }],
  )
  expect(lists.map(({ name }) => name).filter((name) => !/^[a-z]+Ops$/.test(name))).toEqual([])
  const inner = new Set(['after'])
  expect(new Set(lists.flatMap(({ list }) => list))).toEqual(
    new Set(allOps.filter(({ name }) => !inner.has(name))),
  )
  expect(Object.keys(surface).filter((name) => name in emission)).toEqual([])
})

describe.each(['cpu', 'any', 'standard'] as const)('forward, emitted for %s', (target) => {
  it.each(cases)('$name', async (c) => {
    const { outputs, feeds } = setUp(c)
    const expected = evaluate(outputs, feeds)
    const actual = await forwardOf((program, fed) => runOnce(program, fed, target), c)
    for (const [i, v] of outputs.entries()) {
      expect(expected[i].shape).toEqual(v.shape)
      expect(expected[i].data.length).toBe(v.shape.reduce((n, d) => n * d, 1))
      expect(actual[i]).toMatchObject({ dtype: v.dtype, shape: v.shape })
      expect(actual[i].error).toBeLessThan(isFloat(v) ? 1e-5 : 1)
    }
  })
})

const smooth = cases.filter((c) => whyNoGradient(c) === null)

it('only these ops have samples without a derivative test', () => {
  const reasons = new Set(
    cases.filter((c) => !smooth.includes(c)).map((c) => `${c.op.name}: ${whyNoGradient(c)}`),
  )
  expect([...reasons].sort()).toEqual([
    'add: no float input',
    'cast: no float input',
    'constant: no float input',
    'equal: no float input',
    'equal: op has none: its output is bool',
    'greater: no float input',
    'greater: op has none: its output is bool',
    'less: no float input',
    'less: op has none: its output is bool',
    'mul: no float input',
    'stopGradient: zero by design',
  ])
})

describe('gradient against central differences', () => {
  it.each(smooth)('$name', async (c) => {
    const { seen, weights, wrt, tensors, feeds } = setUp(c)
    const loss = weigh(seen, weights)
    const gradients = gradient(loss, wrt)
    const expected = differences(loss, wrt, feeds)
    expectClose(evaluate(gradients, feeds), expected, 1e-6)
    expectClose(await runValues(tensors, gradients), expected, 1e-4)
  })
})

describe('gradient of the gradient against central differences', () => {
  for (const c of smooth) {
    const message = savedOutput[c.op.name]
    // The weights take part, so that the second derivative of a linear op is not merely zero.
    const note = message === undefined ? '' : ' (weights only: the op has a saved output without a gradient)'
    it(`${c.name}${note}`, async () => {
      const { seen, weights, wrt, tensors, feeds } = setUp(c)
      const first = gradient(weigh(seen, weights), wrt)
      const own = first.map((g, i) => input(`u${i}`, g.shape))
      const drawn = drawInputs(`${c.name} second`, own)
      const withOwn = new Map([...tensors, ...drawn.map((t, i) => [own[i], t] as const)])
      const allFeeds = new Map([...feeds, ...drawn.map((t, i) => [own[i], fromHost(t)] as const)])
      const sum = weigh(first, own)
      if (message !== undefined) expect(() => gradient(sum, wrt)).toThrow(message)
      const of = message === undefined ? [...wrt, ...weights] : weights
      const second = gradient(sum, of)
      const expected = differences(sum, of, allFeeds)
      expectClose(evaluate(second, allFeeds), expected, 1e-5)
      expectClose(await runValues(withOwn, second), expected, 1e-4)
    })
  }
})

describe('stopGradient', () => {
  const x = input('x', [3])
  const feeds = new Map([[x, float32([3], [2, -3, 5])]])

  it('gives zeros where it is the only way to the loss', async () => {
    const [dx] = gradient(reduceSum(stopGradient(x)), [x])
    const [actual] = await runValues(feeds, [dx])
    expect([...actual.data]).toEqual([0, 0, 0])
  })

  it('is a constant factor next to a live one: d sum(stop(x)·x·x) = 2·stop(x)·x', async () => {
    const [dx] = gradient(reduceSum(mul(mul(stopGradient(x), x), x)), [x])
    const [actual] = await runValues(feeds, [dx])
    expect([...actual.data]).toEqual([8, 18, 50])
  })
})

it('cast to float16 and back rounds to 11 bits and passes the gradient through', async () => {
  const x = input('x', [3])
  const w = input('w', [3])
  const half = cast(cast(x, 'float16'), 'float32')
  const [dx] = gradient(reduceSum(mul(half, w)), [x])
  const feeds = new Map([
    [x, float32([3], [0.1, 2049, -3.5])],
    [w, float32([3], [0.5, -2, 3])],
  ])
  const [y, d] = await runValues(feeds, [half, dx])
  expect([...y.data]).toEqual([0.0999755859375, 2048, -3.5])
  expect([...d.data]).toEqual([0.5, -2, 3])
})
