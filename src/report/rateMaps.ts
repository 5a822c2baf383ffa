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
import { gridPng } from './grid.ts'

/** Images with what was measured of them. */
export interface RateMapsInput {
  /** Originals and reconstructions, [N, 3, H, W] in [−1, 1]. */
  readonly images: HostTensor
  readonly reconstructions: HostTensor
  /** Rate in nats where it falls, [N, c, h, w]. */
  readonly rateElements: Float64Array
  /** c, h, w */
  readonly latent: readonly [number, number, number]
}

/** Bits of every position [N, h·w] and of every channel [N, c]. */
export const ratesOf = ({
  rateElements,
  latent: [c, h, w],
}: Pick<RateMapsInput, 'rateElements' | 'latent'>): {
  readonly positions: Float64Array
  readonly channels: Float64Array
} => {
  const count = rateElements.length / (c * h * w)
  const positions = new Float64Array(count * h * w)
  const channels = new Float64Array(count * c)
  for (let at = 0; at < rateElements.length; at++) {
    const [n, channel, p] = [Math.floor(at / (c * h * w)), Math.floor(at / (h * w)) % c, at % (h * w)]
    const bits = rateElements[at] / Math.LN2
    positions[n * h * w + p] += bits
    channels[n * c + channel] += bits
  }
  return { positions, channels }
}

/** Colours of 0, ¼, ½, ¾ and 1: dark blue over green to yellow, lighter all the way (also without colour vision). */
const ramp: readonly (readonly [number, number, number])[] = [
  [0.05, 0.03, 0.3],
  [0.15, 0.28, 0.55],
  [0.13, 0.55, 0.52],
  [0.45, 0.78, 0.34],
  [0.99, 0.91, 0.15],
]

/** Colour of a share in [0, 1], channels in [−1, 1]. */
const heat = (share: number): readonly number[] => {
  const at = Math.max(0, Math.min(1, share)) * (ramp.length - 1)
  const below = Math.min(ramp.length - 2, Math.floor(at))
  return [0, 1, 2].map((i) => {
    const [from, to] = [ramp[below][i], ramp[below + 1][i]]
    return 2 * (from + (at - below) * (to - from)) - 1
  })
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
  const { positions, channels } = ratesOf(input)
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
