/** @file SSIM against scikit-image. */
import { describe, expect, it } from 'vitest'
import { float32, floats, zeros } from '../../src/engine/host/tensor.ts'
import { ssim } from '../../src/metrics/ssim.ts'
import { goldenNumbers, goldenTensors } from './support.ts'

describe('ssim', () => {
  const tensors = goldenTensors()
  const [original, changed] = [tensors['ssim/original'], tensors['ssim/changed']]

  it('agrees with scikit-image', () => {
    const found = ssim(original, changed)
    for (const [i, wanted] of goldenNumbers().ssim.entries()) expect(found[i]).toBeCloseTo(wanted, 10)
  })

  it('is 1 for equal images, symmetric, and clips the reconstruction', () => {
    for (const value of ssim(original, original)) expect(value).toBeCloseTo(1, 12)
    const [ab, ba] = [ssim(original, changed), ssim(changed, original)]
    expect(ab[0]).toBeCloseTo(ba[0], 12)
    const beyond = float32(
      changed.shape,
      floats(changed).map((v) => (Math.abs(v) === 1 ? 3 * v : v)),
    )
    expect(ssim(original, beyond)).toEqual(ab)
  })

  it('refuses images smaller than its window, and reconstructions of another size', () => {
    const [small, other] = [zeros([1, 3, 10, 10]), zeros([1, 3, 12, 12])]
    expect(() => ssim(small, small)).toThrow(/10×10 are smaller than the window of 11×11/)
    expect(() => ssim(other, zeros([1, 3, 12, 11]))).toThrow(/\[1,3,12,12\] and \[1,3,12,11\]; pass equal/)
  })
})
