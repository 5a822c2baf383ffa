/** @file A latent as colours: its three main directions as red, green and blue, or one channel from blue over white to red. */

/** Colours of the positions of a latent. */
export interface FalseColour {
  /** [h, w, 3] */
  readonly pixels: Uint8Array
  /** What the colours stand for: shares of the variance of the main directions, or the largest value of the channel. */
  readonly shares?: readonly number[]
  readonly most: number
}

/** Channels [c, n] with their means taken off. */
const centred = (z: Float32Array, c: number): Float64Array[] => {
  const n = z.length / c
  return Array.from({ length: c }, (_, i) => {
    const own = Float64Array.from(z.subarray(i * n, (i + 1) * n))
    const mean = own.reduce((a, b) => a + b, 0) / n
    return own.map((value) => value - mean)
  })
}

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i]
  return sum
}

const scaled = (v: Float64Array, by: number): Float64Array => v.map((x) => x * by)

/**
 * Main directions of vectors by power iteration, each without those before it.
 * @param rows [c][n]
 * @returns for each the coordinates of the n vectors, and their sum of squares
 */
export const mainDirections = (
  rows: readonly Float64Array[],
  count: number,
): { readonly along: Float64Array; readonly power: number }[] => {
  const c = rows.length
  const covariance = rows.map((a) => Float64Array.from(rows, (b) => dot(a, b)))
  const found: Float64Array[] = []
  return Array.from({ length: Math.min(count, c) }, (_, k) => {
    // starts off every axis, and no two alike
    let v: Float64Array = Float64Array.from({ length: c }, (_, i) => 1 + ((i * 7 + k * 3) % 11) / 11)
    for (let turn = 0; turn < 200; turn++) {
      for (const u of found) {
        const own = dot(u, v)
        v = v.map((x, i) => x - own * u[i])
      }
      const next = Float64Array.from(covariance, (row) => dot(row, v))
      const length = Math.sqrt(dot(next, next))
      if (length < 1e-12) break
      v = scaled(next, 1 / length)
    }
    for (const u of found) {
      const own = dot(u, v)
      v = v.map((x, i) => x - own * u[i])
    }
    const length = Math.sqrt(dot(v, v))
    v = scaled(v, length < 1e-9 ? 0 : 1 / length)
    // the sign is chosen so that colours do not flip between like images
    if (v.reduce((a, b) => a + b, 0) < 0) v = scaled(v, -1)
    found.push(v)
    const n = rows[0]?.length ?? 0
    const along = Float64Array.from({ length: n }, (_, p) =>
      rows.reduce((sum, row, i) => sum + v[i] * row[p], 0),
    )
    return { along, power: dot(along, along) }
  })
}

const byte = (share: number): number => Math.max(0, Math.min(255, Math.round(255 * share)))

/** The main directions as colours: three standard deviations of the first are from none to full. @param z [c, h, w] */
export const mainColours = (z: Float32Array, c: number): FalseColour => {
  const rows = centred(z, c)
  const n = z.length / c
  const total = rows.reduce((sum, row) => sum + dot(row, row), 0)
  const directions = mainDirections(rows, 3)
  const most = 1.5 * Math.sqrt((directions[0]?.power ?? 0) / n)
  const pixels = new Uint8Array(3 * n).fill(128)
  for (const [k, { along }] of directions.entries())
    for (let p = 0; p < n; p++) pixels[3 * p + k] = byte(most === 0 ? 0.5 : 0.5 + along[p] / (2 * most))
  return { pixels, shares: directions.map(({ power }) => (total === 0 ? 0 : power / total)), most }
}

const [cold, white, warm] = [
  [44, 92, 170],
  [247, 247, 245],
  [178, 54, 38],
]

/** Colour of a value from −1 over 0 to 1. */
export const diverging = (value: number): number[] => {
  const [end, share] = [value < 0 ? cold : warm, Math.min(1, Math.abs(value))]
  return white.map((from, i) => Math.round(from + share * (end[i] - from)))
}

/** One channel as colours, its largest value at the end of the scale. @param z [c, h, w] */
export const channelColours = (z: Float32Array, c: number, channel: number): FalseColour => {
  const n = z.length / c
  const own = z.subarray(channel * n, (channel + 1) * n)
  const most = own.reduce((a, b) => Math.max(a, Math.abs(b)), 0)
  return {
    pixels: Uint8Array.from([...own].flatMap((value) => diverging(most === 0 ? 0 : value / most))),
    most,
  }
}

/** Colours of amounts by a list of colours [count, 3]; what is below 0 is as 0. @returns [n, 3] */
export const amountColours = (amounts: ArrayLike<number>, most: number, ramp: Uint8Array): Uint8Array => {
  const last = ramp.length / 3 - 1
  return Uint8Array.from(
    Array.from(amounts).flatMap((amount) => {
      const at = most <= 0 ? 0 : Math.max(0, Math.min(last, Math.round((last * amount) / most)))
      return [...ramp.subarray(3 * at, 3 * at + 3)]
    }),
  )
}

/** (1 − share)·a + share·b, element by element. */
export const mixed = (a: Float32Array, b: Float32Array, share: number): Float32Array =>
  a.map((value, i) => (1 - share) * value + share * b[i])
