/** @file What one image, clip or latent measures. Element counts, pixels and batch shapes are computed here and nowhere else. */
import { type Shape, sizeOf } from '../../engine/host/tensor.ts'

/** Channels and extents of one image, clip or latent. */
export interface Extent {
  readonly channels: number
  /** Absent for images. */
  readonly frames?: number | undefined
  readonly height: number
  readonly width: number
}

/** Colours of an image. */
export const imageChannels = 3

/** An image, or a clip, of height and width `size` in pixels. */
export const imageExtent = (size: number, frames?: number): Extent => ({
  channels: imageChannels,
  frames,
  height: size,
  width: size,
})

/** Shape of B of them: [B, C, H, W], or [B, C, T, H, W] for clips. */
export const batchShape = ({ channels, frames, height, width }: Extent, B: number): Shape =>
  frames === undefined ? [B, channels, height, width] : [B, channels, frames, height, width]

/** Numbers in one. */
export const elementsOf = (extent: Extent): number => sizeOf(batchShape(extent, 1))

/** Places in one: pixels of an image (of all frames of a clip), positions of a latent. */
export const positionsOf = ({ frames = 1, height, width }: Extent): number => frames * height * width

/** Channels of squares of `block` by `block` places that became channels (spaceToDepth). */
export const patchChannels = (channels: number, block: number): number => channels * block ** 2

/** Bits for each place of an image or a clip, of nats for the whole of it. */
export const bitsPerPosition = (extent: Extent, nats: number): number =>
  nats / (positionsOf(extent) * Math.LN2)

/** An extent in words: 8×4×4, with the frames of a clip before height and width. */
export const showExtent = (extent: Extent): string => batchShape(extent, 1).slice(1).join('×')
