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

/**
 * PNG with four rows for every eight images: originals, reconstructions, bits by position, bits by channel (bars).
 * Colours and bars share one scale, whose upper end the labels give.
 */
export const rateMapsPng = (input: RateMapsInput, scale: number): Promise<Uint8Array> => {
  const { images, reconstructions } = input
  const [c, h, w] = input.latent
  const one = [1, ...images.shape.slice(1)]
  const [H, W] = images.shape.slice(2) as [number, number]
  const { positions, channels } = ratesOf(input)
  const count = countOf(images)
  const most = (values: Float64Array): number => values.reduce((a, b) => Math.max(a, b), 1e-9)
  const [mostPosition, mostChannel] = [most(positions), most(channels)]
  const tiles: readonly ((n: number) => HostTensor)[] = [
    (n) => examplesOf(images, n, 1),
    (n) => examplesOf(reconstructions, n, 1),
    (n) =>
      drawn(one, (x, y) => {
        const p = Math.floor((y * h) / H) * w + Math.floor((x * w) / W)
        return heat(positions[n * h * w + p] / mostPosition)
      }),
    (n) =>
      drawn(one, (x, y) => {
        const share = channels[n * c + Math.floor((x * c) / W)] / mostChannel
        return H - y <= share * H ? heat(share) : white
      }),
  ]
  const columns = Math.min(across, count)
  const blank = drawn(one, () => white)
  const drawnTiles: HostTensor[] = []
  const labels: string[] = []
  for (let first = 0; first < count; first += columns) {
    for (const tile of tiles) {
      for (let i = 0; i < columns; i++) drawnTiles.push(first + i < count ? tile(first + i) : blank)
    }
    labels.push('original', 'reconstruction')
    labels.push(
      `bits by position, to ${mostPosition.toFixed(1)}`,
      `bits by channel, to ${mostChannel.toFixed(0)}`,
    )
  }
  return gridPng(stacked(drawnTiles), columns, { scale, labels })
}
