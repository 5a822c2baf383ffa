/** @file What one image, clip or latent measures. Element counts, pixels and batch shapes are computed here and nowhere else. */
import { type Shape, sizeOf } from '../../engine/host/tensor.ts'

/** Channels and extents of one image, clip or latent. */
export interface Extent {
  readonly channels: number
  /** 1 for images. */
  readonly frames: number
  readonly height: number
  readonly width: number
}

/** Colours of an image. */
export const imageChannels = 3

/** An image, or a clip, of height and width `size` in pixels. */
export const imageExtent = (size: number, frames = 1): Extent => ({
  channels: imageChannels,
  frames,
  height: size,
  width: size,
})

/** Shape of B of them: [B, C, H, W], or [B, C, T, H, W] for clips. */
export const batchShape = ({ channels, frames, height, width }: Extent, B: number): Shape =>
  frames === 1 ? [B, channels, height, width] : [B, channels, frames, height, width]

/** Numbers in one. */
export const elementsOf = (extent: Extent): number => sizeOf(batchShape(extent, 1))

/** Places in one: pixels of an image (of all frames of a clip), positions of a latent. */
export const positionsOf = ({ frames, height, width }: Extent): number => frames * height * width
