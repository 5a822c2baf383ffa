/** @file What a case is, and the numbers that all cases draw. */
import { fillNormal, streamKey } from '../src/engine/host/random.ts'
import { float32, floats, type HostTensor, type Shape, zeros } from '../src/engine/host/tensor.ts'
import { forwardFlops } from '../src/engine/ir/cost.ts'
import type { Value } from '../src/engine/ir/graph.ts'
import { flattenSpec, initialParams, type Spec } from '../src/engine/nn/params.ts'
import type { Runtime } from '../src/engine/runtime/runtime.ts'
import { imageOf, type ModelConfig } from '../src/method/config.ts'
import { batchShape } from '../src/method/networks/shapes.ts'

export type Tensors = Readonly<Record<string, HostTensor>>

/** What a peer gets: parameters, inputs and the values it must find, and whatever else decides the work. */
export interface HandOver {
  readonly params: Tensors
  readonly inputs: Tensors
  readonly expected: Tensors
  readonly info: Readonly<Record<string, unknown>>
}

/** Our side of a case, ready to be timed. */
export interface Work {
  /** Of one run: matrix products and convolutions, forwards and (three times that) backwards. */
  readonly gflops: number
  run(): Promise<unknown>
}

/** One row of the benchmark. */
export interface Case {
  readonly name: string
  /** What one run does, for the table. */
  readonly title: string
  /** Does the work once, hands over what it was given and what it found, and returns the work. */
  prepare(runtime: Runtime, handOver: (parts: HandOver) => void): Promise<Work>
}

export const classes = 9
export const seed = 0

/** Parameters none of which is zero, so that every branch of a network counts. */
export const drawnParams = (spec: Spec): Record<string, HostTensor> => {
  const params = initialParams(spec, seed)
  for (const { path, spec: own } of flattenSpec(spec)) {
    const data = params[path].data as Float32Array
    if (own.std > 0) continue
    fillNormal(data, streamKey(seed, 'bench', path))
    for (let i = 0; i < data.length; i++) data[i] *= 0.02
  }
  return params
}

export const normal = (shape: Shape, name: string): HostTensor => {
  const tensor = zeros(shape)
  fillNormal(tensor.data as Float32Array, streamKey(seed, 'bench', name))
  return tensor
}

/** Images [B, 3, H, W] in (−1, 1). */
export const drawnImages = (model: ModelConfig, B: number): HostTensor => {
  const images = normal(batchShape(imageOf(model), B), 'images')
  return float32(images.shape, floats(images).map(Math.tanh))
}

export const gflopsOf = (outputs: Readonly<Record<string, Value>>): number =>
  forwardFlops(Object.values(outputs)) / 1e9
