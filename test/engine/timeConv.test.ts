/** @file The convolution over time: against sums written out, causal, and the same for a clip wherever it begins. */
import { expect, it } from 'vitest'
import { float32, floats, type HostTensor } from '../../src/engine/host/tensor.ts'
import { trace } from '../../src/engine/ir/program.ts'
import { timeConv } from '../../src/engine/nn/layers.ts'
import { normal, relativeError, runOnce } from '../method/support.ts'

const [B, C, H, W, cOut] = [2, 3, 2, 4, 5]
const positions = H * W

const applied = async (weight: HostTensor, x: HostTensor): Promise<HostTensor> => {
  const program = trace('clip', { x: { shape: x.shape }, weight: { shape: weight.shape } }, (inputs) => ({
    y: timeConv(inputs.weight, inputs.x),
  }))
  return (await runOnce(program, { x, weight })).y
}

const clip = (T: number): HostTensor => normal(`clip ${T}`, [B, T, C, H, W])
const kernel = (size: number): HostTensor => normal(`kernel ${size}`, [cOut, size * C, 1, 1])

/** Frames `from` to `to` of every clip. */
const frames = ({ shape, data }: HostTensor, from: number, to: number): HostTensor => {
  const [, T, channels] = shape as [number, number, number]
  const each = channels * positions
  return float32(
    [B, to - from, channels, H, W],
    Array.from({ length: B }, (_, b) => [
      ...(data as Float32Array).slice((b * T + from) * each, (b * T + to) * each),
    ]).flat(),
  )
}

it.each([
  [1, 4],
  [2, 1],
  [3, 5],
])(
  'of %d frames is the sum over them, those before the first being zero, for clips of %d',
  async (size, T) => {
    const [x, weight] = [clip(T), kernel(size)]
    const [given, w] = [floats(x), floats(weight)]
    const at = (b: number, t: number, c: number, p: number): number =>
      t < 0 ? 0 : given[((b * T + t) * C + c) * positions + p]
    const expected: number[] = []
    for (let b = 0; b < B; b++)
      for (let t = 0; t < T; t++)
        for (let o = 0; o < cOut; o++)
          for (let p = 0; p < positions; p++) {
            let sum = 0
            for (let k = 0; k < size; k++)
              for (let c = 0; c < C; c++) sum += w[o * size * C + k * C + c] * at(b, t - size + 1 + k, c, p)
            expected.push(sum)
          }
    const y = await applied(weight, x)
    expect(y.shape).toEqual([B, T, cOut, H, W])
    expect(relativeError(floats(y), expected)).toBeLessThan(1e-6)
  },
)

it('lets no frame see a later one: a clip cut short gives the same beginning', async () => {
  const weight = kernel(3)
  const whole = await applied(weight, clip(6))
  const short = await applied(weight, frames(clip(6), 0, 4))
  expect(relativeError(floats(short), floats(frames(whole, 0, 4)))).toBeLessThan(1e-6)
  const late = await applied(weight, frames(clip(6), 2, 6))
  expect(relativeError(floats(frames(late, 2, 4)), floats(frames(whole, 4, 6)))).toBeLessThan(1e-6)
})
