/** @file Where a latent's bits are, as images: by position on the latent grid and by channel. */
import {
  countOf,
  examplesOf,
  floats,
  type HostTensor,
  type Shape,
  stacked,
  zeros,
} from '../engine/host/tensor.ts'
import { heat, type RateElements, ratesByPlace } from '../metrics/ratesByPlace.ts'
import { gridPng } from './grid.ts'

/** Images with what was measured of them. */
export interface RateMapsInput extends RateElements {
  /** Originals and reconstructions, [N, 3, H, W] in [−1, 1]. */
  readonly images: HostTensor
  readonly reconstructions: HostTensor
}

/** An image of the given shape [1, 3, H, W] from the colour of every pixel. */
const drawn = (shape: Shape, colour: (x: number, y: number) => readonly number[]): HostTensor => {
  const image = zeros(shape)
  const [H, W] = shape.slice(2) as [number, number]
  for (let y = 0; y < H; y++) {
    for (let x = 0; x < W; x++) {
      for (const [i, value] of colour(x, y).entries()) floats(image)[(i * H + y) * W + x] = value
    }
  }
  return image
}

const white = [1, 1, 1]
const across = 8

/** One row of what is shown: of image n [1, 3, H, W]. */
interface Tile {
  readonly label: string
  of(n: number): HostTensor
}

/** The grey of a pixel. */
const greyOf = (image: HostTensor, at: number): number => {
  const plane = image.data.length / 3
  return (floats(image)[at] + floats(image)[plane + at] + floats(image)[2 * plane + at]) / 3
}

/**
 * What is shown of each image: itself, its reconstruction, bits by position, and bits by channel as bars. Colours and bars share
 * one scale, whose upper end the labels give.
 * @param over draws the bits by position over the image, half and half in grey
 */
export const rateTiles = (input: RateMapsInput, over = false): readonly Tile[] => {
  const { images, reconstructions } = input
  const [c, h, w] = input.latent
  const one = [1, ...images.shape.slice(1)]
  const [H, W] = images.shape.slice(2) as [number, number]
  const { positions, channels } = ratesByPlace(input)
  const most = (values: Float64Array): number => values.reduce((a, b) => Math.max(a, b), 1e-9)
  const [mostPosition, mostChannel] = [most(positions), most(channels)]
  const byPosition = (n: number): HostTensor => {
    const image = examplesOf(images, n, 1)
    return drawn(one, (x, y) => {
      const p = Math.floor((y * h) / H) * w + Math.floor((x * w) / W)
      const colour = heat(positions[n * h * w + p] / mostPosition)
      return over ? colour.map((value) => (value + greyOf(image, y * W + x)) / 2) : colour
    })
  }
  const byChannel = (n: number): HostTensor =>
    drawn(one, (x, y) => {
      const share = channels[n * c + Math.floor((x * c) / W)] / mostChannel
      return H - y <= share * H ? heat(share) : white
    })
  return [
    { label: 'original', of: (n) => examplesOf(images, n, 1) },
    { label: 'reconstruction', of: (n) => examplesOf(reconstructions, n, 1) },
    { label: `bits by position, to ${mostPosition.toFixed(1)}`, of: byPosition },
    { label: `bits by channel, to ${mostChannel.toFixed(0)}`, of: byChannel },
  ]
}

/** PNG with four rows for every eight images: originals, reconstructions, bits by position, bits by channel. */
export const rateMapsPng = (input: RateMapsInput, scale: number): Promise<Uint8Array> => {
  const count = countOf(input.images)
  const columns = Math.min(across, count)
  const blank = drawn([1, ...input.images.shape.slice(1)], () => white)
  const tiles = rateTiles(input)
  const drawnTiles: HostTensor[] = []
  const labels: string[] = []
  for (let first = 0; first < count; first += columns) {
    for (const { label, of } of tiles) {
      labels.push(label)
      for (let i = 0; i < columns; i++) drawnTiles.push(first + i < count ? of(first + i) : blank)
    }
  }
  return gridPng(stacked(drawnTiles), columns, { scale, labels })
}
