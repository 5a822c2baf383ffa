/** @file Normalisations and softmax over the last axis; scale and shift are left to the caller, who fuses them. */
import { showShape } from '../host/tensor.ts'
import { apply, type Emitter, expect, expectDType, type Op, type Value, type ValueType } from '../ir/graph.ts'
import { mul, reduceMean, reduceSum, reshape, sub } from './core.ts'
import { f32, filled, int64s, onnx } from './emit.ts'

/** The normalised tensor and 1/deviation per row, which the gradient needs. */
const inferNorm = ([x]: readonly Value[]): readonly ValueType[] => {
  expectDType([x], 'float32')
  return [x, { shape: [...x.shape.slice(0, -1), 1], dtype: 'float32' }]
}

const noSecondGradient = (d: Value | null | undefined): void =>
  expect(d === null, () => 'the saved deviation is internal to the gradient; it has no gradient of its own')

const layerNormOp: Op<number> = {
  name: 'layerNorm',
  infer: inferNorm,
  emit: (e, [x], { inputs, attrs: eps }) => {
    const ones = e.constant(filled(inputs[0].shape.slice(-1), 1))
    const attrs = { axis: { i: -1 }, epsilon: { f: eps } }
    const [y, , inverse] = e.node('LayerNormalization', [x, ones], { attrs, outputs: 3 })
    return [y, inverse]
  },
  vjp: ([d, dInverse], { outputs: [y, inverse] }) => {
    noSecondGradient(dInverse)
    const centred = sub(d!, reduceMean(d!, [-1], true))
    return [mul(inverse, sub(centred, mul(y, reduceMean(mul(d!, y), [-1], true))))]
  },
  samples: [{ inputs: f32([2, 3, 8]), attrs: 1e-5 }],
}
/** (x − mean)/√(variance + eps) over the last axis. */
export const layerNorm = (x: Value, eps = 1e-5): Value => apply(layerNormOp, [x], eps)

/** 1/√(mean x² + eps) over the last axis. WebGPU's kernel (ORT 1.30) gives something else as its second output. */
const inverseRms = (e: Emitter, x: string, eps: number): string => {
  const one = (...args: Parameters<Emitter['node']>): string => e.node(...args)[0]
  const mean = one('ReduceMean', [one('Mul', [x, x]), e.constant(int64s([-1]))])
  return one('Reciprocal', [one('Sqrt', [one('Add', [mean, e.constant(filled([], eps))])])])
}

const rmsNormOp: Op<number> = {
  name: 'rmsNorm',
  infer: inferNorm,
  // ORT's operator lies in ONNX's own domain, whose specification does not have it.
  emit: (e, [x], { inputs, attrs: eps }) => {
    if (e.target === 'standard') {
      const inverse = inverseRms(e, x, eps)
      return [e.node('Mul', [x, inverse])[0], inverse]
    }
    const ones = e.constant(filled(inputs[0].shape.slice(-1), 1))
    const attrs = { axis: { i: -1 }, epsilon: { f: eps } }
    const outputs = e.target === 'cpu' ? 2 : 1
    const [y, inverse] = e.node('SimplifiedLayerNormalization', [x, ones], { attrs, outputs })
    return [y, inverse ?? inverseRms(e, x, eps)]
  },
  vjp: ([d, dInverse], { outputs: [y, inverse] }) => {
    noSecondGradient(dInverse)
    return [mul(inverse, sub(d!, mul(y, reduceMean(mul(d!, y), [-1], true))))]
  },
  samples: [{ inputs: f32([2, 3, 8]), attrs: 1e-5 }],
}
/** x/√(mean x² + eps) over the last axis. */
export const rmsNorm = (x: Value, eps = 1e-5): Value => apply(rmsNormOp, [x], eps)

/** Group normalisation of [B,C,H,W] without scale and shift: mean 0 and variance 1 over each group of channels. */
export const groupNorm = (x: Value, groups: number, eps = 1e-5): Value => {
  const [B, C, H, W] = x.shape as [number, number, number, number]
  if (C % groups !== 0)
    throw new Error(`groupNorm: ${C} channels of ${showShape(x.shape)} do not form ${groups} groups`)
  return reshape(layerNorm(reshape(x, [B, groups, (C / groups) * H * W]), eps), x.shape)
}

const softmaxOp: Op<null> = {
  name: 'softmax',
  infer: ([x]) => {
    expectDType([x], 'float32')
    return [x]
  },
  emit: onnx('Softmax', { axis: { i: -1 } }),
  vjp: ([d], { outputs: [y] }) => [mul(y, sub(d!, reduceSum(mul(d!, y), [-1], true)))],
  samples: [{ inputs: f32([2, 3, 4]), attrs: null, range: [-3, 3] }],
}
/** eˣ / Σ eˣ over the last axis. */
export const softmax = (x: Value): Value => apply(softmaxOp, [x], null)

/** The op objects of this file. */
export const normOps: readonly Op<unknown>[] = [layerNormOp, rmsNormOp, softmaxOp]
