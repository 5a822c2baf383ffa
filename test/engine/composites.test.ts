/** @file Functions made of several ops, on ONNX Runtime, against direct formulas. */
import { describe, expect, it } from 'vitest'
import { fillNormal, streamKey } from '../../src/engine/host/random.ts'
import { float32, type HostTensor, int32 } from '../../src/engine/host/tensor.ts'
import { apply, type Value } from '../../src/engine/ir/graph.ts'
import { trace } from '../../src/engine/ir/program.ts'
import { attention } from '../../src/engine/ops/attention.ts'
import { convOps } from '../../src/engine/ops/conv.ts'
import { add, gelu, reduceMean } from '../../src/engine/ops/core.ts'
import { dropout, seededUniform } from '../../src/engine/ops/dropout.ts'
import { linear } from '../../src/engine/ops/matmul.ts'
import { groupNorm } from '../../src/engine/ops/norm.ts'
import { slice } from '../../src/engine/ops/slice.ts'
import { drawInputs, errorOf } from './cases.ts'
import type { RefTensor } from './reference.ts'
import { runOrt } from './runOrt.ts'

type Inputs = Readonly<Record<string, Value>>

const run = (
  feeds: Readonly<Record<string, HostTensor>>,
  body: (inputs: Inputs) => Value,
): Promise<RefTensor> =>
  runOrt(
    trace('composite', feeds, (inputs) => ({ y: body(inputs) })),
    feeds,
  ).then((results) => results.y)

const draw = (name: string, ...shapes: readonly (readonly number[])[]): HostTensor[] =>
  drawInputs(
    name,
    shapes.map((shape) => ({ shape, dtype: 'float32' })),
  )

const numbers = (t: HostTensor): number[] => Array.from(t.data, Number)

const expectValues = (actual: RefTensor, shape: readonly number[], values: readonly number[]): void => {
  expect(actual.shape).toEqual(shape)
  expect(errorOf(actual, { shape, data: Float64Array.from(values) })).toBeLessThan(1e-5)
}

describe('composites', () => {
  it('attention weighs values by softmax(q·k/√d), with other widths and counts for keys and values', async () => {
    const [N, M, d, e] = [2, 3, 4, 5]
    const [q, k, v] = draw('attention', [1, 2, N, d], [1, 2, M, d], [1, 2, M, e]) as [
      HostTensor,
      HostTensor,
      HostTensor,
    ]
    const expected: number[] = []
    for (let h = 0; h < 2; h++) {
      for (let n = 0; n < N; n++) {
        const scores = Array.from({ length: M }, (_, m) => {
          let dot = 0
          for (let c = 0; c < d; c++)
            dot += Number(q.data[(h * N + n) * d + c]) * Number(k.data[(h * M + m) * d + c])
          return Math.exp(dot / Math.sqrt(d))
        })
        const total = scores.reduce((a, b) => a + b, 0)
        for (let c = 0; c < e; c++) {
          expected.push(
            scores.reduce((sum, s, m) => sum + (s / total) * Number(v.data[(h * M + m) * e + c]), 0),
          )
        }
      }
    }
    expectValues(await run({ q, k, v }, (x) => attention(x.q, x.k, x.v)), [1, 2, N, e], expected)
  })

  it('groupNorm normalises each group of channels of each image', async () => {
    const [x] = draw('groupNorm', [2, 4, 3, 2]) as [HostTensor]
    const expected = [0, 1, 2, 3].flatMap((group) => {
      const part = numbers(x).slice(group * 12, group * 12 + 12)
      const mean = part.reduce((a, b) => a + b, 0) / 12
      const variance = part.reduce((a, b) => a + (b - mean) ** 2, 0) / 12
      return part.map((v) => (v - mean) / Math.sqrt(variance + 0.01))
    })
    expectValues(await run({ x }, (i) => groupNorm(i.x, 2, 0.01)), [2, 4, 3, 2], expected)
  })

  it('linear adds a bias row or a residual of the result’s shape', async () => {
    const x = float32([2, 1, 2], [1, 2, 3, 4])
    const w = float32([2, 3], [1, 0, -1, 2, 1, 0])
    const bias = float32([3], [10, 20, 30])
    const residual = float32([2, 1, 3], [1, 2, 3, 4, 5, 6])
    const product = [5, 2, -1, 11, 4, -3]
    expectValues(await run({ x, w }, (i) => linear(i.x, i.w)), [2, 1, 3], product)
    const withBias = product.map((p, i) => p + [10, 20, 30][i % 3])
    expectValues(await run({ x, w, bias }, (i) => linear(i.x, i.w, i.bias)), [2, 1, 3], withBias)
    const withResidual = product.map((p, i) => p + i + 1)
    expectValues(await run({ x, w, residual }, (i) => linear(i.x, i.w, i.residual)), [2, 1, 3], withResidual)
  })

  it('gelu has the published values of x·Φ(x)', async () => {
    const x = float32([4], [-1, 0, 1, 2])
    const y = [-0.15865525393, 0, 0.84134474607, 1.9544997361]
    expectValues(await run({ x }, (i) => gelu(i.x)), [4], y)
  })

  it('reduceMean divides by the number of elements it sums', async () => {
    const x = float32([2, 3], [1, 2, 3, 5, 7, 9])
    expectValues(await run({ x }, (i) => reduceMean(i.x, [-1])), [2], [2, 7])
    expectValues(await run({ x }, (i) => reduceMean(i.x, [0], true)), [1, 3], [3, 4.5, 6])
    expectValues(await run({ x }, (i) => reduceMean(i.x)), [], [4.5])
  })
})

it('the kernel gradient of a large batch, taken in groups, is the sum over its examples', async () => {
  const [B, C, O, side] = [5, 32, 48, 64]
  const [x, d] = [C, O].map((channels) => {
    const data = new Float32Array(B * channels * side * side)
    fillNormal(data, streamKey(0, 'grouped', channels))
    return float32([B, channels, side, side], data)
  }) as [HostTensor, HostTensor]
  const op = convOps.find(({ name }) => name === 'convKernelGrad')!
  const gradientOf = (v: Value, w: Value): Value => apply(op, [v, w], [3, 3])
  const whole = await run({ x, d }, (inputs) => gradientOf(inputs.x, inputs.d))
  const apart = await run({ x, d }, (inputs) => {
    const of = (v: Value, b: number): Value => slice(v, 0, b, b + 1)
    const each = Array.from({ length: B }, (_, b) => gradientOf(of(inputs.x, b), of(inputs.d, b)))
    return each.reduce((a, b) => add(a, b))
  })
  expect(whole.shape).toEqual([O, C, 3, 3])
  expect(errorOf(whole, apart)).toBeLessThan(1e-5)
})

describe('dropout', () => {
  const shape = [64, 128]
  const size = 64 * 128
  const uniform = (seed: number, site: string): Promise<RefTensor> =>
    run({ seed: int32([], [seed]) }, (i) => seededUniform({ seed: i.seed }, site, shape))

  it('draws uniform numbers: mean 1/2, variance 1/12, flat deciles, no correlation of neighbours', async () => {
    const { data } = await uniform(3, 'decoder/0')
    const centred = data.map((u) => u - 0.5)
    const mean = (xs: Float64Array): number => xs.reduce((a, b) => a + b, 0) / xs.length
    expect(Math.min(...data)).toBeGreaterThanOrEqual(0)
    expect(Math.max(...data)).toBeLessThanOrEqual(1)
    // Five standard errors of each statistic.
    expect(Math.abs(mean(centred))).toBeLessThan(5 * Math.sqrt(1 / 12 / size))
    expect(Math.abs(mean(centred.map((u) => u * u)) - 1 / 12)).toBeLessThan(5 * Math.sqrt(1 / 180 / size))
    for (const lag of [1, 2, 127, 128, 129, 256]) {
      const products = centred.subarray(lag).map((u, i) => u * centred[i])
      expect(Math.abs(mean(products))).toBeLessThan(5 / 12 / Math.sqrt(size))
    }
    const counts = new Array<number>(10).fill(0)
    for (const u of data) counts[Math.min(9, Math.floor(u * 10))]++
    for (const n of counts) expect(Math.abs(n - size / 10)).toBeLessThan(5 * Math.sqrt(size * 0.09))
  })

  it('is the same for the same seed and site, unrelated for another seed or site', async () => {
    const [a, again, ...others] = await Promise.all([
      uniform(3, 'decoder/0'),
      uniform(3, 'decoder/0'),
      uniform(4, 'decoder/0'),
      uniform(3, 'decoder/1'),
    ])
    expect(again.data).toEqual(a.data)
    for (const b of others) {
      const products = a.data.map((u, i) => (u - 0.5) * (b.data[i] - 0.5))
      expect(Math.abs(products.reduce((s, p) => s + p, 0) / size)).toBeLessThan(5 / 12 / Math.sqrt(size))
    }
  })

  it('zeroes the given share and scales the rest so that the mean stays', async () => {
    const feeds = { x: float32([4096], new Float32Array(4096).fill(2)), seed: int32([], [11]) }
    const { data } = await run(feeds, (i) => dropout(i.x, 0.25, { seed: i.seed }, 'site'))
    const kept = data.filter((v) => v !== 0)
    expect(Math.abs(kept.length - 0.75 * 4096)).toBeLessThan(5 * Math.sqrt(4096 * 0.25 * 0.75))
    for (const v of kept) expect(v).toBeCloseTo(2 / 0.75, 5)
  })
})
