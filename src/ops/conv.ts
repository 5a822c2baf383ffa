/**
 * @file 2-D convolution (stride 1, "same" padding, odd kernels) with its gradients, and the moves between space and
 * depth that replace strided convolutions. Layout [B, C, H, W].
 */
import { type HostTensor, type Shape, showShape, sizeOf } from '../host/tensor.ts'
import { apply, type Emitter, expect, expectDType, type Node, type Op, type Value } from '../ir/graph.ts'
import { f32, filled, int64s } from './emit.ts'

const samePads = (kernel: Shape): number[] => [...kernel, ...kernel].map((k) => (k - 1) / 2)

const conv2dOp: Op<null> = {
  name: 'conv2d',
  infer: ([x, w]) => {
    expectDType([x!, w!], 'float32')
    expect(x!.shape.length === 4 && w!.shape.length === 4, () => 'conv2d takes x [B,C,H,W] and w [O,C,kh,kw]')
    const [B, C, H, W] = x!.shape as [number, number, number, number]
    const [O, C2, kh, kw] = w!.shape as [number, number, number, number]
    expect(C === C2, () => `x has ${C} channels, the kernel ${showShape(w!.shape)} expects ${C2}`)
    expect(kh % 2 === 1 && kw % 2 === 1, () => `"same" padding needs odd kernels, found ${kh}×${kw}`)
    return [{ shape: [B, O, H, W], dtype: 'float32' }]
  },
  emit: (e, inputs, { inputs: [, w] }) => {
    const kernel = w!.shape.slice(2)
    return e.node('Conv', inputs, { attrs: { kernel_shape: { is: kernel }, pads: { is: samePads(kernel) } } })
  },
  vjp: ([d], { inputs: [x, w] }) => [
    conv2d(d!, adjointKernel(w!)),
    convKernelGrad(x!, d!, w!.shape.slice(2)),
  ],
  flops: ({ inputs: [, w], outputs: [y] }) => 2 * sizeOf(y!.shape) * sizeOf(w!.shape.slice(1)),
  samples: [
    { inputs: f32([2, 3, 4, 5], [2, 3, 3, 3]), attrs: null },
    { inputs: f32([2, 3, 4, 4], [5, 3, 1, 1]), attrs: null },
    { inputs: f32([1, 2, 6, 5], [3, 2, 5, 3]), attrs: null },
  ],
}
/** x [B,C,H,W] convolved with w [O,C,kh,kw] to [B,O,H,W]. */
export const conv2d = (x: Value, w: Value): Value => apply(conv2dOp, [x, w], null)

/** Reverses the order of n columns when multiplied from the right. */
const reversal = (n: number): HostTensor => {
  const tensor = filled([n, n], 0)
  for (let i = 0; i < n; i++) (tensor.data as Float32Array)[i * n + n - 1 - i] = 1
  return tensor
}

const adjointKernelOp: Op<null> = {
  name: 'adjointKernel',
  infer: ([w]) => {
    const [O, C, kh, kw] = w!.shape as [number, number, number, number]
    return [{ shape: [C, O, kh, kw], dtype: 'float32' }]
  },
  // The taps are turned by a product with a permutation: ten times faster than a Slice with negative steps.
  emit: (e, [w], { inputs }) => {
    const [O, C, kh, kw] = inputs[0]!.shape as [number, number, number, number]
    const taps = kh * kw
    const [flat] = e.node('Reshape', [w!, e.constant(int64s([O * C, taps]))])
    const [turned] = taps === 1 ? [flat] : e.node('MatMul', [flat!, e.constant(reversal(taps))])
    const [split] = e.node('Reshape', [turned!, e.constant(int64s([O, C, taps]))])
    const [swapped] = e.node('Transpose', [split!], { attrs: { perm: { is: [1, 0, 2] } } })
    return e.node('Reshape', [swapped!, e.constant(int64s([C, O, kh, kw]))])
  },
  vjp: ([d]) => [adjointKernel(d!)],
  samples: [
    { inputs: f32([2, 3, 3, 5]), attrs: null },
    { inputs: f32([2, 3, 1, 1]), attrs: null },
  ],
}
/** The kernel of the transposed convolution: taps reversed, channels swapped, [O,C,kh,kw] → [C,O,kh,kw]. */
export const adjointKernel = (w: Value): Value => apply(adjointKernelOp, [w], null)

/**
 * Above this many channels one product per tap beats building all taps' columns first: the columns no longer fit the
 * cache (measured by `npm run bench`).
 */
const columnsUpToChannels = 32

/**
 * Both pictures get rows of W + kw − 1, x with zeros all around and d with zeros at the right. A tap of the kernel is
 * then one contiguous run of x's flat rows, and the zeros of d cancel what wraps around: copying runs of H·(W + kw − 1)
 * numbers is several times faster than cutting H rows of W out for each tap.
 */
const emitKernelGrad = (e: Emitter, [x, d]: readonly string[], node: Node<Shape>): readonly string[] => {
  const [B, C, H, W] = node.inputs[0]!.shape as [number, number, number, number]
  const O = node.inputs[1]!.shape[1]!
  const [kh, kw] = node.attrs as [number, number]
  const taps = kh * kw
  const row = W + kw - 1
  const one = (...args: Parameters<Emitter['node']>): string => e.node(...args)[0]!
  const shape = (...dims: number[]): string => e.constant(int64s(dims))
  const pad = (v: string, top: number, left: number, bottom: number, right: number): string =>
    taps === 1 ? v : one('Pad', [v, shape(0, 0, top, left, 0, 0, bottom, right)])
  const [ph, pw] = [(kh - 1) / 2, (kw - 1) / 2]
  // One more row at the bottom, because the last tap's run ends kw − 1 numbers past the padded picture.
  const xFlat = one('Reshape', [pad(x!, ph, pw, ph + 1, pw), shape(B, C, -1)])
  const dFlat = one('Reshape', [pad(d!, 0, 0, 0, kw - 1), shape(B, O, H * row)])
  const runs = Array.from({ length: taps }, (_, tap) => {
    const start = Math.floor(tap / kw) * row + (tap % kw)
    return taps === 1 ? xFlat : one('Slice', [xFlat, shape(start), shape(start + H * row), shape(2)]) // [B, C, H·row]
  })
  const columns =
    C <= columnsUpToChannels && taps > 1 ? [one('Concat', runs, { attrs: { axis: { i: 1 } } })] : runs
  const parts = columns.map((c) => {
    const product = one('FusedMatMul', [dFlat, c], { attrs: { transB: { i: 1 } }, domain: 'com.microsoft' }) // [B, O, …C]
    // Summed over the batch by a product with ones, four times faster than ReduceSum over the first axis.
    const flat = one('Reshape', [product, shape(B, -1)])
    return one('Reshape', [one('MatMul', [e.constant(filled([1, B], 1)), flat]), shape(O, -1)])
  })
  const joined = parts.length === 1 ? parts[0]! : one('Concat', parts, { attrs: { axis: { i: 1 } } }) // [O, taps·C]
  const byTap = one('Reshape', [joined, shape(O, taps, C)])
  const byChannel = one('Transpose', [byTap], { attrs: { perm: { is: [0, 2, 1] } } })
  return [one('Reshape', [byChannel, shape(O, C, kh, kw)])]
}

const convKernelGradOp: Op<Shape> = {
  name: 'convKernelGrad',
  infer: ([x, d], kernel) => {
    expectDType([x!, d!], 'float32')
    return [{ shape: [d!.shape[1]!, x!.shape[1]!, ...kernel], dtype: 'float32' }]
  },
  emit: emitKernelGrad,
  vjp: ([dd], { inputs: [x, d] }) => [
    conv2d(d!, adjointKernel(dd!)),
    conv2d(x!, dd!),
  ],
  flops: ({ inputs: [x, d], attrs }) => 2 * sizeOf(d!.shape) * x!.shape[1]! * sizeOf(attrs),
  samples: [
    { inputs: f32([2, 3, 4, 5], [2, 2, 4, 5]), attrs: [3, 3] },
    { inputs: f32([2, 40, 3, 2], [2, 2, 3, 2]), attrs: [3, 3] },
    { inputs: f32([2, 3, 4, 4], [2, 5, 4, 4]), attrs: [1, 1] },
  ],
}
/**
 * Gradient of conv2d with respect to its kernel, from x [B,C,H,W] and the output's cotangent d [B,O,H,W]. ORT has no
 * such operator; one large Conv runs at half the rate of these products of shifted pictures.
 */
export const convKernelGrad = (x: Value, d: Value, kernel: Shape): Value =>
  apply(convKernelGradOp, [x, d], kernel)

const spaceToDepthOp: Op<number> = {
  name: 'spaceToDepth',
  infer: ([x], block) => {
    const [B, C, H, W] = x!.shape as [number, number, number, number]
    expect(H % block === 0 && W % block === 0, () => `${H}×${W} is not divisible by ${block}`)
    return [{ shape: [B, C * block * block, H / block, W / block], dtype: x!.dtype }]
  },
  emit: (e, inputs, { attrs }) => e.node('SpaceToDepth', inputs, { attrs: { blocksize: { i: attrs } } }),
  vjp: ([d], { attrs }) => [depthToSpace(d!, attrs)],
  samples: [{ inputs: f32([2, 3, 4, 6]), attrs: 2 }],
}
/** Moves block×block patches into channels: [B,C,H,W] → [B, block²·C, H/block, W/block], channel (dy, dx, c). */
export const spaceToDepth = (x: Value, block: number): Value => apply(spaceToDepthOp, [x], block)

const depthToSpaceOp: Op<number> = {
  name: 'depthToSpace',
  infer: ([x], block) => {
    const [B, C, H, W] = x!.shape as [number, number, number, number]
    expect(C % (block * block) === 0, () => `${C} channels are not divisible by ${block}²`)
    return [{ shape: [B, C / (block * block), H * block, W * block], dtype: x!.dtype }]
  },
  emit: (e, inputs, { attrs }) =>
    e.node('DepthToSpace', inputs, { attrs: { blocksize: { i: attrs }, mode: { s: 'DCR' } } }),
  vjp: ([d], { attrs }) => [spaceToDepth(d!, attrs)],
  samples: [{ inputs: f32([2, 12, 2, 3]), attrs: 2 }],
}
/** Inverse of spaceToDepth. */
export const depthToSpace = (x: Value, block: number): Value => apply(depthToSpaceOp, [x], block)

export const ops: readonly Op<unknown>[] = [conv2dOp, adjointKernelOp, convKernelGradOp, spaceToDepthOp, depthToSpaceOp]
