/** @file Training steps that several processes share: the weights are those of one process, and the same bits in each. */
import { expect, it } from 'vitest'
import { alone, type Collective } from '../../src/distributed/collective.ts'
import { examplesOf, floats, type HostTensor } from '../../src/engine/host/tensor.ts'
import { param } from '../../src/engine/nn/params.ts'
import { reduceMean, square, sub, tanh } from '../../src/engine/ops/core.ts'
import { matmul } from '../../src/engine/ops/matmul.ts'
import { NodeRuntime } from '../../src/engine/runtime/node/runtime.ts'
import { adamW } from '../../src/train/adamw.ts'
import { type StepReport, trainLoop } from '../../src/train/loop.ts'
import type { Objective } from '../../src/train/objective.ts'
import { traceStep } from '../../src/train/trainStep.ts'
import type { UpdateRule } from '../../src/train/update.ts'
import { inEach } from '../distributed/inMemory.ts'
import { normal } from '../method/support.ts'
import { dispose, held, prepareStep } from './prepared.ts'

const batch = 8
const steps = 20
const rule: UpdateRule = {
  optimizer: adamW({ beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.1 }),
  clipNorm: 1,
}

const regression = (B: number): Objective => ({
  name: 'regression',
  spec: { hidden: param([3, 16], 1), out: param([16, 2], 1) },
  inputs: { x: { shape: [B, 3] }, y: { shape: [B, 2] } },
  trace: (lookUp, { x, y }) => {
    const squares = square(sub(matmul(tanh(matmul(x, lookUp('hidden'))), lookUp('out')), y))
    return { loss: reduceMean(squares), report: { squares, mean: reduceMean(squares) } }
  },
})

const params = { hidden: normal('hidden', [3, 16]), out: normal('out', [16, 2]) }

interface Trained {
  readonly held: Readonly<Record<string, HostTensor>>
  readonly reports: readonly StepReport[]
}

/** Trains in one of several processes, each with parts of its own. @param broken a step in which the last process has no finite gradient */
const train = async (together: Collective, each: number, broken = -1): Promise<Trained> => {
  const { rank, size } = together
  const parts = size * each
  const runtime = new NodeRuntime({ threads: 1 })
  const traced = traceStep(regression(batch / parts), rule, parts)
  const prepared = await prepareStep(runtime, traced, params, undefined, together)
  const reports: StepReport[] = []
  await trainLoop({
    ...{ trainStep: prepared.trainStep, state: prepared.state, batch, from: 0, steps, emaDecay: 0.9 },
    rate: { lr: 1e-2, warmupSteps: 4, finalFraction: 0.1 },
    feeds: async (step, { first, count }) => {
      // Only what is its own is asked of a process.
      expect(Math.floor((first * size) / batch)).toBe(rank)
      const x = examplesOf(normal(`x/${step}`, [batch, 3]), first, count)
      if (step === broken && rank === size - 1) floats(x)[0] = Number.NaN
      return { x, y: examplesOf(normal(`y/${step}`, [batch, 2]), first, count) }
    },
    onStep: async (report) => void reports.push(report),
    shouldStop: () => false,
  })
  const result = { held: await held(prepared), reports }
  await dispose(prepared)
  return result
}

const relativeError = (a: HostTensor, b: HostTensor): number =>
  Math.hypot(...floats(a).map((v, i) => v - floats(b)[i])) / Math.hypot(...floats(b))

it.each([
  [2, 1],
  [4, 1],
  [2, 2],
])('%d processes of %d parts train as one, and report the same', async (size, each) => {
  const [whole] = await inEach(1, (together) => train(together, 1))
  const all = await inEach(size, (together) => train(together, each))
  for (const [name, expected] of Object.entries(whole.held)) {
    expect(relativeError(all[0].held[name], expected), name).toBeLessThan(1e-5)
    for (const { held } of all) expect(held[name], name).toEqual(all[0].held[name])
  }
  for (const { reports } of all) expect(reports).toEqual(all[0].reports)
  for (const [i, { loss, gradNorm, outputs }] of all[0].reports.entries()) {
    const expected = whole.reports[i]
    expect(loss / expected.loss).toBeCloseTo(1, 5)
    expect(gradNorm / expected.gradNorm).toBeCloseTo(1, 5)
    // Per example, in the order of the whole batch.
    expect(outputs.squares.shape).toEqual([batch, 2])
    expect(relativeError(outputs.squares, expected.outputs.squares)).toBeLessThan(1e-5)
    expect(outputs.mean.shape).toEqual([size * each])
  }
})

it('one process without a finite gradient lets all of them skip the step', async () => {
  for (const { reports, held } of await inEach(2, (together) => train(together, 1, 5))) {
    expect(reports.map(({ skipped }) => skipped)).toEqual(reports.map((_, i) => (i >= 5 ? 1 : 0)))
    for (const tensor of Object.values(held)) expect(floats(tensor).every(Number.isFinite)).toBe(true)
  }
})

it('a step whose parts the processes do not share evenly is refused', async () => {
  const traced = traceStep(regression(batch / 4), rule, 4)
  const three: Collective = { ...alone, size: 3 }
  await expect(
    prepareStep(new NodeRuntime({ threads: 1 }), traced, params, undefined, three),
  ).rejects.toThrow(/^training step: 3 processes do not share its 4 parts evenly; /)
})
