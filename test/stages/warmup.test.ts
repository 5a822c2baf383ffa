/** @file The encoder's warm-up: what share of the prior's gradient reaches it at each step. */
import { expect, it } from 'vitest'
import { encoderShareAt } from '../../src/stages/autoencoder.ts'

const warmUp = { steps: 1000, emaDecay: 0, encoderHold: 0.15, encoderRamp: 0.2, encoderFloor: 0.003 }

it('holds the floor, then ramps linearly to all of the gradient and stays there', () => {
  expect([0, 100, 149].map((step) => encoderShareAt(warmUp, step))).toEqual([0.003, 0.003, 0.003])
  expect(encoderShareAt(warmUp, 150)).toBeCloseTo(0.003, 12)
  expect(encoderShareAt(warmUp, 250)).toBeCloseTo((1 + 0.003) / 2, 12)
  expect([350, 351, 999].map((step) => encoderShareAt(warmUp, step))).toEqual([1, 1, 1])
})

it('follows the length of the schedule', () => {
  const longer = { ...warmUp, steps: 4000 }
  for (let step = 0; step < 1000; step += 37) {
    expect(encoderShareAt(longer, 4 * step)).toBeCloseTo(encoderShareAt(warmUp, step), 12)
  }
})

it('without hold and ramp gives the whole gradient from the first step', () => {
  expect(encoderShareAt({ ...warmUp, encoderHold: 0, encoderRamp: 0 }, 0)).toBe(1)
})
