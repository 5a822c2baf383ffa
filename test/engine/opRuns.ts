/** @file The op tests as functions of whatever runs a program, which may be a page: values and gradients against the reference. */
import { gradient } from '../../src/engine/autodiff/gradient.ts'
import type { DType, HostTensor, Shape } from '../../src/engine/host/tensor.ts'
import { applyAll, input, type Value } from '../../src/engine/ir/graph.ts'
import type { Program } from '../../src/engine/ir/program.ts'
import { add, mul, reduceSum } from '../../src/engine/ops/core.ts'
import { type Case, differences, drawInputs, errorOf } from './cases.ts'
import { evaluate, fromHost, type RefTensor } from './reference.ts'

/** Runs a program once. */
export type Run = (
  program: Program,
  feeds: Readonly<Record<string, HostTensor>>,
) => Promise<Readonly<Record<string, HostTensor>>>

/** Doubles that know what they were. */
export type Typed = RefTensor & { readonly dtype: DType }

/** Tensors as dtype, shape and doubles. */
export const asDoubles = (tensors: Readonly<Record<string, HostTensor>>): Record<string, Typed> =>
  Object.fromEntries(Object.entries(tensors).map(([name, t]) => [name, { ...fromHost(t), dtype: t.dtype }]))

/** Ops with a second output that only their own gradient may read; it has no gradient, so there is no second one. */
export const savedOutput: Readonly<Record<string, RegExp>> = {
  silu: /saved sigmoid is internal to the gradient/,
  layerNorm: /saved deviation is internal to the gradient/,
  rmsNorm: /saved deviation is internal to the gradient/,
}

/** The sum of values by weights: a loss. */
export const weigh = (values: readonly Value[], weights: readonly Value[]): Value =>
  values.map((v, i) => reduceSum(mul(v, weights[i]))).reduce((a, b) => add(a, b))

export const isFloat = (v: Value): boolean => v.dtype === 'float32'

/** A case as values of a graph, with what is fed for them. */
export interface Setup {
  readonly inputs: readonly Value[]
  readonly outputs: readonly Value[]
  readonly wrt: readonly Value[]
  /** The float outputs that may reach a loss, and their random weights. */
  readonly seen: readonly Value[]
  readonly weights: readonly Value[]
  readonly tensors: ReadonlyMap<Value, HostTensor>
  readonly feeds: ReadonlyMap<Value, RefTensor>
}

export const setUp = ({ name, op, sample }: Case): Setup => {
  const inputs = sample.inputs.map((t, i) => input(`x${i}`, t.shape, t.dtype))
  const outputs = applyAll(op, inputs, sample.attrs)
  const seen = outputs.filter((v) => isFloat(v) && !(v.index > 0 && op.name in savedOutput))
  const weights = seen.map((v, i) => input(`w${i}`, v.shape))
  const tensors = new Map<Value, HostTensor>()
  for (const [i, t] of drawInputs(name, sample.inputs, sample.range).entries()) tensors.set(inputs[i], t)
  for (const [i, t] of drawInputs(`${name} weights`, seen).entries()) tensors.set(weights[i], t)
  const feeds = new Map([...tensors].map(([v, t]) => [v, fromHost(t)]))
  return { inputs, outputs, wrt: inputs.filter(isFloat), seen, weights, tensors, feeds }
}

/** Runs values as one program. */
export const runValues = async (
  run: Run,
  tensors: ReadonlyMap<Value, HostTensor>,
  values: readonly Value[],
): Promise<Typed[]> => {
  const inputs = Object.fromEntries([...tensors.keys()].map((v) => [v.name, v]))
  const feeds = Object.fromEntries([...tensors].map(([v, t]) => [v.name, t]))
  const outputs = Object.fromEntries(values.map((v, i) => [`y${i}`, v]))
  const results = asDoubles(await run({ name: 'op', inputs, outputs }, feeds))
  return values.map((_, i) => results[`y${i}`])
}

/** Why a case has no derivative to test; null where it has. */
export const whyNoGradient = ({ op, sample }: Case): string | null => {
  if (op.name === 'stopGradient') return 'zero by design'
  if (sample.inputs.every((t) => t.dtype !== 'float32')) return 'no float input'
  return op.vjp === undefined ? 'op has none: its output is bool' : null
}

/** An output beside what the reference has for it. */
export interface Compared {
  readonly dtype: DType
  readonly shape: Shape
  /** As errorOf, of floats; of others how many elements differ. */
  readonly error: number
}

/** What a case gives. */
export const forwardOf = async (run: Run, c: Case): Promise<Compared[]> => {
  const { outputs, tensors, feeds } = setUp(c)
  const expected = evaluate(outputs, feeds)
  const actual = await runValues(run, tensors, outputs)
  return actual.map(({ dtype, shape, data }, i) => ({
    ...{ dtype, shape },
    error: isFloat(outputs[i])
      ? errorOf({ shape, data }, expected[i])
      : expected[i].data.filter((x, k) => x !== data[k]).length,
  }))
}

/** How far the gradients of a case are from central differences of the reference. */
export const gradientErrors = async (run: Run, c: Case): Promise<number[]> => {
  const { seen, weights, wrt, tensors, feeds } = setUp(c)
  const loss = weigh(seen, weights)
  const expected = differences(loss, wrt, feeds)
  const actual = await runValues(run, tensors, gradient(loss, wrt))
  return actual.map((t, i) => errorOf(t, expected[i]))
}
