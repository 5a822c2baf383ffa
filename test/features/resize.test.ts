/** @file Resizing against numpy, PyTorch and Pillow, and pictures as bytes. */
import { describe, expect, it } from 'vitest'
import { floats } from '../../src/engine/host/tensor.ts'
import { type ResizeRule, resizePictures } from '../../src/features/resize.ts'
import { goldenTensors } from '../metrics/support.ts'

const tensors = goldenTensors()
const picture = Uint8Array.from(tensors['resize/picture'].data as Int32Array)
const from = { height: 17, width: 13 }
const resized = Object.keys(tensors).filter((name) => /^resize\/.*\//.test(name))

describe('resizePictures', () => {
  it('has golden pictures of every rule, larger, smaller and equal', () => expect(resized.length).toBe(12))

  it.each(resized)('agrees with another implementation: %s', (name) => {
    const [, rule, size] = name.split('/') as [string, ResizeRule, string]
    const [height, width] = size.split('x').map(Number)
    const found = resizePictures(picture, from, { height, width }, rule)
    const wanted = floats(tensors[name])
    expect(found.length).toBe(wanted.length)
    const worst = found.reduce((most, v, i) => Math.max(most, Math.abs(v - wanted[i])), 0)
    expect(worst).toBeLessThan(1e-4) // of 255; Pillow keeps float32 between its two passes
  })

  it('resizes each of several pictures as alone', () => {
    const other = picture.map((v) => 255 - v)
    const to = { height: 9, width: 20 }
    const both = resizePictures(Uint8Array.of(...picture, ...other), from, to, 'bilinear')
    expect([...both.subarray(9 * 20 * 3)]).toEqual([...resizePictures(other, from, to, 'bilinear')])
  })

  it('keeps pictures of the right size under every rule, and refuses others under none', () => {
    expect([...resizePictures(picture, from, from, 'none')]).toEqual([...picture])
    expect(() => resizePictures(picture, from, { height: 8, width: 8 }, 'none')).toThrow(
      /pictures of 17×13, but the network takes 8×8 and its sidecar says resize "none"/,
    )
  })
})
