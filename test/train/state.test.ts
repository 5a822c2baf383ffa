/** @file The state before the first step. */
import { expect, it } from 'vitest'
import { floats, type HostTensor } from '../../src/engine/host/tensor.ts'
import { initialParams, param } from '../../src/engine/nn/params.ts'
import { adamW } from '../../src/train/adamw.ts'
import { drawnState, initialState, layoutOf } from '../../src/train/state.ts'

it('drawn where it lies is that of parameters drawn by themselves', () => {
  const spec = {
    net: { w: param([3, 5], 0.5), b: param([5], 0), v: param([2, 2], 1) },
    table: param([2 ** 18], 1),
  }
  const layout = layoutOf(spec, adamW({ beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0 }))
  const drawn = drawnState(layout, spec, 7)
  expect(layout.slabs).toHaveLength(2)
  const bytes = (state: Readonly<Record<string, HostTensor>>): [string, Buffer][] =>
    Object.entries(state).map(([name, tensor]) => [name, Buffer.from(floats(tensor).buffer)])
  const taken = bytes(initialState(layout, initialParams(spec, 7)))
  for (const [i, [name, own]] of bytes(drawn).entries())
    expect([name, own.equals(taken[i][1])]).toEqual([taken[i][0], true])
  expect(floats(drawn['param/0'])).not.toEqual(floats(drawnState(layout, spec, 8)['param/0']))
  // Averages are values of their own: parameters are updated where they lie.
  expect(floats(drawn['ema/0'])).toEqual(floats(drawn['param/0']))
  expect(drawn['ema/0'].data.buffer).not.toBe(drawn['param/0'].data.buffer)
})
