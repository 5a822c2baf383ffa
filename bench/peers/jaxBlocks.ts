/** @file Both blocks and the matrix product in jax-js, compiled by its jit, wherever it runs. */
import type { Given, PeerWork } from './given.ts'

/** The part of the library that is used. A function takes its arrays over; `ref` is one more reference to an array. */
interface Arr {
  readonly ref: Arr
  readonly shape: number[]
  add(other: Arr | number): Arr
  sub(other: Arr | number): Arr
  mul(other: Arr | number): Arr
  reshape(shape: readonly number[]): Arr
  transpose(axes: readonly number[]): Arr
  data(): Promise<Float32Array>
  dispose(): void
}
type Arrays = Record<string, Arr>

/** The library, of which this is used. */
export interface Jax {
  init(device: string): Promise<unknown>
  defaultDevice(device: string): string
  jit<F>(f: F): F
  valueAndGrad(f: (p: Arrays, rest: Arrays) => Arr): (p: Arrays, rest: Arrays) => [Arr, Arrays]
  readonly numpy: {
    array(data: Float32Array): Arr
    matmul(a: Arr, b: Arr): Arr
    square(x: Arr): Arr
    sum(x: Arr): Arr
    sqrt(x: Arr): Arr
    reciprocal(x: Arr): Arr
    mean(x: Arr, axis: number, options: { keepdims: boolean }): Arr
    split(x: Arr, parts: number, axis: number): Arr[]
  }
  readonly nn: { silu(x: Arr): Arr; softmax(x: Arr, axis: number): Arr }
  readonly lax: { conv(x: Arr, w: Arr, strides: readonly number[], padding: string): Arr }
}

const epsilon = 1e-5

const layersOf = ({ numpy: np, nn, lax }: Jax) => {
  const overRoot = (x: Arr, variance: Arr): Arr => x.mul(np.reciprocal(np.sqrt(variance.add(epsilon))))
  const meanSquare = (x: Arr): Arr => np.mean(np.square(x), -1, { keepdims: true })
  const rms = (x: Arr): Arr => overRoot(x.ref, meanSquare(x))

  /** The block of src/engine/nn/transformer.ts. */
  const attentionBlock = (p: Arrays, embedding: Arr, headWidth: number): Arr => {
    const [B, N, D] = p.x.shape as [number, number, number]
    const linear = (v: Arr, name: string): Arr =>
      np.matmul(v, p[`block.${name}.weight`]).add(p[`block.${name}.bias`])
    const [scale, shift] = np.split(linear(embedding, 'film').reshape([B, 1, 2 * D]), 2, 2)
    const h = rms(p.x.ref)
      .mul(scale.add(1))
      .add(shift)
      .reshape([B * N, D])
    const heads = (v: Arr, axes: readonly number[]): Arr =>
      v.reshape([B, N, D / headWidth, headWidth]).transpose(axes)
    const q = heads(rms(np.matmul(h.ref, p['block.query'])), [0, 2, 1, 3])
    const k = heads(rms(np.matmul(h.ref, p['block.key'])), [0, 2, 3, 1])
    const v = heads(np.matmul(h.ref, p['block.value']), [0, 2, 1, 3])
    const weights = nn.softmax(np.matmul(q, k).mul(headWidth ** -0.5), -1)
    const mixed = np
      .matmul(weights, v)
      .transpose([0, 2, 1, 3])
      .reshape([B * N, D])
    const attended = np.matmul(mixed, p['block.attended'])
    const mlp = np.matmul(nn.silu(linear(h, 'hidden')), p['block.out'])
    return p.x.add(attended.add(mlp).reshape([B, N, D]))
  }

  const normSilu = (p: Arrays, name: string, x: Arr): Arr => {
    const { shape } = x
    const [B, C, H, W] = shape as [number, number, number, number]
    const groups = Math.max(1, Math.min(32, Math.floor(C / 8)))
    const rows = x.reshape([B, groups, (C / groups) * H * W])
    const centred = rows.ref.sub(np.mean(rows, -1, { keepdims: true }))
    const normed = overRoot(centred.ref, meanSquare(centred)).reshape(shape)
    return nn.silu(normed.mul(p[`block.${name}.scale`].add(1)).add(p[`block.${name}.shift`]))
  }
  const conv = (x: Arr, w: Arr): Arr => lax.conv(x, w, [1, 1], 'SAME')

  /** The unconditioned residual block of src/engine/nn/layers.ts. */
  const residualBlock = (p: Arrays): Arr => {
    const hidden = conv(normSilu(p, 'norm1', p.x.ref), p['block.conv1'])
    return p.x.add(conv(normSilu(p, 'norm2', hidden), p['block.conv2']))
  }
  return { attentionBlock, residualBlock }
}

const finish = async (arrays: Arrays): Promise<Record<string, Float32Array>> => {
  const found: Record<string, Float32Array> = {}
  for (const [name, array] of Object.entries(arrays)) found[name] = await array.data()
  return found
}

const gradients = (jax: Jax, given: Given, place: (name: string) => Arr) => {
  const { attentionBlock, residualBlock } = layersOf(jax)
  const isAttention = given.headWidth > 0
  const step = jax.jit(
    jax.valueAndGrad((p, { embedding }) =>
      jax.numpy.sum(
        jax.numpy.square(isAttention ? attentionBlock(p, embedding, given.headWidth) : residualBlock(p)),
      ),
    ),
  )
  const p = Object.fromEntries(['x', ...Object.keys(given.params)].map((name) => [name, place(name)]))
  const rest: Arrays = isAttention ? { embedding: place('embedding') } : {}
  const referTo = (arrays: Arrays): Arrays =>
    Object.fromEntries(Object.entries(arrays).map(([name, array]) => [name, array.ref]))
  return (): Promise<Record<string, Float32Array>> => {
    const [loss, grads] = step(referTo(p), referTo(rest))
    const named = Object.entries(grads).map(([name, array]) => [`gradient/${name}`, array] as const)
    return finish({ loss, ...Object.fromEntries(named) })
  }
}

const asTheyAre = (run: PeerWork['run']): PeerWork => ({ run, inOurOrder: (found) => found })

/** The work of a case. */
export const jaxWork = (jax: Jax, given: Given): PeerWork => {
  const tensors = { ...given.inputs, ...given.params }
  const place = (name: string): Arr => {
    const { data, shape } = tensors[name]
    return jax.numpy.array(data as Float32Array).reshape(shape)
  }
  if (given.kind !== 'matmul') return asTheyAre(gradients(jax, given, place))
  const [a, b] = [place('a'), place('b')]
  return asTheyAre(() => finish({ output: jax.numpy.matmul(a.ref, b.ref) }))
}
