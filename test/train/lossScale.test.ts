/** @file The loss's scale: what it does to a run whose gradients overflow, and to one whose do not. */
import { describe, expect, it } from 'vitest'
import { examplesOf, floats, type HostTensor, scalar } from '../../src/engine/host/tensor.ts'
import { param } from '../../src/engine/nn/params.ts'
import { add, reduceMean, square, sub } from '../../src/engine/ops/core.ts'
import { matmul } from '../../src/engine/ops/matmul.ts'
import { NodeRuntime } from '../../src/engine/runtime/node/runtime.ts'
import { adamW } from '../../src/train/adamw.ts'
import { type StepReport, trainLoop } from '../../src/train/loop.ts'
import { dynamicScale, fixedScale, type LossScale, usualScale } from '../../src/train/lossScale.ts'
import type { Objective } from '../../src/train/objective.ts'
import { traceStep } from '../../src/train/trainStep.ts'
import { normal } from '../method/support.ts'
import { dispose, held, prepareStep } from './prepared.ts'

const [batch, steps] = [8, 12]
const regression = (B: number): Objective => ({
  name: 'regression',
  spec: { weight: param([3, 2], 1) },
  inputs: { x: { shape: [B, 3] }, y: { shape: [B, 2] }, extra: { shape: [] } },
  trace: (lookUp, { x, y, extra }) => ({
    loss: add(reduceMean(square(sub(matmul(x, lookUp('weight')), y))), extra),
    report: {},
  }),
})
const optimizer = adamW({ beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0 })

/** Trains with a scale. @param broken steps whose loss is infinite */
const train = async (lossScale: LossScale, parts = 1, broken: readonly number[] = []) => {
  const traced = traceStep(regression(batch / parts), { optimizer, clipNorm: 1 }, parts)
  const prepared = await prepareStep(new NodeRuntime({ threads: 1 }), traced, { weight: normal('w', [3, 2]) })
  const reports: StepReport[] = []
  await trainLoop({
    ...{
      trainStep: prepared.trainStep,
      state: prepared.state,
      batch,
      from: 0,
      steps,
      emaDecay: 0.9,
      lossScale,
    },
    rate: { lr: 1e-2, warmupSteps: 0, finalFraction: 1 },
    feeds: async (step, { first, count }) => ({
      x: examplesOf(normal(`x/${step}`, [batch, 3]), first, count),
      y: examplesOf(normal(`y/${step}`, [batch, 2]), first, count),
      extra: scalar(broken.includes(step) ? Number.POSITIVE_INFINITY : 0),
    }),
    onStep: async (report) => {
      reports.push(report)
    },
    shouldStop: () => false,
  })
  const result: Readonly<Record<string, HostTensor>> = await held(prepared)
  await dispose(prepared)
  return { held: result, reports }
}

describe('a scale that moves', () => {
  it('halves at every step that is not finite, doubles after 2,000 that are, and stays within bounds', () => {
    const scale = dynamicScale({ value: 8, steps: 0 })
    scale.after(false)
    scale.after(false)
    expect(scale.state()).toEqual({ value: 2, steps: 0 })
    for (let i = 0; i < 1999; i++) scale.after(true)
    expect(scale.state()).toEqual({ value: 2, steps: 1999 })
    const resumed = dynamicScale(scale.state())
    resumed.after(true)
    expect(resumed.state()).toEqual({ value: 4, steps: 0 })
    for (let i = 0; i < 30; i++) resumed.after(false)
    expect(resumed.value()).toBe(1)
    for (let i = 0; i < 2000 * 40; i++) resumed.after(true)
    expect(resumed.value()).toBe(2 ** 24)
  })

  it.each([1, 2])(
    'survives overflow in %d parts: skips until gradients fit, and moves nothing meanwhile',
    async (parts) => {
      // Squares of gradients so scaled exceed the 2^128 of float32, as products in float16 exceed 65,504.
      const scale = dynamicScale({ value: 2 ** 67, steps: 0 })
      const { held, reports } = await train(scale, parts)
      const { skipped } = reports.at(-1)!
      expect(skipped).toBeGreaterThan(0)
      expect(skipped).toBeLessThan(8)
      expect(scale.value()).toBe(2 ** (67 - skipped))
      const wereFinite = reports.map(({ gradNorm }) => Number.isFinite(gradNorm))
      expect(wereFinite.filter((own) => !own)).toHaveLength(skipped)
      expect([wereFinite[0], wereFinite.at(-1)]).toEqual([false, true])
      for (const tensor of Object.values(held)) expect(floats(tensor).every(Number.isFinite)).toBe(true)
    },
  )

  it('changes no bit where nothing overflows', async () => {
    const plain = await train(fixedScale)
    expect(usualScale).toBe(4096)
    for (const value of [1, 2 ** 16, 2 ** 24]) {
      const scaled = await train(dynamicScale({ value, steps: 0 }))
      expect(scaled.held).toEqual(plain.held)
      expect(scaled.reports).toEqual(plain.reports)
    }
  })

  it('planted infinities halve it once each and cost only their own steps', async () => {
    const [fixed, moving] = [await train(fixedScale, 1, [3, 7]), dynamicScale({ value: 4096, steps: 0 })]
    const found = await train(moving, 1, [3, 7])
    expect(moving.state()).toEqual({ value: 1024, steps: steps - 8 })
    expect(found.held).toEqual(fixed.held)
    expect(found.reports.map(({ skipped }) => skipped)).toEqual([0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2])
  })
})
