/** @file Chains of steps on tensors of any rank, and what they leave as it was. */
import { describe, expect, it } from 'vitest'
import { float32, floats } from '../../src/engine/host/tensor.ts'
import { trace } from '../../src/engine/ir/program.ts'
import { constant, mul } from '../../src/engine/ops/core.ts'
import { NodeRuntime } from '../../src/engine/runtime/node/runtime.ts'
import { predicted, runChain, stepInputs, stepUpdates, takeStep } from '../../src/method/chain.ts'
import { samplerSteps } from '../../src/method/diffusion/sampler.ts'
import { alphaOf, linearSchedule } from '../../src/method/diffusion/schedule.ts'

const runtime = new NodeRuntime({ threads: 1 })

describe('runChain', () => {
  it.each([{ shape: [3, 2] }, { shape: [3, 2, 1, 1] }])(
    'takes points of shape $shape to what v̂ predicts, and leaves its start as it was',
    async ({ shape }) => {
      const start = float32(shape, [1, 2, 3, 4, 5, 6])
      const program = trace('step', stepInputs(shape), (at) =>
        takeStep(at, mul(predicted(at, constant(float32(shape, [0, 0, 0, 0, 0, 0]))), 2)),
      )
      const executable = await runtime.compile(program, { updates: stepUpdates })
      // Without v̂ the prediction is 2·α·x_t. The second step writes where the start lay.
      const steps = samplerSteps(linearSchedule(5, 0), { kind: 'ddim', steps: 2, variance: 0 }, 'clean')
      const factors = steps.map(({ logSnr, keep, clean }) => keep + clean * 2 * alphaOf(logSnr))
      const chain = { steps, shape, seed: 1, name: 'chain', first: 0, start }
      const end = await runChain(runtime, chain, {}, () => ({ program: executable, feeds: {} }))
      expect(end.shape).toEqual(shape)
      floats(end).forEach((x, i) => {
        expect(x).toBeCloseTo(factors[0]! * factors[1]! * (i + 1), 4)
      })
      expect([...floats(start)]).toEqual([1, 2, 3, 4, 5, 6])
    },
  )
})
