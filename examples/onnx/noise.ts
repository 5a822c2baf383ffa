/** @file The noise of `ul` for other programs: every draw is a function of (seed, stream, example) alone. */

type Key = readonly [high: number, low: number]

const mix = (x: number): number => {
  let h = x ^ (x >>> 16)
  h = Math.imul(h, 0x7feb352d)
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b)
  return h ^ (h >>> 16)
}

const fold = ([high, low]: Key, word: number): Key => [
  mix((high + 0x9e3779b9) ^ mix(word ^ 0x2545f491)) >>> 0,
  mix((low ^ word) + 0x85ebca6b + mix(high)) >>> 0,
]

/** The 64-bit key of a stream of normals. */
const streamKey = (seed: number, name: string, example: number): Key => {
  let text = 0x811c9dc5
  for (const letter of name) text = Math.imul(text ^ letter.charCodeAt(0), 0x01000193)
  const high = (n: number): number => Math.floor(n / 2 ** 32)
  return [seed | 0, high(seed), mix(text), example | 0, high(example)].reduce<Key>(
    fold,
    [0x243f6a88, 0x85a308d3],
  )
}

const uniform = ([high, low]: Key, i: number): number =>
  ((mix(mix((i + low) | 0) ^ (high + Math.imul(i, 0x9e3779b9))) >>> 0) + 0.5) / 2 ** 32

/** Standard normals of `dims` [N, …]: a stream for each example, numbered from `first`; two of each pair of words (Box–Muller). */
export const normals = (seed: number, name: string, first: number, dims: readonly number[]): Float32Array => {
  const count = dims.slice(1).reduce((product, size) => product * size, 1)
  const noise = new Float32Array(dims[0] * count)
  for (let n = 0; n < dims[0]; n++) {
    const key = streamKey(seed, name, first + n)
    for (let i = 0; i < count; i += 2) {
      const radius = Math.sqrt(-2 * Math.log(uniform(key, i)))
      const angle = 2 * Math.PI * uniform(key, i + 1)
      noise[n * count + i] = radius * Math.cos(angle)
      if (i + 1 < count) noise[n * count + i + 1] = radius * Math.sin(angle)
    }
  }
  return noise
}
