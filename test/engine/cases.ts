/** @file What the op tests share: samples, drawn inputs, central differences. Runs in pages, too. */
import { randomUniform, randomWord, streamKey } from '../../src/engine/host/random.ts'
import { type HostTensor, type Shape, sizeOf, zeros } from '../../src/engine/host/tensor.ts'
import type { Op, Sample, Value, ValueType } from '../../src/engine/ir/graph.ts'
import { allOps } from '../../src/engine/ops/all.ts'
import { evaluate, type RefTensor } from './reference.ts'

/** One sample of one op. */
export interface Case {
  readonly name: string
  readonly op: Op<unknown>
  readonly sample: Sample<unknown>
}

const f32 = (...shapes: readonly Shape[]): ValueType[] => shapes.map((shape) => ({ shape, dtype: 'float32' }))
const i32 = (...shapes: readonly Shape[]): ValueType[] => shapes.map((shape) => ({ shape, dtype: 'int32' }))

/** Uses that occur in the models and that the ops' own samples leave out. */
const more: Readonly<Record<string, readonly Sample<unknown>[]>> = {
  // A bias under two leading axes takes another way through sumTo than the samples of binary ops.
  add: [
    { inputs: f32([2, 3, 4], [4]), attrs: null },
    { inputs: i32([2, 3], [3]), attrs: null, range: [-(2 ** 31), 2 ** 31 - 1] },
  ],
  // Dropout relies on products that wrap at 32 bits.
  mul: [{ inputs: i32([4, 1], [1, 5]), attrs: null, range: [-(2 ** 31), 2 ** 31 - 1] }],
  abs: [{ inputs: f32([2, 3]), attrs: null, range: [-1, 1] }],
  div: [{ inputs: f32([2, 3], [3]), attrs: null, range: [-2, -0.5] }],
  erf: [{ inputs: f32([2, 3]), attrs: null, range: [-3, 3] }],
  // Drawn floats never tie, so only integers can tell > from ≥ and give a true equality.
  greater: [{ inputs: i32([4, 5], [5]), attrs: null, range: [0, 2] }],
  less: [{ inputs: i32([4, 5], [5]), attrs: null, range: [0, 2] }],
  equal: [{ inputs: i32([4, 5], [5]), attrs: null, range: [0, 2] }],
  matmul: [
    { inputs: f32([2, 1, 3, 4], [3, 4, 2]), attrs: { transA: false, transB: false, alpha: 1 } },
    { inputs: f32([2, 3, 4], [5, 4]), attrs: { transA: false, transB: true, alpha: 0.5 } },
  ],
  concat: [{ inputs: f32([1, 2, 3], [2, 2, 3]), attrs: { axis: 0 } }],
  split: [{ inputs: f32([2, 4, 3]), attrs: { axis: 1, sizes: [3, 1] } }],
  conv2d: [{ inputs: f32([2, 2, 1, 5], [2, 2, 1, 3]), attrs: null }],
  convKernelGrad: [{ inputs: f32([2, 2, 5, 4], [2, 3, 5, 4]), attrs: [5, 1] }],
}

/** Every sample of every op. */
export const cases: readonly Case[] = allOps.flatMap((op) =>
  [...op.samples, ...(more[op.name] ?? [])].map((sample, i) => {
    const inputs = sample.inputs.map((t) => `${t.dtype === 'float32' ? '' : t.dtype}[${t.shape}]`).join(' ')
    return { name: `${op.name} ${i}: ${inputs}`, op, sample }
  }),
)

/** `n` numbers spread over an interval in random order, no two closer than half of interval/n. */
const spread = (
  key: ReturnType<typeof streamKey>,
  n: number,
  [low, high]: readonly [number, number],
): number[] => {
  const order = Array.from({ length: n }, (_, i) => i).sort((a, b) => randomWord(key, a) - randomWord(key, b))
  return order.map((cell, i) =>
    Math.fround(low + ((high - low) * (cell + 0.25 + 0.5 * randomUniform(key, n + i))) / n),
  )
}

/**
 * Inputs of a sample. All floats are drawn together and kept apart: a finite difference then never steps across the
 * kink of a maximum, whichever two elements it compares.
 */
export const drawInputs = (
  name: string,
  types: readonly ValueType[],
  range: readonly [number, number] = [-1, 1],
): HostTensor[] => {
  const key = streamKey(7, name)
  const total = types.reduce((n, t) => n + (t.dtype === 'float32' ? sizeOf(t.shape) : 0), 0)
  const floats = spread(key, total, range)
  return types.map(({ shape, dtype }, i) => {
    const tensor = zeros(shape, dtype)
    const own = streamKey(8, name, i)
    const [low, high] = dtype === 'bool' ? [0, 1] : range
    for (let j = 0; j < tensor.data.length; j++) {
      if (dtype === 'float32') tensor.data[j] = floats.shift()!
      else tensor.data[j] = low + Math.floor(randomUniform(own, j) * (high - low + 1))
    }
    return tensor
  })
}

/** Step of central differences: their truncation (∝ h²) and rounding (∝ 1/h) errors are both near 1e-8. */
const step = 1e-4

/** d value / d each of `wrt` in the reference, by central differences. `value` must be a scalar. */
export const differences = (
  value: Value,
  wrt: readonly Value[],
  feeds: ReadonlyMap<Value, RefTensor>,
): RefTensor[] =>
  wrt.map((v) => {
    const { shape, data } = feeds.get(v)!
    const moved = (i: number, by: number): number => {
      const shifted = new Map(feeds).set(v, { shape, data: data.with(i, data[i] + by) })
      return evaluate([value], shifted)[0].data[0]
    }
    return { shape, data: data.map((_, i) => (moved(i, step) - moved(i, -step)) / (2 * step)) }
  })

/**
 * Largest difference over the largest expected number. The floor keeps rounding noise from counting where everything
 * expected is zero, as in the second derivatives of linear ops.
 */
export const errorOf = (actual: RefTensor, expected: RefTensor): number => {
  if (actual.data.length !== expected.data.length) return Number.POSITIVE_INFINITY
  let difference = 0
  let size = 1e-3
  for (const [i, x] of expected.data.entries()) {
    const d = Math.abs(actual.data[i] - x)
    difference = Number.isNaN(d) ? Number.POSITIVE_INFINITY : Math.max(difference, d)
    size = Math.max(size, Math.abs(x))
  }
  return difference / size
}
