import { describe, expect, it } from 'vitest'
import { quantiseImages } from '../../src/engine/host/pixels.ts'
import { float32 } from '../../src/engine/host/tensor.ts'

/** Images [N, 3, height, width]. */
const imagesOf = (data: Float32Array, height: number, width: number) =>
  float32([data.length / (3 * height * width), 3, height, width], data)

describe('quantiseImages', () => {
  it('rounds, clips and moves channels last', () => {
    const images = Float32Array.of(-1, 1, 0, 0.5, -2, 2) // one image, three channels of 1×2
    expect([...quantiseImages(imagesOf(images, 1, 2))]).toEqual([0, 128, 0, 255, 191, 255])
  })

  it('keeps images apart', () => {
    const images = Float32Array.from([10, 20, 30, 40, 50, 60], (b) => b / 127.5 - 1) // two of 1×1
    expect([...quantiseImages(imagesOf(images, 1, 1))]).toEqual([10, 20, 30, 40, 50, 60])
  })

  it('rounds halves up; what is not finite has its place', () => {
    const images = Float32Array.of(0, Number.NaN, Infinity, -Infinity, 0.2, -1 + 1 / 127.5)
    expect([...quantiseImages(imagesOf(images, 1, 2))]).toEqual([128, 255, 153, 0, 0, 1])
  })

  it('inverts the scaling of every byte', () => {
    const bytes = Array.from({ length: 256 }, (_, i) => i)
    const x = Float32Array.from([...bytes, ...bytes, ...bytes], (b) => b / 127.5 - 1)
    const back = quantiseImages(imagesOf(x, 16, 16))
    for (const b of bytes) expect([...back.subarray(3 * b, 3 * b + 3)]).toEqual([b, b, b])
  })
})
