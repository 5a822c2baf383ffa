/** @file TensorFlow.js on its WebAssembly backend: the transformer block and the matrix product. */
import { readSafetensors } from '../../src/files/safetensors.ts'
import type { Served } from '../peer.ts'
import { requirePeer } from '../peers.ts'
import { type Given, readGiven, relativeErrors } from './given.ts'

/** The part of the library that is used. */
interface Tensor {
  readonly shape: readonly number[]
  data(): Promise<Float32Array>
  dispose(): void
}
type Unary = (x: Tensor) => Tensor
type Binary = (a: Tensor, b: Tensor) => Tensor
interface TensorFlow {
  setBackend(name: string): Promise<boolean>
  readonly version_core: string
  tensor(data: Float32Array, shape: readonly number[]): Tensor
  scalar(x: number): Tensor
  reshape(x: Tensor, shape: readonly number[]): Tensor
  transpose(x: Tensor, axes: readonly number[]): Tensor
  matMul: Binary
  split(x: Tensor, parts: number, axis: number): Tensor[]
  mean(x: Tensor, axis: number, keepDims: boolean): Tensor
  sum: Unary
  square: Unary
  rsqrt: Unary
  sigmoid: Unary
  softmax: Unary
  add: Binary
  mul: Binary
  customGrad(
    f: (
      a: Tensor,
      b: Tensor,
      save: (tensors: readonly Tensor[]) => void,
    ) => {
      readonly value: Tensor
      readonly gradFunc: (d: Tensor, saved: readonly Tensor[]) => readonly Tensor[]
    },
  ): Binary
  valueAndGrads(
    f: (...xs: Tensor[]) => Tensor,
  ): (xs: readonly Tensor[]) => { readonly value: Tensor; readonly grads: readonly Tensor[] }
}

const epsilon = 1e-5

/**
 * The library's own gradient of matMul lets the kernel read operands transposed, which takes ten times longer than to
 * transpose them first.
 */
const productOf = (tf: TensorFlow): Binary => {
  const turned: Unary = (x) => {
    const rank = x.shape.length
    return tf.transpose(x, [...Array(rank - 2).keys(), rank - 1, rank - 2])
  }
  return tf.customGrad((a, b, save) => {
    save([a, b])
    return {
      value: tf.matMul(a, b),
      gradFunc: (d, [left, right]) => [tf.matMul(d, turned(right)), tf.matMul(turned(left), d)],
    }
  })
}

/** The block of src/engine/nn/transformer.ts with parameters by path. */
const block = (tf: TensorFlow, p: Readonly<Record<string, Tensor>>, headWidth: number): Tensor => {
  const x = p.x
  const [B, N, D] = x.shape as [number, number, number]
  const product = productOf(tf)
  const small = tf.scalar(epsilon)
  const one = tf.scalar(1)
  const flat: Unary = (v) => tf.reshape(v, [-1, v.shape.at(-1)!])
  const rms: Unary = (v) => tf.mul(v, tf.rsqrt(tf.add(tf.mean(tf.square(v), -1, true), small)))
  const silu: Unary = (v) => tf.mul(v, tf.sigmoid(v))
  const linear = (v: Tensor, name: string): Tensor =>
    tf.add(product(v, p[`block.${name}.weight`]), p[`block.${name}.bias`])
  const [scale, shift] = tf.split(tf.reshape(linear(p.embedding, 'film'), [B, 1, 2 * D]), 2, 2)
  const h = flat(tf.add(tf.mul(rms(x), tf.add(scale, one)), shift)) // [B·N, D]
  const heads = (v: Tensor, axes: readonly number[]): Tensor =>
    tf.transpose(tf.reshape(v, [B, N, D / headWidth, headWidth]), axes)
  const q = heads(rms(product(h, p['block.query'])), [0, 2, 1, 3]) // [B, heads, N, d]
  const k = heads(rms(product(h, p['block.key'])), [0, 2, 3, 1]) // [B, heads, d, N]
  const v = heads(product(h, p['block.value']), [0, 2, 1, 3])
  const logits = tf.mul(product(q, k), tf.scalar(headWidth ** -0.5))
  const mixed = flat(tf.reshape(tf.transpose(product(tf.softmax(logits), v), [0, 2, 1, 3]), [B, N, D]))
  const attended = product(mixed, p['block.attended'])
  const mlp = product(silu(linear(h, 'hidden')), p['block.out'])
  return tf.add(x, tf.reshape(tf.add(attended, mlp), [B, N, D]))
}

const gradients = (tf: TensorFlow, given: Given): (() => Promise<Record<string, Float32Array>>) => {
  const entries = Object.entries({ ...given.inputs, ...given.params })
  const names = entries.map(([name]) => name)
  const tensors = entries.map(([, { data, shape }]) => tf.tensor(data as Float32Array, shape))
  const embedding = names.indexOf('embedding')
  const wanted = names.filter((name) => name !== 'embedding')
  const start = tf.valueAndGrads((...xs) => {
    const p = Object.fromEntries(wanted.map((name, i) => [name, xs[i]]))
    return tf.sum(tf.square(block(tf, { ...p, embedding: tensors[embedding] }, given.headWidth)))
  })
  const own = wanted.map((name) => tensors[names.indexOf(name)])
  return async () => {
    const { value, grads } = start(own)
    const found: Record<string, Float32Array> = { loss: await value.data() }
    for (const [i, name] of wanted.entries()) found[`gradient/${name}`] = await grads[i].data()
    for (const tensor of [value, ...grads]) tensor.dispose()
    return found
  }
}

/** Loads a case and does it once. */
export const serveTfjs = async (path: string): Promise<Served> => {
  const tf = requirePeer('@tensorflow/tfjs') as TensorFlow
  requirePeer('@tensorflow/tfjs-backend-wasm')
  await tf.setBackend('wasm')
  const given = readGiven(readSafetensors(path))
  const { a, b } = given.inputs
  const product = async (): Promise<Record<string, Float32Array>> => {
    const [left, right] = [a, b].map(({ data, shape }) => tf.tensor(data as Float32Array, shape))
    const y = tf.matMul(left, right)
    const output = await y.data()
    for (const tensor of [left, right, y]) tensor.dispose()
    return { output }
  }
  const run = given.kind === 'matmul' ? product : gradients(tf, given)
  const errors = relativeErrors(await run(), given.expected)
  return { errors, description: `TensorFlow.js ${tf.version_core}, wasm, 1 thread`, run }
}
