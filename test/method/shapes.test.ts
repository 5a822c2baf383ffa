/** @file What one image, clip or latent measures. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { imageOf, latentOf } from '../../src/method/config.ts'
import {
  batchShape,
  type Extent,
  elementsOf,
  imageExtent,
  positionsOf,
} from '../../src/method/networks/shapes.ts'
import { tinyConfig } from './support.ts'

const video = { downsample: 4, kernel: 3, attention: 'full', given: 2, givenShare: 0.5 } as const

describe('extents', () => {
  it('of images and clips', () => {
    expect(imageExtent(32)).toEqual({ channels: 3, frames: undefined, height: 32, width: 32 })
    expect(imageExtent(16, 5)).toEqual({ channels: 3, frames: 5, height: 16, width: 16 })
    expect(imageOf({ size: 64, frames: 1 })).toEqual(imageExtent(64))
    expect(imageOf({ size: 64, frames: 8, video })).toEqual(imageExtent(64, 8))
  })

  it('have a time axis in a batch only where there is time', () => {
    expect(batchShape(imageExtent(32), 4)).toEqual([4, 3, 32, 32])
    expect(batchShape(imageExtent(16, 5), 4)).toEqual([4, 3, 5, 16, 16])
    expect([elementsOf(imageExtent(32)), positionsOf(imageExtent(32))]).toEqual([3072, 1024])
    expect([elementsOf(imageExtent(16, 5)), positionsOf(imageExtent(16, 5))]).toEqual([3840, 1280])
  })

  it('of any kind: a batch holds B times the elements, which are channels at positions', () => {
    const count = fc.integer({ min: 1, max: 64 })
    const frames = fc.option(count, { nil: undefined })
    const extent = fc.record({ channels: count, frames, height: count, width: count })
    fc.assert(
      fc.property(extent, count, (own: Extent, B) => {
        const shape = batchShape(own, B)
        expect(shape.reduce((n, d) => n * d, 1)).toBe(B * elementsOf(own))
        expect(elementsOf(own)).toBe(own.channels * positionsOf(own))
        expect([shape[0], shape[1], ...shape.slice(-2)]).toEqual([B, own.channels, own.height, own.width])
        expect(shape.length).toBe(own.frames === undefined ? 4 : 5)
      }),
    )
  })
})

describe('latents', () => {
  const of = (size: number, channels: number, downsample: number) => ({
    size,
    frames: 1,
    latent: { ...tinyConfig.latent, channels, downsample },
  })

  it('have the image’s grid divided, whatever the sizes', () => {
    const positions = fc.integer({ min: 1, max: 64 })
    fc.assert(
      fc.property(positions, fc.integer({ min: 1, max: 32 }), positions, (side, downsample, channels) => {
        const model = of(side * downsample, channels, downsample)
        expect(latentOf(model)).toEqual({ channels, frames: undefined, height: side, width: side })
        expect(positionsOf(imageOf(model))).toBe(downsample ** 2 * positionsOf(latentOf(model)))
      }),
    )
  })

  it('of clips have their frames divided, too, also where one is left', () => {
    const model = { ...of(32, 4, 8), video }
    expect(latentOf({ ...model, frames: 8 })).toEqual({ channels: 4, frames: 2, height: 4, width: 4 })
    expect(batchShape(latentOf({ ...model, frames: 4 }), 2)).toEqual([2, 4, 1, 4, 4])
    expect(() => latentOf({ ...model, frames: 6 })).toThrow(/data\.frames 6 .*video\.downsample 4/)
  })

  it('are refused where sizes do not divide, with both sizes', () => {
    expect(() => latentOf(of(36, 4, 8))).toThrow(/data\.size 36 .*latent\.downsample 8.* change one of them/)
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 512 }), fc.integer({ min: 2, max: 64 }), (size, downsample) => {
        fc.pre(size % downsample !== 0)
        expect(() => latentOf(of(size, 4, downsample))).toThrow(`data.size ${size} `)
      }),
    )
  })
})
