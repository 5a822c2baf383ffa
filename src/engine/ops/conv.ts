/**
 * @file 2-D convolution (stride 1, "same" padding, odd kernels) with its gradients, and the moves between space and
 * depth that replace strided convolutions. Layout [B, C, H, W].
 */
import { type HostTensor, type Shape, showShape, sizeOf } from '../host/tensor.ts'
import { bytesOf } from '../ir/cost.ts'
import { apply, type Emitter, expect, expectDType, type Node, type Op, type Value } from '../ir/graph.ts'
import { cut, emitProduct, f32, filled, int64s } from './emit.ts'

const samePads = (kernel: Shape): number[] => [...kernel, ...kernel].map((k) => (k - 1) / 2)

const conv2dOp: Op<null> = {
  name: 'conv2d',
  infer: ([x, w]) => {
    expectDType([x, w], 'float32')
    expect(x.shape.length === 4 && w.shape.length === 4, () => 'conv2d takes x [B,C,H,W] and w [O,C,kh,kw]')
    const [B, C, H, W] = x.shape as [number, number, number, number]
    const [O, C2, kh, kw] = w.shape as [number, number, number, number]
    expect(C === C2, () => `x has ${C} channels, the kernel ${showShape(w.shape)} expects ${C2}`)
    expect(kh % 2 === 1 && kw % 2 === 1, () => `"same" padding needs odd kernels, found ${kh}×${kw}`)
    return [{ shape: [B, O, H, W], dtype: 'float32' }]
  },
  emit: (e, [x, w], { inputs: [, kernels] }) => {
    const kernel = kernels.shape.slice(2)
    const attrs = { kernel_shape: { is: kernel }, pads: { is: samePads(kernel) } }
    return [e.product('Conv', [x, w], { attrs })]
  },
  vjp: ([d], { inputs: [x, w] }) => [conv2d(d!, adjointKernel(w)), convKernelGrad(x, d!, w.shape.slice(2))],
  flops: ({ inputs: [, w], outputs: [y] }) => 2 * sizeOf(y.shape) * sizeOf(w.shape.slice(1)),
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
  alias: 'maybe',
  infer: ([w]) => {
    const [O, C, kh, kw] = w.shape as [number, number, number, number]
    return [{ shape: [C, O, kh, kw], dtype: 'float32' }]
  },
  // The taps are turned by a product with a permutation: ten times faster than a Slice with negative steps.
  emit: (e, [w], { inputs }) => {
    const [O, C, kh, kw] = inputs[0].shape as [number, number, number, number]
    const taps = kh * kw
    const [flat] = e.node('Reshape', [w, e.constant(int64s([O * C, taps]))])
    const [turned] = taps === 1 ? [flat] : e.node('MatMul', [flat, e.constant(reversal(taps))])
    const [split] = e.node('Reshape', [turned, e.constant(int64s([O, C, taps]))])
    const [swapped] = e.node('Transpose', [split], { attrs: { perm: { is: [1, 0, 2] } } })
    return e.node('Reshape', [swapped, e.constant(int64s([C, O, kh, kw]))])
  },
  scratch: ({ inputs: [w] }) => (sizeOf(w.shape.slice(2)) === 1 ? 0 : bytesOf(w)), // the turned taps
  vjp: ([d]) => [adjointKernel(d!)],
  samples: [
    { inputs: f32([2, 3, 3, 5]), attrs: null },
    { inputs: f32([2, 3, 1, 1]), attrs: null },
  ],
}
/** The kernel of the transposed convolution: taps reversed, channels swapped, [O,C,kh,kw] → [C,O,kh,kw]. */
const adjointKernel = (w: Value): Value => apply(adjointKernelOp, [w], null)

/** Bytes of one example's images in `kernelProduct`: each padded, its runs, and the runs stacked; a single tap needs none. */
const stackedBytes = (x: Value, d: Value, [kh, kw]: Shape): number => {
  const each = (v: Value): number => (4 * sizeOf(v.shape)) / v.shape[0]
  return kh * kw === 1 ? 0 : (1 + 2 * kw) * each(x) + (1 + 2 * kh) * each(d)
}

/** Examples are taken in groups whose stacked images fit this many bytes, so that they neither leave the cache nor pile up. */
const groupBytes = 2 ** 25

const groupSize = (x: Value, d: Value, kernel: Shape): number => {
  const B = x.shape[0]
  const most = Math.max(1, Math.floor(groupBytes / Math.max(1, stackedBytes(x, d, kernel))))
  return Math.ceil(B / Math.ceil(B / most))
}

/**
 * Bytes that `kernelProduct` takes of one example while it runs: of what is shifted the image with its zeros, the runs and their
 * stack, and the product, which at small images of many channels is most of it.
 */
const productBytes = (x: Value, d: Value, [kh, kw]: Shape): number => {
  const each = (v: Value): number => bytesOf(v) / v.shape[0]
  const ofX = kw === 1 ? 0 : 1 + 2 * kw
  const ofD = kh === 1 ? Math.sign(kw - 1) : 1 + 2 * kh
  return ofX * each(x) + ofD * each(d) + 4 * kh * d.shape[1] * kw * x.shape[1]
}

/**
 * Both images get (kw − 1)/2 zeros at the right of their rows, so that a shift by a tap is a shift of flat rows: the
 * zeros cancel what wraps around. x is shifted along rows (kw ways), d along columns (kh ways), each stacked into its
 * channels; one product of the stacks then holds every tap, [kh·O, kw·C]. Shifting both costs kh + kw copies instead of
 * the kh·kw of shifting x alone, and contiguous runs copy several times faster than rows cut one by one.
 * @returns the sum over B examples as a row, [1, kh·O·kw·C]
 */
const kernelProduct = (e: Emitter, x: string, d: string, B: number, node: Node<Shape>): string => {
  const [, C, H, W] = node.inputs[0].shape as [number, number, number, number]
  const O = node.inputs[1].shape[1]
  const [kh, kw] = node.attrs as [number, number]
  const [ph, pw] = [(kh - 1) / 2, (kw - 1) / 2]
  const row = W + pw
  const one = (...args: Parameters<Emitter['node']>): string => e.node(...args)[0]
  const shape = (...dims: number[]): string => e.constant(int64s(dims))
  /** `count` runs of H·row numbers from `start` on, `step` apart, of v padded by `rows` above and below: [B, count·channels, H·row]. */
  const shifts = (v: string, channels: number, rows: number, start: number, step: number, count: number) => {
    const padded = rows + pw === 0 ? v : one('Pad', [v, shape(0, 0, rows, 0, 0, 0, rows, pw)])
    const flat = one('Reshape', [padded, shape(B, channels, -1)])
    if (count === 1) return flat
    const runs = Array.from({ length: count }, (_, i) =>
      one('Slice', [flat, shape(start + i * step), shape(start + i * step + H * row), shape(2)]),
    )
    return one('Concat', runs, { attrs: { axis: { i: 1 } } })
  }
  const alongRows = shifts(x, C, pw === 0 ? 0 : 1, row - pw, 1, kw) // tap kx starts kx − pw after the first pixel
  const alongColumns = shifts(d, O, ph, 2 * ph * row, -row, kh) // tap ky starts ky − ph rows before it
  const flags = { transA: false, transB: true, alpha: 1 }
  const product = emitProduct(e, { name: alongColumns, rank: 3 }, { name: alongRows, rank: 3 }, flags) // [B, kh·O, kw·C]
  // Summed over the batch by a product with ones, four times faster than ReduceSum over the first axis.
  return one('MatMul', [e.constant(filled([1, B], 1)), one('Reshape', [product, shape(B, -1)])])
}

const emitKernelGrad = (e: Emitter, [x, d]: readonly string[], node: Node<Shape>): readonly string[] => {
  const [xValue, dValue] = node.inputs as [Value, Value]
  const [B, C] = xValue.shape as [number, number]
  const [kh, kw] = node.attrs as [number, number]
  const most = groupSize(xValue, dValue, node.attrs)
  const sizes = Array.from({ length: Math.ceil(B / most) }, (_, i) => Math.min(most, B - i * most))
  const groups = (v: string): readonly string[] => (sizes.length === 1 ? [v] : cut(e, v, 0, sizes))
  const [xs, ds] = [groups(x), groups(d)]
  const sums = sizes.map((size, i) => kernelProduct(e, xs[i], ds[i], size, node))
  const sum = sums.reduce((a, b) => e.node('Add', [a, b])[0])
  const [byTap] = e.node('Reshape', [sum, e.constant(int64s([kh, dValue.shape[1], kw, C]))])
  return e.node('Transpose', [byTap], { attrs: { perm: { is: [1, 3, 0, 2] } } })
}

const convKernelGradOp: Op<Shape> = {
  name: 'convKernelGrad',
  infer: ([x, d], kernel) => {
    expectDType([x, d], 'float32')
    return [{ shape: [d.shape[1], x.shape[1], ...kernel], dtype: 'float32' }]
  },
  emit: emitKernelGrad,
  vjp: ([dd], { inputs: [x, d] }) => [conv2d(d, adjointKernel(dd!)), conv2d(x, dd!)],
  flops: ({ inputs: [x, d], attrs }) => 2 * sizeOf(d.shape) * x.shape[1] * sizeOf(attrs),
  scratch: ({ inputs: [x, d], attrs }) => groupSize(x, d, attrs) * productBytes(x, d, attrs),
  samples: [
    { inputs: f32([2, 3, 4, 5], [2, 2, 4, 5]), attrs: [3, 3] },
    { inputs: f32([2, 3, 3, 2], [2, 4, 3, 2]), attrs: [1, 3] },
    { inputs: f32([2, 3, 3, 2], [2, 4, 3, 2]), attrs: [5, 1] },
    { inputs: f32([2, 3, 4, 4], [2, 5, 4, 4]), attrs: [1, 1] },
  ],
}
/**
 * Gradient of conv2d with respect to its kernel, from x [B,C,H,W] and the output's cotangent d [B,O,H,W]. ORT has no
 * such operator; one large Conv runs at half the rate of this product of shifted images.
 */
const convKernelGrad = (x: Value, d: Value, kernel: Shape): Value => apply(convKernelGradOp, [x, d], kernel)

const expectImage = (x: Value): void =>
  expect(x.shape.length === 4, () => `the layout must be [B,C,H,W], found ${showShape(x.shape)}`)

const spaceToDepthOp: Op<number> = {
  name: 'spaceToDepth',
  alias: 'maybe',
  infer: ([x], block) => {
    expectImage(x)
    const [B, C, H, W] = x.shape as [number, number, number, number]
    expect(H % block === 0 && W % block === 0, () => `${H}×${W} is not divisible by ${block}`)
    return [{ shape: [B, C * block * block, H / block, W / block], dtype: x.dtype }]
  },
  // ORT's WebGPU provider (1.30, Node) has no SpaceToDepth.
  emit: (e, inputs, { attrs: block, inputs: [x] }) => {
    if (e.target === 'cpu') return e.node('SpaceToDepth', inputs, { attrs: { blocksize: { i: block } } })
    const [B, C, H, W] = x.shape as [number, number, number, number]
    const apart = e.constant(int64s([B, C, H / block, block, W / block, block]))
    const [patches] = e.node('Reshape', [inputs[0], apart])
    const [turned] = e.node('Transpose', [patches], { attrs: { perm: { is: [0, 3, 5, 1, 2, 4] } } })
    return e.node('Reshape', [turned, e.constant(int64s([B, block * block * C, H / block, W / block]))])
  },
  vjp: ([d], { attrs }) => [depthToSpace(d!, attrs)],
  samples: [{ inputs: f32([2, 3, 4, 6]), attrs: 2 }],
}
/** Moves block×block patches into channels: [B,C,H,W] → [B, block²·C, H/block, W/block], channel (dy, dx, c). */
export const spaceToDepth = (x: Value, block: number): Value => apply(spaceToDepthOp, [x], block)

const depthToSpaceOp: Op<number> = {
  name: 'depthToSpace',
  alias: 'maybe',
  infer: ([x], block) => {
    expectImage(x)
    const [B, C, H, W] = x.shape as [number, number, number, number]
    expect(C % (block * block) === 0, () => `${C} channels are not divisible by ${block}²`)
    return [{ shape: [B, C / (block * block), H * block, W * block], dtype: x.dtype }]
  },
  emit: (e, inputs, { attrs }) =>
    e.node('DepthToSpace', inputs, { attrs: { blocksize: { i: attrs }, mode: { s: 'DCR' } } }),
  vjp: ([d], { attrs }) => [spaceToDepth(d!, attrs)],
  samples: [{ inputs: f32([2, 12, 2, 3]), attrs: 2 }],
}
/** Inverse of spaceToDepth. */
export const depthToSpace = (x: Value, block: number): Value => apply(depthToSpaceOp, [x], block)

/** The op objects of this file. */
export const convOps: readonly Op<unknown>[] = [
  conv2dOp,
  adjointKernelOp,
  convKernelGradOp,
  spaceToDepthOp,
  depthToSpaceOp,
]
