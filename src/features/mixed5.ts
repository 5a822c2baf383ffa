/**
 * @file The feature network that needs no download: Inception v3 up to its layer "mixed5", as an ONNX file.
 *
 * Its distances (FD-mixed5) rank images of one kind, but are no FID: other layer, other weights, other input size.
 */
import { mkdirSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { defaultCacheDir } from '../data/images/packed.ts'
import { float32, floats, type HostTensor } from '../engine/host/tensor.ts'
import { plainModel } from '../engine/onnx/plain.ts'
import type { OnnxNode } from '../engine/onnx/proto.ts'
import { writeFileAtomic } from '../files/atomic.ts'
import { type Sidecar, sidecarPath } from './sidecar.ts'
import { type KerasLayer, type KerasModel, readKerasModel } from './tfjsPackage.ts'

const lastLayer = 'mixed5'
const channels = 768

/** At 128×128 an image takes 8 ms on two cores, and images of 32 to 256 pixels keep what they show. */
const sidecar: Sidecar = {
  name: 'FD-mixed5',
  height: 128,
  width: 128,
  resize: 'bicubic-antialias',
  layout: 'nchw',
  channels: 'rgb',
  range: [0, 1],
  output: 'features',
  batch: 16,
}

/** Where the evaluation looks for the network when none is named. */
export const defaultFeatureFile = (): string => join(defaultCacheDir(), 'fd-mixed5.onnx')

/** A layer's setting. @throws when it is not what the conversion covers. */
const setting = <T>(layer: KerasLayer, key: string, covered: (value: unknown) => value is T): T => {
  const value = layer.config[key]
  if (covered(value)) return value
  throw new Error(`features: layer ${layer.name} has ${key} ${JSON.stringify(value)}, which is not covered`)
}

const isPair = (v: unknown): v is [number, number] => Array.isArray(v) && v.length === 2
const isPadding = (v: unknown): v is 'same' | 'valid' => v === 'same' || v === 'valid'
const isNumber = (v: unknown): v is number => typeof v === 'number'

/** Window, strides and padding of a convolution or pool. "same" is symmetric for odd windows that move by 1. */
const windowOf = (layer: KerasLayer, sizeKey: 'kernel_size' | 'pool_size') => {
  const size = setting(layer, sizeKey, isPair)
  const strides = setting(layer, 'strides', isPair)
  const same = setting(layer, 'padding', isPadding) === 'same'
  if (same && (strides.some((s) => s !== 1) || size.some((k) => k % 2 === 0))) {
    throw new Error(`features: layer ${layer.name} pads unevenly, which is not covered`)
  }
  const pads = [...size, ...size].map((k) => (same ? (k - 1) / 2 : 0))
  return { kernel_shape: { is: size }, strides: { is: strides }, pads: { is: pads } }
}

/** Kernel [kh, kw, in, out] → [out, in, kh, kw], normalisation folded in: w/√(v + ε), bias β − mean/√(v + ε). */
const foldNormalisation = (
  { weight }: KerasModel,
  convolution: string,
  normalisation: KerasLayer,
): { readonly kernel: HostTensor; readonly bias: HostTensor } => {
  const part = (name: string): Float32Array => floats(weight(`${normalisation.name}/${name}`))
  const [beta, mean, variance] = [part('beta'), part('moving_mean'), part('moving_variance')]
  const epsilon = setting(normalisation, 'epsilon', isNumber)
  const scale = Float64Array.from(variance, (v) => 1 / Math.sqrt(v + epsilon))
  const { shape, data } = weight(`${convolution}/kernel`)
  const [kh, kw, I, O] = shape
  const kernel = new Float32Array(data.length)
  for (let at = 0; at < data.length; at++) {
    const o = at % O
    const i = Math.floor(at / O) % I
    const position = Math.floor(at / (O * I))
    kernel[(o * I + i) * kh * kw + position] = (data as Float32Array)[at] * scale[o]
  }
  return {
    kernel: float32([O, I, kh, kw], kernel),
    bias: float32(
      [O],
      Float32Array.from(beta, (b, o) => b - mean[o] * scale[o]),
    ),
  }
}

/** The ONNX model: input "images" [N, 3, 128, 128] in 0 … 1, output "features" [N, 768], the means of mixed5's maps. */
const convert = (model: KerasModel): Uint8Array => {
  const byName = new Map(model.layers.map((layer) => [layer.name, layer]))
  const nodes: OnnxNode[] = []
  const constants: Record<string, HostTensor> = {}
  const end = model.layers.findIndex(({ name }) => name === lastLayer)
  const put = (layer: KerasLayer, opType: string, inputs: readonly string[], attrs: OnnxNode['attrs'] = {}) =>
    nodes.push({ name: layer.name, opType, inputs, outputs: [layer.name], attrs })
  for (const layer of model.layers.slice(0, end + 1)) {
    const { kind, inputs } = layer
    if (kind === 'InputLayer')
      nodes.push({ name: 'input', opType: 'Identity', inputs: ['images'], outputs: [layer.name] })
    else if (kind === 'BatchNormalization') {
      const convolution = byName.get(inputs[0])
      if (convolution?.kind !== 'Conv2D') throw new Error(`features: ${layer.name} follows no convolution`)
      const { kernel, bias } = foldNormalisation(model, convolution.name, layer)
      constants[`${layer.name}.kernel`] = kernel
      constants[`${layer.name}.bias`] = bias
      const reads = [convolution.inputs[0], `${layer.name}.kernel`, `${layer.name}.bias`]
      put(layer, 'Conv', reads, windowOf(convolution, 'kernel_size'))
    } else if (kind === 'Activation') put(layer, 'Relu', inputs)
    else if (kind === 'MaxPooling2D') put(layer, 'MaxPool', inputs, windowOf(layer, 'pool_size'))
    else if (kind === 'AveragePooling2D') {
      put(layer, 'AveragePool', inputs, { ...windowOf(layer, 'pool_size'), count_include_pad: { i: 0 } })
    } else if (kind === 'Concatenate') put(layer, 'Concat', inputs, { axis: { i: 1 } })
    // A convolution is written by the normalisation behind it.
    else if (kind !== 'Conv2D')
      throw new Error(`features: layer ${layer.name} is a ${kind}, which is not covered`)
  }
  nodes.push({ name: 'pool', opType: 'GlobalAveragePool', inputs: [lastLayer], outputs: ['pooled'] })
  nodes.push({ name: 'flatten', opType: 'Flatten', inputs: ['pooled'], outputs: ['features'] })
  return plainModel({
    name: 'fd-mixed5',
    inputs: [{ name: 'images', dtype: 'float32', shape: ['N', 3, sidecar.height, sidecar.width] }],
    outputs: [{ name: 'features', dtype: 'float32', shape: ['N', channels] }],
    nodes,
    constants,
  })
}

/**
 * Writes FD-mixed5's network and its sidecar, out of the installed package nsfwjs (MIT; its authors fine-tuned layers
 * behind mixed5 only, so up to there it is the ImageNet network but for 8-bit weights).
 * @returns the path of the ONNX file
 * @throws how to install the package when it is missing
 */
export const buildMixed5 = (out: string = defaultFeatureFile()): string => {
  const bytes = convert(readKerasModel())
  const path = resolve(out)
  mkdirSync(dirname(path), { recursive: true })
  writeFileAtomic(sidecarPath(path), `${JSON.stringify(sidecar, null, 2)}\n`)
  writeFileAtomic(path, bytes)
  return path
}
