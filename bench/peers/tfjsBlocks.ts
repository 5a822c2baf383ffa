/** @file Both blocks and the matrix product in TensorFlow.js, on any of its backends. */
import { type HostTensor, type Shape, sizeOf } from '../../src/engine/host/tensor.ts'
import type { Given, PeerWork } from './given.ts'

/** The part of the library that is used. */
interface Tensor {
  readonly shape: readonly number[]
  data(): Promise<Float32Array>
  dispose(): void
}
type Unary = (x: Tensor) => Tensor
type Binary = (a: Tensor, b: Tensor) => Tensor
/** Before and after each axis. */
type Padding = readonly (readonly [number, number])[]
/** The library, of which this is used. */
export interface TensorFlow {
  setBackend(name: string): Promise<boolean>
  getBackend(): string
  readonly version_core: string
  tensor(data: Float32Array, shape: readonly number[]): Tensor
  scalar(x: number): Tensor
  reshape(x: Tensor, shape: readonly number[]): Tensor
  transpose(x: Tensor, axes: readonly number[]): Tensor
  matMul: Binary
  split(x: Tensor, parts: number, axis: number): Tensor[]
  mean(x: Tensor, axis: number | readonly number[], keepDims: boolean): Tensor
  conv2d(x: Tensor, w: Tensor, stride: number, pad: 'same' | Padding): Tensor
  conv2dTranspose(d: Tensor, w: Tensor, shape: readonly number[], stride: number, pad: 'same'): Tensor
  sum: Unary
  square: Unary
  rsqrt: Unary
  sigmoid: Unary
  softmax: Unary
  add: Binary
  sub: Binary
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

/**
 * A convolution of [B, H, W, C] by 3×3 kernels [3, 3, C, O]. The wasm backend has no kernel for its gradient by the kernel
 * (Conv2DBackpropFilter): dw[i, j, c, o] = Σ x[b, h + i − 1, w + j − 1, c]·d[b, h, w, o] is a convolution itself, with batch and
 * channels exchanged, for which it has one.
 */
const convOf = (tf: TensorFlow): Binary =>
  tf.customGrad((x, w, save) => {
    save([x, w])
    return {
      value: tf.conv2d(x, w, 1, 'same'),
      gradFunc: (d, [image, kernel]) => {
        const [exchanged, window] = [tf.transpose(image, [3, 1, 2, 0]), tf.transpose(d, [1, 2, 0, 3])]
        const [none, one] = [[0, 0] as const, [1, 1] as const]
        return [
          tf.conv2dTranspose(d, kernel, image.shape, 1, 'same'),
          tf.transpose(tf.conv2d(exchanged, window, 1, [none, one, one, none]), [1, 2, 0, 3]),
        ]
      },
    }
  })

/** The unconditioned block of src/engine/nn/layers.ts on x [B, H, W, C]. */
const residualBlock = (tf: TensorFlow, p: Readonly<Record<string, Tensor>>): Tensor => {
  const [B, H, W, C] = p.x.shape as [number, number, number, number]
  const groups = Math.max(1, Math.min(32, Math.floor(C / 8)))
  const conv = convOf(tf)
  const [small, one] = [tf.scalar(epsilon), tf.scalar(1)]
  const byChannel = (name: string): Tensor => tf.reshape(p[`block.${name}`], [C])
  const normSilu = (v: Tensor, name: string): Tensor => {
    const grouped = tf.reshape(v, [B, H * W, groups, C / groups])
    const centred = tf.sub(grouped, tf.mean(grouped, [1, 3], true))
    const scaled = tf.mul(centred, tf.rsqrt(tf.add(tf.mean(tf.square(centred), [1, 3], true), small)))
    const y = tf.add(
      tf.mul(tf.reshape(scaled, v.shape), tf.add(byChannel(`${name}.scale`), one)),
      byChannel(`${name}.shift`),
    )
    return tf.mul(y, tf.sigmoid(y))
  }
  const hidden = conv(normSilu(p.x, 'norm1'), p['block.conv1'])
  return tf.add(p.x, conv(normSilu(hidden, 'norm2'), p['block.conv2']))
}

/** The axes of ours in the order in which they lie here: channels of images last, sides of kernels first. */
const ownAxes = (name: string, shape: Shape): readonly number[] =>
  shape.length < 4 ? [...shape.keys()] : name === 'x' ? [0, 2, 3, 1] : [2, 3, 1, 0]

const transposed = (values: Float32Array, shape: Shape, axes: readonly number[]): Float32Array => {
  const own = axes.map((axis) => shape[axis])
  const strides = axes.map((axis) => sizeOf(shape.slice(axis + 1)))
  return values.map((_, i) => {
    let [rest, from] = [i, 0]
    for (let k = own.length - 1; k >= 0; k--) {
      from += (rest % own[k]) * strides[k]
      rest = Math.floor(rest / own[k])
    }
    return values[from]
  })
}

const gradients = (tf: TensorFlow, given: Given): PeerWork => {
  const { embedding: told, ...rest } = { ...given.inputs, ...given.params }
  const names = Object.keys(rest)
  const place = ([name, { data, shape }]: readonly [string, HostTensor]): Tensor => {
    const axes = ownAxes(name, shape)
    return tf.tensor(
      transposed(data as Float32Array, shape, axes),
      axes.map((axis) => shape[axis]),
    )
  }
  const own = Object.entries(rest).map(place)
  const embedding = told === undefined ? undefined : place(['embedding', told])
  const start = tf.valueAndGrads((...xs) => {
    const p = Object.fromEntries(names.map((name, i) => [name, xs[i]]))
    const y = embedding === undefined ? residualBlock(tf, p) : block(tf, { ...p, embedding }, given.headWidth)
    return tf.sum(tf.square(y))
  })
  return {
    run: async () => {
      const { value, grads } = start(own)
      const found: Record<string, Float32Array> = { loss: await value.data() }
      for (const [i, name] of names.entries()) found[`gradient/${name}`] = await grads[i].data()
      for (const tensor of [value, ...grads]) tensor.dispose()
      return found
    },
    inOurOrder: (found) => {
      const ours = names.map((name) => {
        const { shape } = rest[name]
        const axes = ownAxes(name, shape)
        const back = [...axes.keys()].map((axis) => axes.indexOf(axis))
        const own = axes.map((axis) => shape[axis])
        return [`gradient/${name}`, transposed(found[`gradient/${name}`], own, back)] as const
      })
      return { ...found, ...Object.fromEntries(ours) }
    },
  }
}

/** The work of a case. */
export const tfjsWork = (tf: TensorFlow, given: Given): PeerWork => {
  if (given.kind !== 'matmul') return gradients(tf, given)
  const { a, b } = given.inputs
  return {
    run: async () => {
      const [left, right] = [a, b].map(({ data, shape }) => tf.tensor(data as Float32Array, shape))
      const y = tf.matMul(left, right)
      const output = await y.data()
      for (const tensor of [left, right, y]) tensor.dispose()
      return { output }
    },
    inOurOrder: (found) => found,
  }
}
