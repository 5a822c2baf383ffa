/**
 * @file A validation split of the emoji without near-duplicates across it: images that differ only in skin tone,
 * gender or hair share a key, keys with look-alike images are merged, and whole clusters go to one side.
 */

import { hashFraction } from './hashFraction.ts'

/** Root-mean-square difference (0..1) of 16×16 box means under which two images count as the same. */
export const LOOKALIKE_RMSE = 0.04

/** Side in pixels of the box means that are compared. */
export const THUMBNAIL = 16

/** Share of the clusters that become validation. */
const VALIDATION_SHARE = 0.1

/** fe0f variation, 200d joiner, skin tones, gender signs, hair, direction, end of a flag's tags. */
const DROPPED = /^(fe0f|200d|1f3f[b-f]|2640|2642|1f9b[0-3]|27a1|e007f)$/
const ADULT = /^1f(468|469|9d1)$/
const CHILD = /^1f(466|467|9d2)$/

/** Code points that vary the drawing but not the motif removed; men, women, adults → `P`, children → `C`. */
export const motifKey = (codePoints: readonly string[]): string =>
  codePoints
    .filter((code) => !DROPPED.test(code))
    .map((code) => (ADULT.test(code) ? 'P' : CHILD.test(code) ? 'C' : code))
    .join('-')

/** Sum of squared differences of two rows of `width` numbers, or any number ≥ `limit` once it is reached. */
const distance = (data: ArrayLike<number>, a: number, b: number, width: number, limit: number): number => {
  let sum = 0
  const end = a * width + width
  for (let i = a * width, j = b * width; i < end && sum < limit; ) {
    // 16 at a time between tests of the limit
    for (const stop = Math.min(i + 16, end); i < stop; i++, j++) {
      const d = data[i] - data[j]
      sum += d * d
    }
  }
  return sum
}

/** Means of the 4×4 blocks of 16×16 images: [n, 16, 16, 3] → [n, 4, 4, 3]. */
const blockMeans = (thumbnails: Uint8Array, count: number): Float32Array => {
  const out = new Float32Array(count * 48)
  const row = THUMBNAIL * 3
  for (let i = 0; i < thumbnails.length; i++) {
    const [y, x, c] = [Math.floor(i / row) % THUMBNAIL, Math.floor((i % row) / 3), i % 3]
    const n = Math.floor(i / (row * THUMBNAIL))
    out[n * 48 + ((y >> 2) * 4 + (x >> 2)) * 3 + c] += thumbnails[i] / 16
  }
  return out
}

/**
 * Cluster name of every image: the smallest motif key among all keys linked to its own by images closer than
 * `LOOKALIKE_RMSE`.
 * @param thumbnails [n, 16, 16, 3] bytes
 * @param keys motif key of each image
 */
export const lookalikeClusters = (thumbnails: Uint8Array, keys: readonly string[]): string[] => {
  const parent = new Map(keys.map((key) => [key, key]))
  const root = (key: string): string => {
    let at = key
    while (parent.get(at) !== at) {
      const up = parent.get(parent.get(at)!)!
      parent.set(at, up) // path halving
      at = up
    }
    return at
  }
  const width = THUMBNAIL * THUMBNAIL * 3
  const limit = (LOOKALIKE_RMSE * 255) ** 2 * width
  const coarse = blockMeans(thumbnails, keys.length)
  for (let a = 1; a < keys.length; a++) {
    for (let b = 0; b < a; b++) {
      if (keys[a] === keys[b]) continue
      // a block's mean difference squared is at most its mean squared difference, so this rejects no near pair
      if (distance(coarse, a, b, 48, limit / 16) >= limit / 16) continue
      if (distance(thumbnails, a, b, width, limit) >= limit) continue
      const [x, y] = [root(keys[a]), root(keys[b])]
      if (x !== y) parent.set(x < y ? y : x, x < y ? x : y)
    }
  }
  return keys.map(root)
}

/** Whether a cluster is validation: a tenth of the clusters, by the SHA-1 of their names. */
export const isValidationCluster = (cluster: string): boolean => hashFraction(cluster) < VALIDATION_SHARE
