/** @file Resizing against numpy, PyTorch and Pillow, and images as bytes. */
import { describe, expect, it } from 'vitest'
import { floats } from '../../src/engine/host/tensor.ts'
import { type ResizeRule, resizeImages } from '../../src/features/resize.ts'
import { goldenTensors } from '../metrics/support.ts'

const tensors = goldenTensors()
const image = Uint8Array.from(tensors['resize/image'].data as Int32Array)
const from = { height: 17, width: 13 }
const resized = Object.keys(tensors).filter((name) => /^resize\/.*\//.test(name))

describe('resizeImages', () => {
  it('has golden images of every rule, larger, smaller and equal', () => expect(resized.length).toBe(12))

  it.each(resized)('agrees with another implementation: %s', (name) => {
    const [, rule, size] = name.split('/') as [string, ResizeRule, string]
    const [height, width] = size.split('x').map(Number)
    const found = resizeImages(image, from, { height, width }, rule)
    const wanted = floats(tensors[name])
    expect(found.length).toBe(wanted.length)
    const worst = found.reduce((most, v, i) => Math.max(most, Math.abs(v - wanted[i])), 0)
    expect(worst).toBeLessThan(1e-4) // of 255; Pillow keeps float32 between its two passes
  })

  it('resizes each of several images as alone', () => {
    const other = image.map((v) => 255 - v)
    const to = { height: 9, width: 20 }
    const both = resizeImages(Uint8Array.of(...image, ...other), from, to, 'bilinear')
    expect([...both.subarray(9 * 20 * 3)]).toEqual([...resizeImages(other, from, to, 'bilinear')])
  })

  it('keeps images of the right size under every rule, and refuses others under none', () => {
    expect([...resizeImages(image, from, from, 'none')]).toEqual([...image])
    expect(() => resizeImages(image, from, { height: 8, width: 8 }, 'none')).toThrow(
      /images of 17×13, but the network takes 8×8 and its sidecar says resize "none"/,
    )
  })
})
