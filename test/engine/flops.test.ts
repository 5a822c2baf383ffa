/** @file Floating-point operations counted by hand: a linear layer, a convolution, the products of attention. */
import { describe, expect, it } from 'vitest'
import { gradient } from '../../src/engine/autodiff/gradient.ts'
import { forwardFlops } from '../../src/engine/ir/cost.ts'
import { input } from '../../src/engine/ir/graph.ts'
import { attention } from '../../src/engine/ops/attention.ts'
import { conv2d } from '../../src/engine/ops/conv.ts'
import { add, mul, reduceSum, silu } from '../../src/engine/ops/core.ts'
import { linear } from '../../src/engine/ops/matmul.ts'

describe('forwardFlops', () => {
  it('of a linear layer are two for each weight and row', () => {
    const y = linear(input('x', [2, 7, 16]), input('w', [16, 24]), input('b', [24]))
    expect(forwardFlops([y])).toBe(2 * (2 * 7) * 16 * 24)
  })

  it('of a convolution are two for each weight and output pixel', () => {
    const y = conv2d(input('x', [3, 5, 8, 9]), input('w', [4, 5, 3, 3]))
    expect(forwardFlops([y])).toBe(2 * (3 * 8 * 9) * (4 * 5 * 3 * 3))
  })

  it('of attention are its two products, softmax and everything element-wise are free', () => {
    const [q, k, v] = ['q', 'k', 'v'].map((name) => input(name, [2, 4, 10, 8]))
    // q·kᵀ and weights·v: for each of 2·4 heads 10×10 scores over 8 numbers, twice.
    expect(forwardFlops([attention(q, k, v)])).toBe(2 * (2 * (2 * 4) * 10 * 10 * 8))
    expect(forwardFlops([silu(add(q, mul(k, 2)))])).toBe(0)
  })

  it('of reverse mode are twice as many, which makes a training step three times the forward pass', () => {
    const [x, w, u] = [input('x', [4, 6, 8, 8]), input('w', [6, 6, 3, 3]), input('u', [8, 8])]
    const maps = conv2d(x, w)
    const loss = reduceSum(linear(maps, u))
    const gradients = gradient(loss, [x, w, u])
    expect(forwardFlops([loss, ...gradients])).toBe(3 * forwardFlops([loss]))
  })
})

describe('scratch', () => {
  /** Numbers that the gradient by a kernel [5, 3, kh, kw] of images [2, 3, 4, 8] takes while it is made, of one image. */
  const ofKernel = (kh: number, kw: number): number => {
    const [x, w] = [input('x', [2, 3, 4, 8]), input('w', [5, 3, kh, kw])]
    const { node } = gradient(reduceSum(conv2d(x, w)), [w])[0]
    return node!.op.scratch!(node!) / (2 * 4)
  }
  const [x, d] = [3 * 32, 5 * 32]

  it('of the gradient of a kernel is both images padded, shifted and stacked, and the products of all shifts', () => {
    expect(ofKernel(3, 3)).toBe((1 + 3 + 3) * (x + d) + 9 * 5 * 3)
    expect(ofKernel(3, 1)).toBe((1 + 3 + 3) * d + 3 * 5 * 3) // over time: the input is not shifted
    expect(ofKernel(1, 3)).toBe((1 + 3 + 3) * x + d + 3 * 5 * 3)
    expect(ofKernel(1, 1)).toBe(5 * 3)
  })
})
