/** @file Batches in parts: the weights that they give are those of the whole batch, also when a part is bad or breaks off. */
import { describe, expect, it } from 'vitest'
import { partsOf } from '../../src/engine/host/part.ts'
import { examplesOf, float32, floats, type HostTensor, scalar } from '../../src/engine/host/tensor.ts'
import { param } from '../../src/engine/nn/params.ts'
import { add, reduceMean, square, sub, tanh } from '../../src/engine/ops/core.ts'
import { matmul } from '../../src/engine/ops/matmul.ts'
import { NodeRuntime } from '../../src/engine/runtime/node/runtime.ts'
import { adamW } from '../../src/train/adamw.ts'
import { type StepReport, trainLoop } from '../../src/train/loop.ts'
import type { Objective } from '../../src/train/objective.ts'
import { traceStep } from '../../src/train/trainStep.ts'
import type { UpdateRule } from '../../src/train/update.ts'
import { normal } from '../method/support.ts'
import { dispose, held, type Prepared, prepareStep } from './prepared.ts'

type Tensors = Readonly<Record<string, HostTensor>>

const [batch, clipNorm] = [8, 10]
const rule: UpdateRule = {
  optimizer: adamW({ beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.1 }),
  clipNorm,
}
const runtime = new NodeRuntime({ threads: 1 })

/** Two layers on B examples. `extra` is added to the loss, of whose gradient it is no part. */
const regression = (B: number): Objective => ({
  name: 'regression',
  spec: { hidden: param([3, 16], 1), out: param([16, 2], 1), bias: param([2], 0) },
  inputs: { x: { shape: [B, 3] }, y: { shape: [B, 2] }, extra: { shape: [] } },
  trace: (lookUp, { x, y, extra }) => {
    const hidden = tanh(matmul(x, lookUp('hidden')))
    const error = sub(add(matmul(hidden, lookUp('out')), lookUp('bias')), y)
    const squares = square(error)
    return { loss: add(reduceMean(squares), extra), report: { squares, mean: reduceMean(squares) } }
  },
})

const params = {
  hidden: normal('hidden', [3, 16]),
  out: normal('out', [16, 2]),
  bias: normal('bias', [2]),
}

/** What is wrong with a part of a step. */
interface Fault {
  readonly step: number
  readonly part: number
  /** An element of the images, or the loss alone, that is not finite; or that the part cannot be had at all. */
  readonly kind: 'images' | 'loss' | 'gone'
}

/** A compiled step with its state: the initial one, or that of a checkpoint. */
const prepared = (parts: number, checkpoint?: Tensors): Promise<Prepared> =>
  prepareStep(runtime, traceStep(regression(batch / parts), rule, parts), params, checkpoint)

/** Takes steps `from` to `to − 1` of twenty. */
const train = async (
  { trainStep, state }: Prepared,
  from: number,
  to: number,
  fault?: Fault,
): Promise<StepReport[]> => {
  const reports: StepReport[] = []
  await trainLoop({
    ...{ trainStep, state, batch, from, steps: 20, emaDecay: 0.9 },
    rate: { lr: 1e-2, warmupSteps: 4, finalFraction: 0.1 },
    feeds: async (step, { first, count }) => {
      const x = examplesOf(normal(`x/${step}`, [batch, 3]), first, count)
      const y = examplesOf(normal(`y/${step}`, [batch, 2]), first, count)
      const kind = fault?.step === step && fault.part === first / count ? fault.kind : null
      if (kind === 'gone') throw new Error('gone')
      const spoilt = float32(
        x.shape,
        floats(x).map((v, i) => (i === 1 ? Number.NaN : v)),
      )
      const extra = scalar(kind === 'loss' ? Number.POSITIVE_INFINITY : 0)
      return { x: kind === 'images' ? spoilt : x, y, extra }
    },
    onStep: async (report) => {
      reports.push(report)
    },
    shouldStop: () => reports.length === to - from,
  })
  return reports
}

/** ‖a − b‖/‖b‖ */
const relativeError = (a: HostTensor, b: HostTensor): number =>
  Math.hypot(...floats(a).map((v, i) => v - floats(b)[i])) / Math.hypot(...floats(b))

describe('a batch in parts', () => {
  it.each([2, 4])('of %d gives the parameters, moments, averages and reports of the whole', async (parts) => {
    const [whole, cut] = [await prepared(1), await prepared(parts)]
    const [expected, reports] = [await train(whole, 0, 10), await train(cut, 0, 10)]
    const [wholeState, cutState] = [await held(whole), await held(cut)]
    const names = ['param', 'moment1', 'moment2', 'ema'].flatMap((copy) =>
      Object.keys(params).map((path) => `${copy}/${path}`),
    )
    expect(Object.keys(wholeState)).toEqual(names)
    expect(Object.keys(cutState)).toEqual(names)
    for (const name of names) {
      expect(relativeError(cutState[name], wholeState[name]), name).toBeLessThan(1e-5)
      const start = Object.entries(params).find(([path]) => name.endsWith(path))![1]
      // The steps moved everything by far more than that.
      expect(relativeError(wholeState[name], start), name).toBeGreaterThan(1e-2)
    }
    for (const [i, { loss, gradNorm, outputs, ...rest }] of reports.entries()) {
      const { step, lr, skipped, skippedInARow } = expected[i]
      expect(rest).toEqual({ step, lr, skipped, skippedInARow })
      expect(loss / expected[i].loss).toBeCloseTo(1, 5)
      expect(gradNorm / expected[i].gradNorm).toBeCloseTo(1, 5)
      // Per example, of all parts one after the other; and one scalar for each part, here of equal weight.
      expect(outputs.squares.shape).toEqual([batch, 2])
      expect(relativeError(outputs.squares, expected[i].outputs.squares)).toBeLessThan(1e-5)
      expect(outputs.mean.shape).toEqual([parts])
      const mean = floats(outputs.mean).reduce((a, b) => a + b) / parts
      expect(mean / floats(expected[i].outputs.mean)[0]).toBeCloseTo(1, 5)
    }
    // It was clipped in some steps and not in others.
    const norms = expected.map(({ gradNorm }) => gradNorm)
    expect([Math.min(...norms) < clipNorm, Math.max(...norms) > clipNorm]).toEqual([true, true])
    await Promise.all([whole, cut].map(dispose))
  })

  it.each([
    [0, 'images'],
    [2, 'images'],
    [3, 'images'],
    [0, 'loss'],
    [1, 'loss'],
  ] as const)(
    'whose part %d is not finite (%s) skips the step, and nothing of it is left',
    async (part, kind) => {
      const run = await prepared(4)
      await train(run, 0, 3)
      const before = await held(run)
      const [report] = await train(run, 3, 4, { step: 3, part, kind })
      expect(report).toMatchObject({ step: 4, skipped: 1 })
      expect(Number.isFinite(report.loss)).toBe(false)
      expect(await held(run)).toEqual(before)
      const fresh = await prepared(4, before)
      const [next] = await train(run, 4, 5)
      expect([next]).toEqual(await train(fresh, 4, 5))
      expect(await held(run)).toEqual(await held(fresh))
      expect(await held(run)).not.toEqual(before)
      await Promise.all([run, fresh].map(dispose))
    },
  )

  it('that breaks off after some of its parts leaves nothing in the next step', async () => {
    const [run, undisturbed] = [await prepared(4), await prepared(4)]
    await expect(train(run, 0, 1, { step: 0, part: 2, kind: 'gone' })).rejects.toThrow('gone')
    expect(await train(run, 0, 3)).toEqual(await train(undisturbed, 0, 3))
    expect(await held(run)).toEqual(await held(undisturbed))
    await Promise.all([run, undisturbed].map(dispose))
  })

  it('continues from a checkpoint bit for bit, and from that of whole batches', async () => {
    const [unbroken, head] = [await prepared(4), await prepared(4)]
    const reports = await train(unbroken, 0, 10)
    const first = await train(head, 0, 5)
    const tail = await prepared(4, await held(head))
    expect([...first, ...(await train(tail, 5, 10))]).toEqual(reports)
    expect(await held(tail)).toEqual(await held(unbroken))
    const whole = await prepared(1, await held(head))
    await train(whole, 5, 10)
    const expected = await held(unbroken)
    for (const [name, tensor] of Object.entries(await held(whole)))
      expect(relativeError(tensor, expected[name]), name).toBeLessThan(1e-5)
    await Promise.all([unbroken, head, tail, whole].map(dispose))
  })

  it('counts the floating-point operations of all its parts', () => {
    const flops = [1, 2, 4].map((parts) => traceStep(regression(batch / parts), rule, parts).flops)
    // Two for each weight of a matrix and example, three times for forward and backward.
    const expected = 3 * 2 * batch * (3 * 16 + 16 * 2)
    expect(flops).toEqual([expected, expected, expected])
  })
})

describe('partsOf', () => {
  it('cuts a batch into equal parts', () => {
    expect(partsOf(6, 3)).toEqual([0, 2, 4].map((first) => ({ first, count: 2, of: 6 })))
    expect(partsOf(6, 1)).toEqual([{ first: 0, count: 6, of: 6 }])
    expect(() => partsOf(6, 4)).toThrow('batch: 4 parts do not divide 6; take a divisor')
  })
})
