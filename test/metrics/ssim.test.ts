/** @file SSIM against scikit-image. */
import { describe, expect, it } from 'vitest'
import { floats } from '../../src/engine/host/tensor.ts'
import { ssim } from '../../src/metrics/ssim.ts'
import { goldenNumbers, goldenTensors } from './support.ts'

describe('ssim', () => {
  const tensors = goldenTensors()
  const { shape } = tensors['ssim/original']
  const [original, changed] = [floats(tensors['ssim/original']), floats(tensors['ssim/changed'])]
  const size = shape as unknown as readonly [number, number, number, number]

  it('agrees with scikit-image', () => {
    const found = ssim(original, changed, size)
    for (const [i, wanted] of goldenNumbers().ssim.entries()) expect(found[i]).toBeCloseTo(wanted, 10)
  })

  it('is 1 for equal images, symmetric, and clips the reconstruction', () => {
    for (const value of ssim(original, original, size)) expect(value).toBeCloseTo(1, 12)
    const [ab, ba] = [ssim(original, changed, size), ssim(changed, original, size)]
    expect(ab[0]).toBeCloseTo(ba[0], 12)
    const beyond = changed.map((v) => (Math.abs(v) === 1 ? 3 * v : v))
    expect(ssim(original, beyond, size)).toEqual(ab)
  })

  it('refuses images smaller than its window, and arrays of another size', () => {
    const small = new Float32Array(300)
    expect(() => ssim(small, small, [1, 3, 10, 10])).toThrow(/10×10 are smaller than the window of 11×11/)
    expect(() => ssim(small, small, [1, 3, 12, 12])).toThrow(/300 numbers do not fill \[1,3,12,12\]/)
  })
})
