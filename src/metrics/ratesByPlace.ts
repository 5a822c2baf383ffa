/** @file Where the bits of latents are: by position on the latent grid and by channel, and the colours of amounts. */

/** The rate of latents where it falls. */
export interface RateElements {
  /** Nats, [N, c, h, w]. */
  readonly rateElements: Float64Array
  /** c, h, w */
  readonly latent: readonly [number, number, number]
}

/** Bits of every position [N, h·w] and of every channel [N, c]. */
export const ratesByPlace = ({
  rateElements,
  latent: [c, h, w],
}: RateElements): {
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
export const heat = (share: number): readonly number[] => {
  const at = Math.max(0, Math.min(1, share)) * (ramp.length - 1)
  const below = Math.min(ramp.length - 2, Math.floor(at))
  return [0, 1, 2].map((i) => {
    const [from, to] = [ramp[below][i], ramp[below + 1][i]]
    return 2 * (from + (at - below) * (to - from)) - 1
  })
}
